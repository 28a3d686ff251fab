"""The buckets of `gateway.http.rates` in Redis: one hash a bucket, changed by a script.

Redis's own clock fills them, so workers on many hosts agree. A bucket that is full again is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from gateway.clock import Clock
from gateway.edge_limits import Rate
from gateway.limits import REDIS_TIMEOUT_MS
from gateway.storage.redis.guarded import GuardedRedis, RedisAway

PREFIX = "tillgate:rate:"

# Tokens used beyond what was there are a debt, of a burst at most: an outage of Redis must not
# silence a till for long. Argument: tokens a second, burst, used, wanted.
EXCHANGE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local per_ms, burst = ARGV[1] / 1000, tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1] or burst), tonumber(kept[2] or now)
tokens = math.min(burst, tokens + math.max(0, now - at) * per_ms)
tokens = math.max(-burst, math.min(burst, tokens - ARGV[3]))
local lent = math.min(tonumber(ARGV[4]), math.max(0, math.floor(tokens)))
tokens = tokens - lent
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / per_ms) + 1000)
return lent
"""
_SHA = hashlib.sha1(EXCHANGE.encode(), usedforsecurity=False).hexdigest()


Ask = tuple[str, Rate, int, int]  # name, rate, tokens used, tokens wanted


class RedisBuckets:
    """`gateway.http.rates.SharedBuckets`."""

    def __init__(self, url: str, clock: Clock, *, timeout_ms: int = REDIS_TIMEOUT_MS) -> None:
        self._redis = GuardedRedis(url, clock, user="rates", connections=1, timeout_ms=timeout_ms)

    async def exchange(self, asks: Sequence[Ask]) -> Sequence[int] | None:
        """See the port."""
        try:
            answers = await self._redis.ask([_command(ask) for ask in asks])
            if any(isinstance(answer, NoScriptError) for answer in answers):  # a Redis without past
                _, *answers = await self._redis.ask(
                    [("SCRIPT", "LOAD", EXCHANGE), *(_command(ask) for ask in asks)]
                )
        except RedisAway:
            return None
        if any(isinstance(answer, RedisError) for answer in answers):
            return None  # read-only, out of memory: as good as away
        return [_lent(answer, ask) for answer, ask in zip(answers, asks, strict=True)]

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.close()


def _command(ask: Ask) -> tuple[object, ...]:
    name, rate, used, wanted = ask
    return ("EVALSHA", _SHA, 1, PREFIX + name, rate.per_s, rate.burst, used, wanted)


def _lent(answer: Any, ask: Ask) -> int:
    """Never more than was wanted, whatever a Redis that is none of ours says."""
    *_, wanted = ask
    return max(0, min(answer, wanted)) if isinstance(answer, int) else 0
