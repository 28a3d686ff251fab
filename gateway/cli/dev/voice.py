"""What `tillgate dev` says: short aligned lines, coloured on a terminal only."""

import os
import sys

from gateway.cli.table import padded

GOOD, BAD = "\033[32m", "\033[31m"
DIM, BOLD, PLAIN = "\033[2m", "\033[1m", "\033[0m"
TITLE_COLUMNS, VERDICT_COLUMNS = 34, 22


class Voice:
    """Prints to standard output; a terminal that cannot show a character gets a question mark,
    never a traceback.
    """

    def __init__(self) -> None:
        self._is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace", line_buffering=True)

    def line(self, text: str = "") -> None:
        """A plain line."""
        print(text, flush=True)

    def head(self, text: str) -> None:
        """The title of what follows."""
        print(f"\n{self._in(BOLD, text)}", flush=True)

    def ready(self, name: str, seconds: float, detail: str = "") -> None:
        """A part is up."""
        print(
            f"  {padded(name, 12)} ready {seconds:6.2f} s  {self._in(DIM, detail)}".rstrip(),
            flush=True,
        )

    def step(self, *, ok: bool, title: str, verdict: str, seconds: float, detail: str) -> None:
        """One line of the tour."""
        mark = self._in(GOOD, "ok  ") if ok else self._in(BAD, "FAIL")
        shown = self._in(GOOD if ok else BAD, padded(verdict, VERDICT_COLUMNS))
        print(
            f"  {mark} {padded(title, TITLE_COLUMNS)} {shown} {seconds:6.2f} s  {detail}".rstrip(),
            flush=True,
        )

    def trouble(self, text: str) -> None:
        """Something failed."""
        print(self._in(BAD, text), flush=True)

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{PLAIN}" if self._is_coloured and text else text
