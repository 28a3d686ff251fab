"""A till looks at an undecided payment:
the channel is asked soon, not when the hour of phase 2 is over.

Looking changes nothing by itself. It brings the sweeper's next visit forward, which asks and
cancels no earlier than it may; and not more often than the channel's pace allows, however many
tills look. It is nothing the till waits for.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

from gateway.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.payment import Payment
from gateway.domain.statuses import AttemptStatus
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.transition import Transitions
from gateway.flow.ports import Store
from gateway.limits import SWEEP_LEASE_MS


class OnRead:
    """`look(payment)`: fire and forget, one cheap statement, one at a time for a payment."""

    def __init__(
        self, *, store: Store, in_flight: InFlight, transitions: Transitions, clock: Clock
    ) -> None:
        self._store, self._in_flight, self._transitions, self._clock = (
            store,
            in_flight,
            transitions,
            clock,
        )
        self._under_way: set[str] = set()

    def look(self, payment: Payment) -> None:
        """Does nothing for a payment whose next visit is near: in phase 1 the channel's own
        schedule is as quick as it may be.
        """
        attempt = payment.current
        if (
            not attempt.live
            or attempt.status == AttemptStatus.SENT
            or attempt.due_at is None
            or payment.id in self._under_way
        ):
            return
        # A visit lasts as long as its lease; asking again beside it would be one question too many.
        pace_ms = max(SWEEP_LEASE_MS, self._transitions.schedule(payment, attempt).query_every_ms)
        if attempt.due_at <= self._clock.now() + timedelta(milliseconds=pace_ms):
            return
        self._under_way.add(payment.id)
        self._in_flight.carry(self._hasten(payment, pace_ms), name=f"look {payment.id}")

    async def _hasten(self, payment: Payment, pace_ms: int) -> None:
        """While the store is away the sweeper cannot visit either: nothing is lost."""
        try:
            with contextlib.suppress(GatewayError):
                await self._store.hasten(payment.merchant_id, payment.id, pace_ms)
        finally:
            self._under_way.discard(payment.id)
