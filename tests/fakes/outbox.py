"""An outbox in memory with the leases and fences of the real one,
and a clock that a test moves by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.clock import Clock
from gateway.domain.case import Case
from gateway.limits import WEBHOOKS_PER_MERCHANT_MAX
from gateway.webhooks.outbox import Delivery, TryResult
from security.secret import Secret

BEGIN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class HandClock:
    """`gateway.clock.Clock`, moved by `advance`."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds - 1_000.0)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def a_delivery(**changed: Any) -> Delivery:
    """One leased try; `endpoint_id`, `event_id`, `url` and so on as wanted."""
    made = Delivery(
        merchant_id="mer_1",
        endpoint_id="we_1",
        event_id="evt_1",
        type="payment.succeeded",
        created_at=BEGIN,
        url="https://merchant.example/hooks",
        secrets=(SECRET,),
        data=b'{"id":"pay_1","version":2}',
        tries=1,
        first_due_at=BEGIN,
    )
    return replace(made, **changed)


@dataclass(slots=True)
class _Row:
    delivery: Delivery
    due: float
    leased_until: float | None = None
    state: str = "waiting"


@dataclass(slots=True)
class FakeOutbox:
    """`gateway.webhooks.outbox.Outbox`, and the part of the store where cases are opened.

    Time is the clock's monotonic seconds.
    """

    clock: Clock
    rows: dict[tuple[str, str], _Row] = field(default_factory=dict)
    log: list[tuple[str, TryResult, str]] = field(default_factory=list)
    cases: list[tuple[str, Case]] = field(default_factory=list)

    def put(self, **changed: Any) -> Delivery:
        """Due now; no try yet."""
        delivery = a_delivery(tries=0, first_due_at=self.clock.now(), **changed)
        self.rows[delivery.endpoint_id, delivery.event_id] = _Row(delivery, self.clock.monotonic())
        return delivery

    def state(self, delivery: Delivery) -> str:
        return self._row(delivery).state

    def results(self, delivery: Delivery) -> list[str]:
        """What was noted of it, in order; `lost` where the lease was."""
        return [result for event_id, _, result in self.log if event_id == delivery.event_id]

    async def take(
        self,
        limit: int,
        lease_ms: int,
        per_endpoint: int,
        per_merchant: int = WEBHOOKS_PER_MERCHANT_MAX,
    ) -> Sequence[Delivery]:
        now = self.clock.monotonic()
        leased = [r.delivery for r in self.rows.values() if (r.leased_until or 0.0) > now]
        by_endpoint = Counter(each.endpoint_id for each in leased)
        by_merchant = Counter(each.merchant_id for each in leased)
        waits = [
            row
            for row in self.rows.values()
            if row.state == "waiting" and row.due <= now and (row.leased_until or 0.0) <= now
        ]
        turns = []
        for row in sorted(waits, key=lambda row: row.due):
            endpoint, merchant = row.delivery.endpoint_id, row.delivery.merchant_id
            if by_endpoint[endpoint] < per_endpoint and by_merchant[merchant] < per_merchant:
                by_endpoint[endpoint] += 1
                by_merchant[merchant] += 1
                turns.append((by_merchant[merchant], row.due, row))
        turns.sort(key=lambda turn: turn[:2])
        for _, _, row in turns[:limit]:
            row.delivery = replace(row.delivery, tries=row.delivery.tries + 1)
            row.leased_until = now + lease_ms / 1000
        return [row.delivery for _, _, row in turns[:limit]]

    async def delivered(self, delivery: Delivery, heard: TryResult) -> bool:
        return self._note(delivery, heard, "delivered", "delivered")

    async def postponed(self, delivery: Delivery, heard: TryResult, wait_ms: int) -> bool:
        kept = self._note(delivery, heard, "postponed", "waiting")
        if kept:
            self._row(delivery).due = self.clock.monotonic() + wait_ms / 1000
        return kept

    async def given_up(self, delivery: Delivery, heard: TryResult) -> bool:
        return self._note(delivery, heard, "given_up", "dead")

    async def disabled(self, delivery: Delivery, heard: TryResult) -> bool:
        kept = self._note(delivery, heard, "disabled", "dead")
        for row in self.rows.values():
            if kept and row.delivery.endpoint_id == delivery.endpoint_id and row.state == "waiting":
                row.state = "dead"
        return kept

    async def open_case(self, merchant_id: str, object_id: str, case: Case) -> bool:
        if object_id in {known for known, _ in self.cases}:
            return False
        self.cases.append((object_id, case))
        return True

    def _note(self, delivery: Delivery, heard: TryResult, result: str, state: str) -> bool:
        row = self._row(delivery)
        kept = row.delivery.tries == delivery.tries and row.leased_until is not None
        self.log.append((delivery.event_id, heard, result if kept else "lost"))
        if kept:
            row.state, row.leased_until = state, None
        return kept

    def _row(self, delivery: Delivery) -> _Row:
        return self.rows[delivery.endpoint_id, delivery.event_id]
