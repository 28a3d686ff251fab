"""The end of a server's log, for error messages."""

from pathlib import Path

LINES_MAX = 8


def tail(path: Path) -> str:
    """The last lines of a text file; empty when there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-LINES_MAX:])
    except FileNotFoundError:
        return ""
