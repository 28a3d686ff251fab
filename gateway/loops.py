"""What the loops beside the road have in common: a pause that ends with the process, and one word
in the log when the store goes away and one when it comes back.
"""

from __future__ import annotations

import asyncio
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

    `log` hears `<work>_postponed` when the store goes away and `<work>_resumed` when it is back,
    not several times a second in between; and `<work>_broken` for a defect.
    """

    def __init__(self, log: Any, work: str) -> None:
        self._log, self._work = log, work
        self._is_postponed = False

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
                if self._is_postponed:
                    self._log.warning(f"{self._work}_resumed")
                self._is_postponed = False
            case GatewayError():
                if not self._is_postponed:
                    self._log.warning(f"{self._work}_postponed", error=error.code)
                self._is_postponed = True
            case Exception():
                self._log.exception(f"{self._work}_broken", exc_info=error)
            case _:
                return False
        return True
