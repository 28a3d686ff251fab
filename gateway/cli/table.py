"""Lists for people: aligned columns by the width a terminal gives a character (Chinese takes two
columns).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, nothing: str) -> None:
    """Print rows under a head, or `nothing` when there are none."""
    texts = [[_text(cell) for cell in row] for row in rows]
    if not texts:
        print(nothing)
        return
    lines = [list(head), *texts]
    widths = [max(width(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print(
            "  ".join(padded(cell, size) for cell, size in zip(line, widths, strict=True)).rstrip()
        )


def padded(text: str, size: int) -> str:
    """`text` filled with blanks to `size` columns."""
    return text + " " * (size - width(text))


def width(text: str) -> int:
    """Columns of a terminal."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _text(cell: object) -> str:
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M:%S}"
        case _:
            return str(cell)
