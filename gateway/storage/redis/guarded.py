"""Redis as the road of a payment may use it: it saves work, so it may cost little and decides
nothing.

Every pipeline has 50 ms. After three that failed in a row Redis is left alone for a second, and one
line of the log says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Literal

import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from gateway.clock import Clock
from gateway.limits import (
    REDIS_FAILURES_MAX,
    REDIS_REST_MS,
    REDIS_STATE_TIMEOUT_MS,
    REDIS_TIMEOUT_MS,
)

log = structlog.get_logger("tillgate.redis")

Command = tuple[object, ...]
State = Literal["up", "refuses writes", "down"]
_FAILURES = (RedisError, OSError, TimeoutError)
# Written by a look at Redis, and gone after it; all who look may share it.
TRIED: Final = "tillgate:tried"


class WritesRefused(Exception):
    """Redis answers and takes no write: it is full, a replica, or cannot save. In its own words."""


async def try_write(client: redis.asyncio.Redis) -> None:
    """What a claim does; an answer to PING alone says nothing about it.

    Raises `WritesRefused`, `RedisError` or `OSError`.
    """
    try:
        await client.set(TRIED, b"", px=REDIS_STATE_TIMEOUT_MS)
    except ResponseError as refusal:
        raise WritesRefused(str(refusal)) from refusal


class RedisAway(Exception):
    """No answer in time, or Redis is being left alone."""


class GuardedRedis:
    """`user` names who is speaking in the log; `connections` bounds its pool."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        user: str,
        connections: int,
        timeout_ms: int = REDIS_TIMEOUT_MS,
    ) -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, max_connections=connections, timeout=timeout_ms / 1000
        )
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis(connection_pool=pool)
        self._clock, self._user, self._timeout_s = clock, user, timeout_ms / 1000
        self._failures = 0
        self._rest_until = 0.0

    def is_left_alone(self) -> bool:
        """Whether nothing is sent now."""
        return self._clock.monotonic() < self._rest_until

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to one pipeline; a command that Redis refused is answered by its exception.

        Raises `RedisAway`.
        """
        if self.is_left_alone():
            raise RedisAway
        try:
            async with asyncio.timeout(self._timeout_s):
                pipeline = self._redis.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except _FAILURES as error:
            self._note_failure(error)
            raise RedisAway from error
        self._failures = 0
        return answers

    async def state(self) -> State:
        """For the readiness report; it has more time than a payment gives."""
        try:
            async with asyncio.timeout(REDIS_STATE_TIMEOUT_MS / 1000):
                await try_write(self._redis)
        except WritesRefused:
            return "refuses writes"
        except _FAILURES:
            return "down"
        return "up"

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= REDIS_FAILURES_MAX:
            self._rest_until = self._clock.monotonic() + REDIS_REST_MS / 1000
            self._failures = 0
            log.warning(
                "redis_left_alone",
                user=self._user,
                error=type(error).__name__,
                rest_ms=REDIS_REST_MS,
            )
