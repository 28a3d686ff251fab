"""The board in Redis where workers tell one another which breakers moved.

It saves time and decides nothing.

One hash; each field is one breaker of one account, its value the last word about it and when it was
said. A round is one pipeline. While Redis is away every worker goes by what it sees itself.

All that is read is checked: what is no word, comes from the future or is too old is dropped. A lie
on the board makes an account the last choice for as long as one probe takes, and no worse: see
`flow.choose.breaker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import msgspec

from gateway.clock import Clock
from gateway.domain.presenting import PAY_OPERATIONS
from gateway.flow.choose.breaker import State
from gateway.flow.choose.standing import Posted
from gateway.limits import (
    BOARD_AGE_MS_MAX,
    BOARD_ENTRIES_MAX,
    BOARD_REASON_CHARS_MAX,
    PROBE_LEASE_MS,
    REDIS_TIMEOUT_MS,
    REFERENCE_CHARS_MAX,
)
from gateway.storage.redis.guarded import Command, GuardedRedis, RedisAway

BOARD: Final = "tillgate:health"
PROBE: Final = "tillgate:probe:"


class _Word(msgspec.Struct, frozen=True):
    """A value of the hash."""

    worker: str
    state: State
    at: datetime
    reason: str


class RedisBoard:
    """`gateway.workers.prober.Board` on Redis."""

    def __init__(
        self, url: str, clock: Clock, worker_id: str, *, timeout_ms: int = REDIS_TIMEOUT_MS
    ) -> None:
        self._redis = GuardedRedis(
            url, clock, user="health board", connections=2, timeout_ms=timeout_ms
        )
        self._clock, self._worker_id = clock, worker_id

    async def exchange(self, news: Sequence[Posted]) -> Sequence[Posted] | None:
        """Post `news` and read what the others said.

        None: Redis is not there, and `news` were not posted.
        """
        now = self._clock.now()
        words = {f"{each.account}/{each.operation}": self._worded(each, now) for each in news}
        answers = await self._ask(
            [
                *(
                    [("HSET", BOARD, *(part for item in words.items() for part in item))]
                    if words
                    else []
                ),
                ("HGETALL", BOARD),
            ]
        )
        if answers is None:
            return None
        found = answers[-1]
        said = read(found if isinstance(found, Mapping) else {}, now, but_of=self._worker_id)
        stale = [name for name, word in said.items() if word is None]
        if stale:
            await self._ask([("HDEL", BOARD, *stale)])
        return [word for word in said.values() if word is not None and not isinstance(word, str)]

    async def may_probe(self, account_id: str) -> bool | None:
        """Whether it is ours to probe the account now. None: Redis is not there."""
        answers = await self._ask(
            [("SET", f"{PROBE}{account_id}", self._worker_id, "NX", "PX", PROBE_LEASE_MS)]
        )
        return None if answers is None else answers[0] is not None

    async def words(self) -> list[Posted] | None:
        """Everything on the board, for people. None: Redis is not there."""
        answers = await self._ask([("HGETALL", BOARD)])
        if answers is None or not isinstance(answers[0], Mapping):
            return None
        return [
            word
            for word in read(answers[0], self._clock.now()).values()
            if isinstance(word, Posted)
        ]

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.close()

    def _worded(self, posted: Posted, now: datetime) -> bytes:
        at = now - timedelta(seconds=posted.age_s)
        return msgspec.json.encode(
            _Word(self._worker_id, posted.state, at, posted.reason[:BOARD_REASON_CHARS_MAX])
        )

    async def _ask(self, commands: Sequence[Command]) -> list[Any] | None:
        """None: Redis is not there, or refused one of them."""
        try:
            answers = await self._redis.ask(commands)
        except RedisAway:
            return None
        return None if any(isinstance(answer, Exception) for answer in answers) else answers


class NoBoard:
    """Runs without Redis: every worker goes by what it sees itself."""

    async def exchange(self, news: Sequence[Posted]) -> Sequence[Posted] | None:
        """Nobody reads it."""
        del news
        return None

    async def may_probe(self, account_id: str) -> bool | None:
        """Nobody else could."""
        del account_id
        return None

    async def close(self) -> None:
        """Nothing to close."""


def read(
    fields: Mapping[Any, Any], now: datetime, but_of: str | None = None
) -> dict[str, Posted | str | None]:
    """By field: the word; None when it is stale or no word at all; "" when it is the worker's own
    (`but_of`). At most BOARD_ENTRIES_MAX.
    """
    return {
        name: _said(name, value, now, but_of)
        for name, value in ((_text(n), v) for n, v in islice(fields.items(), BOARD_ENTRIES_MAX))
    }


def _said(name: str, value: Any, now: datetime, but_of: str | None) -> Posted | str | None:
    account, slash, operation = name.partition("/")
    try:
        word = msgspec.json.decode(value, type=_Word)
        age_s = (now - word.at).total_seconds()
    except (msgspec.DecodeError, TypeError, ValueError):
        return None
    if not (slash and len(account) <= REFERENCE_CHARS_MAX and operation in PAY_OPERATIONS):
        return None
    if word.worker == but_of:
        return ""
    if not -1 <= age_s <= BOARD_AGE_MS_MAX / 1000 or len(word.reason) > BOARD_REASON_CHARS_MAX:
        return None
    return Posted(
        account=account,
        operation=operation,
        state=word.state,
        reason=word.reason,
        age_s=max(age_s, 0.0),
    )


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
