"""Claims in Redis: they save work and decide nothing.

Bounded to 50 ms; after three failures Redis is left alone for a second.

One batcher sends what many callers ask in one pipeline: a command of its own costs four times as
much.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.limits import (
    CLAIM_TTL_MS,
    REDIS_FAILURES_MAX,
    REDIS_REST_MS,
    REDIS_STATE_TIMEOUT_MS,
    REDIS_TIMEOUT_MS,
)
from gateway.telemetry.metrics import CLAIMS

log = structlog.get_logger("tillgate.redis")

# Only the holder of the token may let go: the key may have expired and belong to somebody else by
# now.
COMPARE_AND_DELETE = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


@dataclass(slots=True, eq=False)
class _Asked:
    command: tuple[object, ...]
    answer: asyncio.Future[Any]


class RedisClaims:
    """`gateway.flow.ports.Claims`."""

    def __init__(self, url: str, clock: Clock, *, timeout_ms: int = REDIS_TIMEOUT_MS) -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, max_connections=4, timeout=timeout_ms / 1000
        )
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis(connection_pool=pool)
        self._clock, self._timeout_s = clock, timeout_ms / 1000
        self._asked: list[_Asked] = []
        self._flusher: asyncio.Task[None] | None = None
        self._failures = 0
        self._rest_until = 0.0

    async def take(self, key: str, token: str) -> bool | None:
        """See the port."""
        try:
            answer = await self._ask("SET", key, token, "NX", "PX", CLAIM_TTL_MS)
        except (RedisError, OSError, TimeoutError):
            CLAIMS.labels("skipped").inc()
            return None
        taken = answer is not None
        CLAIMS.labels("taken" if taken else "held").inc()
        return taken

    def release(self, key: str, token: str) -> None:
        """See the port."""
        with contextlib.suppress(TimeoutError):
            asked = self._queue("EVAL", COMPARE_AND_DELETE, 1, key, token)
            asked.add_done_callback(_never_mind)

    async def state(self) -> str:
        """`up`, or `down` for the readiness report; it has more time than a payment gives."""
        try:
            async with asyncio.timeout(REDIS_STATE_TIMEOUT_MS / 1000):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return "down"
        return "up"

    async def close(self) -> None:
        """Let go of the connections."""
        if self._flusher is not None:
            await asyncio.gather(self._flusher, return_exceptions=True)
        await self._redis.aclose()

    async def _ask(self, *command: object) -> Any:
        return await self._queue(*command)

    def _queue(self, *command: object) -> asyncio.Future[Any]:
        """For the next pipeline. Raises `TimeoutError` while Redis is left alone."""
        if self._clock.monotonic() < self._rest_until:
            raise TimeoutError
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="redis-claims")
        return asked.answer

    async def _flush(self) -> None:
        while self._asked:
            batch, self._asked = self._asked, []
            try:
                async with asyncio.timeout(self._timeout_s):
                    pipeline = self._redis.pipeline(transaction=False)
                    for asked in batch:
                        pipeline.execute_command(*asked.command)
                    answers = await pipeline.execute(raise_on_error=False)
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(batch, error)
                continue
            self._failures = 0
            for asked, answer in zip(batch, answers, strict=True):
                if asked.answer.done():
                    continue
                if isinstance(answer, Exception):
                    asked.answer.set_exception(answer)
                else:
                    asked.answer.set_result(answer)

    def _failed(self, batch: list[_Asked], error: Exception) -> None:
        self._failures += 1
        if self._failures >= REDIS_FAILURES_MAX:
            self._rest_until = self._clock.monotonic() + REDIS_REST_MS / 1000
            self._failures = 0
            log.warning("redis_left_alone", error=type(error).__name__, rest_ms=REDIS_REST_MS)
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(TimeoutError())


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
