"""Claims in Redis: they save work and decide nothing.

One batcher sends what many callers ask in one pipeline: a command of its own costs four times as
much.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.limits import CLAIM_TTL_MS, REDIS_TIMEOUT_MS
from gateway.storage.redis.guarded import Command, GuardedRedis, RedisAway, State
from gateway.telemetry.metrics import CLAIMS

# Only the holder of the token may let go: the key may have expired and have another holder by now.
COMPARE_AND_DELETE = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


@dataclass(slots=True, eq=False)
class _Asked:
    command: Command
    answer: asyncio.Future[Any]


class RedisClaims:
    """`gateway.flow.ports.Claims`."""

    def __init__(self, url: str, clock: Clock, *, timeout_ms: int = REDIS_TIMEOUT_MS) -> None:
        self._redis = GuardedRedis(url, clock, user="claims", connections=4, timeout_ms=timeout_ms)
        self._asked: list[_Asked] = []
        self._flusher: asyncio.Task[None] | None = None

    async def take(self, key: str, token: str) -> bool | None:
        """See the port."""
        try:
            answer = await self._queue("SET", key, token, "NX", "PX", CLAIM_TTL_MS)
        except (RedisAway, RedisError):
            CLAIMS.labels("skipped").inc()
            return None
        taken = answer is not None
        CLAIMS.labels("taken" if taken else "held").inc()
        return taken

    def release(self, key: str, token: str) -> None:
        """See the port."""
        with contextlib.suppress(RedisAway):
            asked = self._queue("EVAL", COMPARE_AND_DELETE, 1, key, token)
            asked.add_done_callback(_never_mind)

    async def state(self) -> State:
        """For the readiness report."""
        return await self._redis.state()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._flusher is not None:
            await asyncio.gather(self._flusher, return_exceptions=True)
        await self._redis.close()

    def _queue(self, *command: object) -> asyncio.Future[Any]:
        """For the next pipeline. Raises `RedisAway` while Redis is left alone."""
        if self._redis.is_left_alone():
            raise RedisAway
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="redis-claims")
        return asked.answer

    async def _flush(self) -> None:
        while self._asked:
            batch, self._asked = self._asked, []
            try:
                answers = await self._redis.ask([asked.command for asked in batch])
            except RedisAway:
                answers = [RedisAway() for _ in batch]
            for asked, answer in zip(batch, answers, strict=True):
                if asked.answer.done():
                    continue
                if isinstance(answer, Exception):
                    asked.answer.set_exception(answer)
                else:
                    asked.answer.set_result(answer)


def _never_mind(answer: asyncio.Future[Any]) -> None:
    """A release that failed is no loss, and no "exception was never retrieved" either."""
    if not answer.cancelled():
        answer.exception()


class NoClaims:
    """Runs without Redis: every claim is skipped and Postgres decides."""

    async def take(self, key: str, token: str) -> bool | None:
        """Never taken, never held."""
        del key, token
        return None

    def release(self, key: str, token: str) -> None:
        """Nothing to release."""

    async def state(self) -> str:
        """For the readiness report."""
        return "not configured"

    async def close(self) -> None:
        """Nothing to close."""
