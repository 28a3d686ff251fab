"""An asyncio loop whose time is a number: when nothing is ready it leaps to the next timer, so an
hour passes in a millisecond.

No sockets, no threads, no signals. The order of everything follows from the program alone, so a
seed replays a run exactly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(Exception):
    """Everybody waits and nothing is scheduled: it would wait for ever."""


class _Leap:
    """Stands where a selector stands: asked to wait, it moves the clock instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        self._loop.seconds += timeout
        return []

    def close(self) -> None:
        """Nothing is held."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`run(main)` runs a whole world; `errors` holds what its tasks threw and nobody caught."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.errors: list[str] = []
        self._selector = _Leap(self)
        self.set_exception_handler(self._thrown)

    def time(self) -> float:
        """Virtual seconds."""
        return self.seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """The result of `main`; whatever still runs then is cancelled."""
        try:
            return self.run_until_complete(main)
        finally:
            left = asyncio.all_tasks(self)
            for task in left:
                task.cancel()
            if left:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.close()

    def _thrown(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, _events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


def on_virtual_time(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` on a loop of its own."""
    loop = VirtualLoop()
    asyncio.set_event_loop(None)
    return loop.run(main(loop))
