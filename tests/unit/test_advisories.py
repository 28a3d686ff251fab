"""What the check of advisories says of what it was told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/advisories.py"
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([GOOD], 0, "1 packages looked up, 0 advisories"),
        ([GOOD, BAD], 1, "bad 2: PYSEC-1, mended in 3"),
        ([UNKNOWN, BAD], 1, "nothing could be looked up for unknown"),
        ([UNKNOWN], 0, "skipped, their data cannot be had here"),
        (None, 0, "skipped, their data cannot be had here"),
    ],
)
def test_what_is_said(packages: Any, code: int, words: str) -> None:
    given = "" if packages is None else json.dumps({"dependencies": packages})
    done = subprocess.run(
        [sys.executable, SCRIPT], input=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr
