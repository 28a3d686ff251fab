"""What `pip-audit --format json` found, from standard input; exit code 1 when something is known
against a package of the image.

Advisories come from an index that may not be reachable, or may not know a package: what could not
be looked up is said, and does not fail.
"""

import json
import sys

text = sys.stdin.read()
packages = json.loads(text)["dependencies"] if text.strip() else []
skipped = [each["name"] for each in packages if "skip_reason" in each]
known = [(each, found) for each in packages for found in each.get("vulns", [])]
for package, found in known:
    fixed = ", ".join(found["fix_versions"]) or "no release"
    print(f"{package['name']} {package['version']}: {found['id']}, mended in {fixed}")
if not packages or len(skipped) == len(packages):
    print("advisories: skipped, their data cannot be had here")
elif skipped:
    print(f"advisories: nothing could be looked up for {', '.join(skipped)}")
else:
    print(f"advisories: {len(packages)} packages looked up, {len(known)} advisories")
sys.exit(1 if known else 0)
