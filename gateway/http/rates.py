"""How often each key may ask: token buckets, decided in this process, kept together by Redis.

A decision never waits. A request takes a token that Redis has lent to this worker, or one of the
worker's own share (the limit divided by the number of workers). What was taken of the share is told
to Redis beside the road, a few tokens at a time, and more are borrowed before the share is used up.
So a till's ordinary request costs a subtraction, and the sum over all workers stays right: what
Redis hears too late becomes a debt of the bucket, and while it says that nothing is left, no worker
uses its share. Without Redis each worker goes by its share alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from gateway.edge_limits import (
    RATE_ASKS_MAX,
    RATE_DENIED_MS,
    RATE_EXCHANGE_MS,
    RATE_LEASE_MS,
    RATE_LEASE_SHARE,
    RATE_PEERS_MAX,
    RATE_SHARE_MIN,
    RATE_TELL_SHARE,
    Rate,
)
from gateway.loops import pause


class RateKind(StrEnum):
    """What a request costs us; each key has a rate for each."""

    CREATE = "create"  # a payment, a webhook endpoint
    REFUND = "refund"
    CHANGE = "change"  # of what there is
    READ = "read"  # one object
    LIST = "list"  # a page of rows


class Ask(NamedTuple):
    """About one bucket: `used` tokens were taken without asking (negative: lent ones come back),
    `wanted` more are asked for.
    """

    name: str
    rate: Rate
    used: int
    wanted: int


class SharedBuckets(Protocol):
    """The buckets that all workers share."""

    async def exchange(self, asks: Sequence[Ask]) -> Sequence[int] | None:
        """How many tokens are lent for each ask, at most what was wanted. None: Redis is away."""
        ...


@dataclass(slots=True, eq=False)
class Bucket:
    """One key's bucket in this worker.

    `share` tokens of our own, counted at the moment `counted_at`; `lent` by Redis until
    `lent_until`; `untold` of our share were used and Redis has not heard of it. Until
    `denied_until` nothing is left anywhere.
    """

    name: str
    rate: Rate
    own: Rate
    share: float
    counted_at: float
    lent: int = 0
    lent_until: float = 0.0
    denied_until: float = 0.0
    untold: int = 0
    is_asking: bool = False

    def take(self, now: float) -> bool:
        """One token, if there is one."""
        if self.lent > 0 and now < self.lent_until:
            self.lent -= 1
            return True
        self._refill(now)
        if self.share < 1 or now < self.denied_until:
            return False
        self.share -= 1
        self.untold += 1
        return True

    def has_one(self, now: float) -> bool:
        """Whether there is one to take."""
        if self.lent > 0 and now < self.lent_until:
            return True
        self._refill(now)
        return self.share >= 1 and now >= self.denied_until

    def has_news(self, now: float) -> bool:
        """Whether Redis should hear of it: much was used, more is needed, or a lease has ended."""
        return (
            self.untold * RATE_TELL_SHARE > self.own.burst
            or self._needs_more(now)
            or (self.lent > 0 and now >= self.lent_until)
        )

    def is_idle(self, now: float) -> bool:
        """Forgetting it would change nothing: what it used has long grown again."""
        self._refill(now)
        return self.share >= self.own.burst and not self.lent and not self.is_asking

    def asked(self, now: float) -> Ask:
        """What to tell Redis now."""
        if self.lent and now >= self.lent_until:
            self.untold -= self.lent
            self.lent = 0
        used, self.untold = self.untold, 0
        wanted = math.ceil(self.rate.burst / RATE_LEASE_SHARE) if self._needs_more(now) else 0
        return Ask(self.name, self.rate, used, wanted)

    def heard(self, ask: Ask, lent: int | None, now: float) -> None:
        """Redis's answer to `ask`; None: there was none, and what was told counts as untold, as far
        as it has not grown again meanwhile.
        """
        if lent is None:
            self.untold = min(self.untold + ask.used, self.own.burst)
        elif lent:
            self.lent += lent
            self.lent_until = now + RATE_LEASE_MS / 1_000
        elif ask.wanted:
            # What is left of the share is not there any more: other workers have used it.
            self.denied_until = self.counted_at = now + RATE_DENIED_MS / 1_000
            self.share = 0.0

    def _needs_more(self, now: float) -> bool:
        return self.share * 2 < self.own.burst and (self.lent == 0 or now >= self.lent_until)

    def _refill(self, now: float) -> None:
        if now > self.counted_at:
            grown = self.share + (now - self.counted_at) * self.own.per_s
            self.share, self.counted_at = min(self.own.burst, grown), now


class Rates:
    """All buckets of this worker, one of `workers`.

    `factor` raises every rate, for installations and load tests that need more.
    """

    def __init__(
        self,
        *,
        workers: int,
        factor: int,
        shared: SharedBuckets | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._workers, self._factor = workers, factor
        self._shared, self._monotonic = shared, monotonic
        self._of_keys: dict[str | tuple[str, str], Bucket] = {}
        self._of_peers: dict[str | tuple[str, str], Bucket] = {}
        self._asking: list[Bucket] = []
        self._looked_at = monotonic()
        self._news = asyncio.Event()

    def take(self, key_id: str, kind: RateKind, rate: Rate) -> bool:
        """One request of a proven key."""
        place = key_id, kind
        bucket = self._of_keys.get(place)
        if bucket is None:
            bucket = self._of_keys[place] = self._new(f"{kind}:{key_id}", rate)
        return self._taken(bucket)

    def take_of_peer(self, peer: str, rate: Rate) -> bool:
        """One request of a peer that proves no key."""
        bucket = self._of_peers.pop(peer, None) or self._new(f"peer:{peer}", rate)
        self._of_peers[peer] = bucket  # the dictionary's end: used last
        if len(self._of_peers) > RATE_PEERS_MAX:
            del self._of_peers[next(iter(self._of_peers))]
        return self._taken(bucket)

    def has_for_peer(self, peer: str) -> bool:
        """Whether `take_of_peer` would succeed."""
        bucket = self._of_peers.get(peer)
        return bucket is None or bucket.has_one(self._monotonic())

    async def run(self) -> None:
        """Exchange tokens with Redis, and forget buckets that are idle, until cancelled."""
        while True:
            await pause(RATE_LEASE_MS, self._news)
            self._news.clear()
            if self._monotonic() >= self._looked_at + RATE_LEASE_MS / 1_000:
                self._look()
            if self._asking and self._shared is not None:
                await self._exchange(self._shared)
            await asyncio.sleep(RATE_EXCHANGE_MS / 1_000)

    def _look(self) -> None:
        """At all buckets: leases that have ended go back, idle buckets go away."""
        now = self._looked_at = self._monotonic()
        for buckets in (self._of_keys, self._of_peers):
            for place, bucket in list(buckets.items()):
                if bucket.lent and now >= bucket.lent_until:
                    self._ask_about(bucket)
                elif bucket.is_idle(now):
                    del buckets[place]

    def _taken(self, bucket: Bucket) -> bool:
        now = self._monotonic()
        taken = bucket.take(now)
        if self._shared is not None and bucket.has_news(now):
            self._ask_about(bucket)
        return taken

    def _ask_about(self, bucket: Bucket) -> None:
        if not bucket.is_asking:
            bucket.is_asking = True
            self._asking.append(bucket)
            self._news.set()

    async def _exchange(self, shared: SharedBuckets) -> None:
        buckets = self._asking[:RATE_ASKS_MAX]
        del self._asking[:RATE_ASKS_MAX]
        if self._asking:
            self._news.set()
        now = self._monotonic()
        asks = [bucket.asked(now) for bucket in buckets]
        answers = await shared.exchange(asks)
        now = self._monotonic()
        for place, (bucket, ask) in enumerate(zip(buckets, asks, strict=True)):
            bucket.is_asking = False
            bucket.heard(ask, answers[place] if answers is not None else None, now)

    def _new(self, name: str, rate: Rate) -> Bucket:
        whole = Rate(rate.per_s * self._factor, rate.burst * self._factor)
        own = Rate(
            max(whole.per_s / self._workers, min(RATE_SHARE_MIN.per_s, whole.per_s)),
            max(whole.burst // self._workers, min(RATE_SHARE_MIN.burst, whole.burst)),
        )
        return Bucket(name, whole, own, own.burst, self._monotonic())
