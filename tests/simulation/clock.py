"""Time and names of a simulated world: both follow from the program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.simulation.virtual_loop import VirtualLoop

BEGIN = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


class SimClock:
    """`gateway.clock.Clock` of a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._loop.seconds)

    def monotonic(self) -> float:
        return self._loop.seconds


class SimIds:
    """`gateway.clock.Ids`, counted."""

    def __init__(self) -> None:
        self._made = 0

    def new(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made:08d}"

    def token(self) -> str:
        self._made += 1
        return f"{self._made:032x}"
