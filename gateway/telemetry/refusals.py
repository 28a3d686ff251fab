"""The security log: who was refused, told once and then counted.

The first refusal of a kind is a line at once. What follows is one line a minute with the number, so
that no stranger can fill a disk, and a long attack stays visible to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from gateway.edge_limits import REFUSAL_KINDS_MAX, REFUSALS_TOLD_EVERY_S

Kind = tuple[tuple[str, str], ...]


class Refusals:
    """`log` is the logger, `monotonic` counts seconds.

    A kind is an event with its facts. Past REFUSAL_KINDS_MAX kinds within a minute (an attacker
    invents peers or key ids), the rest of an event is counted together.
    """

    def __init__(self, log: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic = log, monotonic
        self._seen: dict[Kind, _Seen] = {}

    def note(self, event: str, **facts: str) -> None:
        """One refusal. The facts are ours or were checked for their form: they become a line."""
        kind = (("event", event), *sorted(facts.items()))
        seen = self._seen.get(kind)
        if seen is None and len(self._seen) >= REFUSAL_KINDS_MAX:
            kind = (("event", event), ("others", "yes"))
            seen = self._seen.get(kind)
        if seen is None:
            self._seen[kind] = _Seen(self._monotonic())
            self._log.warning(**dict(kind))
        else:
            seen.again += 1

    def tell(self, *, at_once: bool = False) -> None:
        """Log what was counted since the last line of each kind; call it about every second.

        `at_once`: the process ends. A kind that was quiet for a minute is forgotten: its next
        refusal is a first one.
        """
        now = self._monotonic()
        for kind, seen in list(self._seen.items()):
            passed_s = now - seen.told_at
            if passed_s < REFUSALS_TOLD_EVERY_S and not at_once:
                continue
            if seen.again:
                self._log.warning(**dict(kind), again=seen.again, within_s=round(passed_s))
                self._seen[kind] = _Seen(now)
            else:
                del self._seen[kind]


class _Seen:
    """When a kind was last told, and how often it came since."""

    __slots__ = ("again", "told_at")

    def __init__(self, told_at: float) -> None:
        self.told_at = told_at
        self.again = 0


REFUSALS = Refusals(structlog.get_logger("tillgate.security"))
"""The one of this process."""
