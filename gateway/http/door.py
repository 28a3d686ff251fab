"""Who may come in, and how often: refusals are written down, counted, and held against the peer;
proven keys have a rate, a number of polls, and a number of lists, of their own.

The tills of a store share an address, so what one of them may do never depends on what others at
the same address did: a peer's rate is asked about only when a request proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from gateway.domain.errors import GatewayError, RateLimited, Unauthenticated
from gateway.edge_limits import (
    LISTS_OF_A_KEY_MAX,
    POLLS_MAX,
    POLLS_OF_A_KEY_MAX,
    RATE_CHANGE,
    RATE_CREATE,
    RATE_LIST,
    RATE_READ,
    RATE_REFUND,
    RATE_SERVER_FACTOR,
    RATE_STRANGER,
    Rate,
)
from gateway.flow.commands import Caller
from gateway.http.peers import Peers
from gateway.http.rates import RateKind, Rates
from gateway.telemetry.metrics import KEY_REFUSALS, POLLS_HELD
from gateway.telemetry.refusals import REFUSALS

RATES: dict[RateKind, Rate] = {
    RateKind.CREATE: RATE_CREATE,
    RateKind.REFUND: RATE_REFUND,
    RateKind.CHANGE: RATE_CHANGE,
    RateKind.READ: RATE_READ,
    RateKind.LIST: RATE_LIST,
}
SERVER_RATES = {
    kind: Rate(rate.per_s * RATE_SERVER_FACTOR, rate.burst * RATE_SERVER_FACTOR)
    for kind, rate in RATES.items()
}


@dataclass(slots=True)
class Door:
    """One worker's. `peers` knows our proxies."""

    peers: Peers
    rates: Rates
    _polls: Counter[str] = field(default_factory=Counter)  # held, by key
    _polls_held: int = 0
    _lists: Counter[str] = field(default_factory=Counter)  # being answered, by key

    def admit(self, caller: Caller, kind: RateKind) -> None:
        """Count a request of a proven key. Raises `RateLimited`."""
        rate = (SERVER_RATES if caller.store_id is None else RATES)[kind]
        if not self.rates.take(caller.key_id, kind, rate):
            raise RateLimited(
                f"This key may send {rate.per_s:g} requests of this kind a second, "
                f"{rate.burst} at once"
            )

    def admit_stranger(self, request: web.BaseRequest) -> None:
        """Count a request that proves no key. Raises `RateLimited`."""
        peer = self.peers.of(request)
        if not self.rates.take_of_peer(peer, RATE_STRANGER):
            REFUSALS.note("rate_limited", peer=peer)
            raise RateLimited("Too many requests without a proof of who sends them")

    def is_patient_with(self, request: web.BaseRequest) -> bool:
        """Whether the peer has anything left to spend on requests that prove nothing."""
        return self.rates.has_for_peer(self.peers.of(request))

    @contextmanager
    def polling(self, key_id: str) -> Iterator[None]:
        """While a request waits for news. Raises `RateLimited` when too many do."""
        if self._polls[key_id] >= POLLS_OF_A_KEY_MAX or self._polls_held >= POLLS_MAX:
            raise RateLimited("Too many requests wait for news at once: ask without `wait`")
        self._polls_held += 1
        POLLS_HELD.inc()
        try:
            with _one_more(self._polls, key_id):
                yield
        finally:
            POLLS_HELD.dec()
            self._polls_held -= 1

    @contextmanager
    def listing(self, key_id: str) -> Iterator[None]:
        """While a list is read. Raises `RateLimited` when the key has too many under way: all keys
        share the few connections that read them.
        """
        if self._lists[key_id] >= LISTS_OF_A_KEY_MAX:
            raise RateLimited(
                f"{LISTS_OF_A_KEY_MAX} lists of this key are being read: wait for one of them"
            )
        with _one_more(self._lists, key_id):
            yield

    def note(self, error: GatewayError, request: web.BaseRequest, key_id: str | None) -> None:
        """Write down a refusal. `key_id`: the key that was named, if there is such a key.

        Raises `RateLimited` in place of `error` for a peer that has proven nothing too often.
        """
        peer = self.peers.of(request)
        if key_id is None:
            REFUSALS.note("stranger_refused", peer=peer, code=error.code)
        else:
            KEY_REFUSALS.labels(error.code).inc()
            REFUSALS.note("key_refused", key=key_id, peer=peer, code=error.code)
        if isinstance(error, Unauthenticated):
            self.admit_stranger(request)


@contextmanager
def _one_more(under_way: Counter[str], key_id: str) -> Iterator[None]:
    under_way[key_id] += 1
    try:
        yield
    finally:
        under_way[key_id] -= 1
        if not under_way[key_id]:
            del under_way[key_id]
