"""The files that belong to the project, and their syntax trees."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def files() -> tuple[Path, ...]:
    """What git knows or would add, relative to the root;
    a file that is listed and gone is left out.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(
        sorted({Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()})
    )


def python_files(*folders: str) -> Iterator[Path]:
    """Python files under the folders (all of them without any);
    a folder that does not exist yet has none.
    """
    for path in files():
        if path.suffix == ".py" and (
            not folders or any(path.is_relative_to(folder) for folder in folders)
        ):
            yield path


def text_of(path: Path) -> str | None:
    """The text of a file, None when it is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def source_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def is_test(path: Path) -> bool:
    return path.parts[0] == "tests" or path.name.startswith("test_") or path.name == "conftest.py"


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Every node of a module; parsed once for all the rules, which is most of what they cost."""
    return tuple(ast.walk(ast.parse(source)))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute chain; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def imported(node: ast.AST) -> list[str]:
    """The dotted names an import brings in: `import a.b` → a.b, `from a import b` → a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
