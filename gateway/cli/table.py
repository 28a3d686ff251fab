"""Lists: for people aligned columns, by the width a terminal gives a character (Chinese takes two
columns); for programs JSON.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime


def show_table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    nothing: str,
    as_json: bool = False,
) -> None:
    """Print rows under a head, or `nothing` when there are none; `as_json`: a list of objects."""
    if as_json:
        print(json.dumps(objects(head, rows), ensure_ascii=False, indent=2, default=_json))
        return
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


def objects(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[dict[str, object]]:
    """Rows by the names of their columns: "created (UTC)" is `created`."""
    names = [title.partition(" (")[0].replace(" ", "_") for title in head]
    return [dict(zip(names, row, strict=True)) for row in rows]


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


def _json(cell: object) -> str:
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)
