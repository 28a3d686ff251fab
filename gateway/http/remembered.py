"""An answer that many ask for and one look serves: probes and scrapers must not cost what they
look at.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """`look`, at most once in `age_ms`, and never twice at the same time.

    A look that fails is told to everybody who waits for it, and not remembered.
    """

    __slots__ = ("_age_s", "_look", "_seen_at", "_under_way")

    def __init__(self, look: Callable[[], Awaitable[T]], age_ms: int) -> None:
        self._look, self._age_s = look, age_ms / 1000
        self._under_way: asyncio.Task[T] | None = None
        self._seen_at = 0.0

    async def __call__(self) -> T:
        """What was seen last, or what is seen now."""
        now = asyncio.get_running_loop().time()
        looking = self._under_way
        if looking is None or (looking.done() and self._is_old(looking, now)):
            looking = self._under_way = asyncio.create_task(self._looked())
        return await asyncio.shield(looking)

    async def _looked(self) -> T:
        seen = await self._look()
        self._seen_at = asyncio.get_running_loop().time()
        return seen

    def _is_old(self, looked: "asyncio.Task[T]", now: float) -> bool:
        return (
            looked.cancelled()
            or looked.exception() is not None
            or (now - self._seen_at > self._age_s)
        )
