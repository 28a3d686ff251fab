"""What the image carries is what the service needs: no package that only tests use, and none left
out that a command of a shop imports.
"""

import ast
import re
import sys
from importlib.metadata import packages_distributions

from tests.tidy.tree import ROOT, is_test, nodes, python_files, source_of

OURS = ("gateway", "adapters", "security", "reconciliation")
AT_HOME_ONLY = ("gateway/cli/dev", "adapters/new_channel.py")  # commands of the source tree
WITNESSES = {"python-alipay-sdk", "wechatpayv3"}


def named(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def installed() -> set[str]:
    lock = (ROOT / "requirements/runtime.lock").read_text()
    return {named(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}


def imported() -> dict[str, str]:
    """Distributions that the service's own modules import, each with a file that does."""
    found: dict[str, str] = {}
    distributions = packages_distributions()
    for path in python_files(*OURS):
        if is_test(path) or any(path.is_relative_to(each) for each in AT_HOME_ONLY):
            continue
        for node in nodes(source_of(path)):
            names = (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                if top not in OURS:
                    found |= {named(each): str(path) for each in distributions.get(top, [top])}
    return found


def test_the_image_has_what_is_imported() -> None:
    needed = imported()
    assert {"aiohttp", "asyncpg", "cryptography"} <= needed.keys()
    assert {name: path for name, path in needed.items() if name not in installed()} == {}


def test_the_image_has_no_witness() -> None:
    assert installed() & WITNESSES == set()


def test_the_image_is_built_from_the_service_alone() -> None:
    copied = re.findall(r"^COPY ([a-z]+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(copied) == set(OURS)
