"""The shared buckets, in memory: the script of `gateway.storage.redis.rates` line by line, on a
clock of the test's. `tests/contract/test_shared_buckets.py` holds it to Redis.
"""

from collections.abc import Callable, Sequence

from gateway.edge_limits import Rate


class MemoryBuckets:
    """`is_away`: nobody answers."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.kept: dict[str, tuple[float, float]] = {}
        self.is_away = False

    async def exchange(self, asks: Sequence[tuple[str, Rate, int, int]]) -> list[int] | None:
        return None if self.is_away else [self._one(*ask) for ask in asks]

    def _one(self, name: str, rate: Rate, used: int, wanted: int) -> int:
        now = self._monotonic()
        tokens, at = self.kept.get(name, (rate.burst, now))
        tokens = min(rate.burst, tokens + (now - at) * rate.per_s)
        tokens = max(-rate.burst, min(rate.burst, tokens - used))
        lent = min(wanted, max(0, int(tokens)))
        self.kept[name] = tokens - lent, now
        return lent
