"""What the loops beside the road have in common: a pause that ends with the process, and one word
in the log when rounds begin to fail and one when they are well again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from gateway.domain.errors import GatewayError


async def pause(milliseconds: int, *until: asyncio.Event) -> None:
    """Sleep, or wake at once when the first of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in until]
    try:
        await asyncio.wait(waits, timeout=milliseconds / 1000, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Rounds:
    """A context around each round of a loop that must outlive what one round raises.

    `log` hears `<work>_postponed` when the store goes away, `<work>_broken` for a defect, each once
    by its kind, not several times a second; and `<work>_resumed` after the first good round.
    """

    def __init__(self, log: Any, work: str) -> None:
        self._log, self._work = log, work
        self._told: set[str] = set()  # since the last round that was well

    async def repeat(
        self, work: Callable[[], Awaitable[object]], every_ms: int, stop: asyncio.Event
    ) -> None:
        """A round, a pause, and again until `stop`. Never raises what a round raises."""
        while not stop.is_set():
            with self:
                await work()
            await pause(every_ms, stop)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        match error:
            case None:
                if self._told:
                    self._log.warning(f"{self._work}_resumed")
                self._told.clear()
            case GatewayError():
                if self._is_new("postponed"):
                    self._log.warning(f"{self._work}_postponed", error=error.code)
            case Exception():
                if self._is_new(type(error).__name__):
                    self._log.exception(f"{self._work}_broken", exc_info=error)
            case _:
                return False
        return True

    def _is_new(self, kind: str) -> bool:
        known = kind in self._told
        self._told.add(kind)
        return not known
