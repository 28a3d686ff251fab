"""Redis as the road of a payment may use it: it saves work, so it may cost little and decides
nothing.

Every pipeline has 50 ms. After three that failed in a row Redis is left alone for a second, and one
line of the log says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.limits import (
    REDIS_FAILURES_MAX,
    REDIS_REST_MS,
    REDIS_STATE_TIMEOUT_MS,
    REDIS_TIMEOUT_MS,
)

log = structlog.get_logger("tillgate.redis")

Command = tuple[object, ...]
_FAILURES = (RedisError, OSError, TimeoutError)


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

    async def is_up(self) -> bool:
        """For the readiness report; it has more time than a payment gives."""
        try:
            async with asyncio.timeout(REDIS_STATE_TIMEOUT_MS / 1000):
                await self._redis.ping()
        except _FAILURES:
            return False
        return True

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
