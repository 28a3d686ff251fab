"""Small functions, small files, and no drawers."""

import ast
from pathlib import Path

import pytest

from tests.tidy.tree import nodes, python_files, source_of

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
BANNED_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "managers",
    "common",
    "base",
    "misc",
}


def too_long(source: str) -> list[str]:
    problems = []
    lines = len(source.splitlines())
    if lines > FILE_LINES_MAX:
        problems.append(f"{lines} lines in the file, at most {FILE_LINES_MAX}")
    for node in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                problems.append(
                    f"line {node.lineno}: {node.name} has {length} lines, "
                    f"at most {FUNCTION_LINES_MAX}"
                )
    return problems


def badly_named(path: Path) -> bool:
    return bool({*path.parts[:-1], path.stem} & BANNED_NAMES)


def test_functions_and_files_are_small() -> None:
    problems = [
        f"{path}: {problem}" for path in python_files() for problem in too_long(source_of(path))
    ]
    assert problems == [], "\n".join(problems)


def test_no_module_is_a_drawer() -> None:
    assert [str(path) for path in python_files() if badly_named(path)] == []


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("def f():\n" + "    x = 1\n" * 69, 0),
        ("def f():\n" + "    x = 1\n" * 70, 1),
        ("async def f():\n" + "    x = 1\n" * 70, 1),
        ("class A:\n    def f(self):\n" + "        x = 1\n" * 70, 1),
        ("x = 1\n" * 400, 0),
        ("x = 1\n" * 401, 1),
        ("def f():\n" + "    x = 1\n" * 400, 2),
    ],
)
def test_the_size_rule_can_fail(source: str, problems: int) -> None:
    assert len(too_long(source)) == problems


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("gateway/utils.py", True),
        ("gateway/common/money.py", True),
        ("gateway/domain/money.py", False),
        ("gateway/database.py", False),
    ],
)
def test_the_name_rule_can_fail(path: str, bad: bool) -> None:
    assert badly_named(Path(path)) is bad
