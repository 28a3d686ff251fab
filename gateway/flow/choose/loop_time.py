"""How long this worker's loop stood still.

A call is silent as far as the loop could have noticed an answer. On a starved host, or behind a
call that does not return, the answer lies in the socket while the timers run out: that silence is
ours, and says nothing of the channel.

While calls are watched a timer ticks. What a tick comes late is time in which nothing was noticed.
"""

from __future__ import annotations

import asyncio

from gateway.limits import LOOP_TICK_MS

TICK_S = LOOP_TICK_MS / 1000


class LoopTime:
    """Of one loop, and by its clock. Ticks only between `enter` and the last `leave`."""

    def __init__(self) -> None:
        self._watchers = 0
        self._stood_s = 0.0
        self._due = 0.0
        self._tick: asyncio.TimerHandle | None = None

    def enter(self) -> None:
        """A call begins."""
        self._watchers += 1
        if self._tick is None:
            self._wind(asyncio.get_running_loop())

    def leave(self) -> None:
        """It has ended."""
        self._watchers -= 1
        if self._watchers == 0 and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def stood_s(self) -> float:
        """Seconds so far; only differences mean anything, between an `enter` and its `leave`."""
        return self._stood_s + max(0.0, asyncio.get_running_loop().time() - self._due)

    def _wind(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_S
        self._tick = loop.call_at(self._due, self._ticked, loop)

    def _ticked(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stood_s = self.stood_s()
        self._wind(loop)
