"""Bugs on purpose, each the kind of shortcut a tired programmer takes.

The judge has to find every one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from adapters.channel import PayRequest, RefundRequest, TradeRef
from gateway.domain import acts, ending, learning, order
from gateway.domain import outcomes as o
from gateway.domain.change import Change, Opening
from gateway.domain.payment import Payment
from gateway.domain.words import Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.callback import CallbackDesk
from gateway.flow.in_doubt import InDoubt
from gateway.flow.open import order_desk
from gateway.flow.ports import Applied, RefundTaken, Stale
from gateway.flow.send import failover
from gateway.flow.send.failover import Ruling
from tests.fakes.channel import SimChannel
from tests.fakes.store import MemoryStore
from tests.fakes.store_tables import KeptClaim
from tests.simulation.split_till import SplitTill
from tests.simulation.world import Plant


class TimeoutIsNo(SimChannel):
    """No answer is taken for a refusal."""

    async def pay(self, request: PayRequest) -> o.PayOutcome:
        outcome = await super().pay(request)
        if isinstance(outcome, o.Unknown):
            return o.Declined(
                code=o.FailureCode.CHANNEL_BUSY, retry=o.Retry.SAME_METHOD, failover_useful=True
            )
        return outcome


class NotFoundIsNo(SimChannel):
    """One early "not found" is taken for proof."""

    async def query(self, trade: TradeRef) -> o.QueryOutcome:
        outcome = await super().query(trade)
        return o.Closed(was_charged=False) if isinstance(outcome, o.NotFound) else outcome


class NothingThereIsDone(SimChannel):
    """A cancel that found nothing is taken for a cancel that worked."""

    async def cancel(self, trade: TradeRef) -> o.CancelOutcome:
        outcome = await super().cancel(trade)
        return o.Reversed(was_charged=False) if isinstance(outcome, o.NothingThere) else outcome


class FreshRefundNumbers(SimChannel):
    """Every try of a refund has a number of its own."""

    _tries = 0

    async def refund(self, request: RefundRequest) -> o.RefundOutcome:
        self._tries += 1
        return await super().refund(
            structs.replace(request, out_refund_no=f"{request.out_refund_no}{self._tries}")
        )


class CancelNotDurable(InDoubt):
    """The cancel leaves first, and is written down afterwards."""

    async def _cancel(
        self,
        payment: Payment,
        out_trade_no: str,
        account: RemoteAccount,
        until: float,
        *,
        silence_counted: bool,
    ) -> None:
        outcome = await self.calls.cancel(account, payment, out_trade_no, until)
        payment = await self.transitions.step(
            payment, lambda now: self._cancel_sent(now, out_trade_no)
        )
        await self.transitions.learn(payment, out_trade_no, outcome, Source.CANCEL)


class LostUpdates(MemoryStore):
    """Write 2 does not compare the version."""

    async def apply(self, change: Change) -> Applied | Stale | RefundTaken:
        known = self.payment_rows[change.payment.merchant_id, change.payment.id]
        if known.version != change.payment.version - 1:
            self.payment_rows[known.merchant_id, known.id] = structs.replace(
                known, version=change.payment.version - 1
            )
        return await super().apply(change)


class TenderNotHeld(MemoryStore):
    """The order tender is not unique."""

    def _collides(self, wanted: KeptClaim) -> bool:
        return super()._collides(replace(wanted, holds=False))

    def why_lost(self, opening: Opening) -> Any:
        held = dict(self.claims)
        self.claims = {key: replace(kept, holds=False) for key, kept in held.items()}
        try:
            return super().why_lost(opening)
        finally:
            self.claims = held


class SplitIsOverlooked(MemoryStore):
    """A plain first tender opens without a look at the others."""

    async def open(self, opening: Opening) -> Any:
        return self.opened_alone(opening)


class DeadAreForgotten(MemoryStore):
    """Nobody takes over what a dead worker had sent."""

    async def take_due_attempts(self, *arguments: Any) -> Any:
        found = await super().take_due_attempts(*arguments)
        return [
            due
            for due in found
            if self.payment_rows[due.merchant_id, due.payment_id].attempt(due.out_trade_no).status
            != "sent"
        ]


def books_any_yes(payment: Payment, attempt: Any, outcome: o.Succeeded, occasion: Any) -> Any:
    """A yes is booked while a cancel is under way."""
    if attempt.status == "cancelling":
        attempt = structs.replace(attempt, last_cancel="UseRefund")
    return _confirmed(payment, attempt, outcome, occasion)


def drops_late_money(payment: Payment, attempt: Any, outcome: o.Succeeded, occasion: Any) -> None:
    """Money after a no is nobody's business."""


async def acknowledges_first(self: CallbackDesk, account: RemoteAccount, callback: Any) -> bool:
    """The callback is acknowledged, and applied when there is time: its worker may die before."""
    await self.ports.store.callback_applied(account.id, callback.event_key)
    await asyncio.sleep(60)
    return await _apply(self, account, callback)


def proves_by_silence(payment: Payment, attempt: Any, outcome: Any, occasion: Any) -> Any:
    """A pay call without an answer moves on to the next account at once."""
    if occasion.source == "pay" and isinstance(outcome, o.Unknown):
        return ending.refused(payment, attempt, o.NotSent(reason=outcome.reason), occasion)
    return _silence(payment, attempt, outcome, occasion)


def resends_a_spent_code(outcome: Any, proof: Any, flow: Any) -> Ruling:
    """Another account of the same wallet is asked with the code that the first one has seen."""
    ruled = _ruling(outcome, proof, flow)
    return Ruling.NOW if ruled is Ruling.RESCAN else ruled


def forgets_the_override(payment: Payment, *, by: str, words: str, occasion: Any) -> Change:
    """The other tender is let in, and the payment in doubt may succeed as if nothing had been."""
    change = _overridden(payment, by=by, words=words, occasion=occasion)
    return structs.replace(
        change, payment=structs.replace(change.payment, overridden_at=None, overridden_by=None)
    )


_overridden = acts.overridden
_ruling = failover.ruling
_silence = learning._silence
_confirmed = learning._confirmed
_apply = CallbackDesk._apply


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug, the nature of the worlds in which it can show, and the invariants that may name it."""

    name: str
    nature: str
    named_by: tuple[str, ...]
    plant: Plant = field(default_factory=Plant)
    patched: tuple[Any, str, Any] | None = None

    @contextlib.contextmanager
    def in_place(self) -> Iterator[Plant]:
        if self.patched is None:
            yield self.plant
            return
        where, name, broken = self.patched
        sound = getattr(where, name)
        setattr(where, name, broken)
        try:
            yield self.plant
        finally:
            setattr(where, name, sound)


PLANTED = [
    Planted("timeout is no", "forgetful", ("INV1", "INV2", "INV9"), Plant(channel=TimeoutIsNo)),
    Planted("not found is no", "late", ("INV1", "INV2"), Plant(channel=NotFoundIsNo)),
    Planted("nothing there is done", "late", ("INV1", "INV2"), Plant(channel=NothingThereIsDone)),
    Planted("fresh refund numbers", "forgetful", ("INV10",), Plant(channel=FreshRefundNumbers)),
    Planted("cancel not durable", "late", ("INV3",), Plant(in_doubt=CancelNotDurable)),
    Planted("lost updates", "slow", ("INV4", "THROWN"), Plant(store=LostUpdates)),
    Planted("tender not held", "honest", ("INV1", "INV9"), Plant(store=TenderNotHeld)),
    Planted("the dead are forgotten", "honest", ("INV8",), Plant(store=DeadAreForgotten)),
    Planted(
        "a split order is overlooked",
        "honest",
        ("BILL",),
        Plant(till=SplitTill, store=SplitIsOverlooked),
    ),
    Planted(
        "tenders are not summed",
        "honest",
        ("BILL",),
        Plant(till=SplitTill),
        patched=(order, "counts", lambda _: 0),
    ),
    Planted(
        "an override is forgotten",
        "forgetful",
        ("BILL",),
        Plant(till=SplitTill),
        (order_desk, "overridden", forgets_the_override),
    ),
    Planted(
        "any yes is booked", "late", ("INV3",), patched=(learning, "_confirmed", books_any_yes)
    ),
    Planted(
        "silence is proof",
        "forgetful",
        ("INV1", "INV2", "CODE"),
        patched=(learning, "_silence", proves_by_silence),
    ),
    Planted(
        "a spent code is sent again",
        "torn",
        ("CODE",),
        patched=(failover, "ruling", resends_a_spent_code),
    ),
    Planted(
        "late money is dropped",
        "breaks its word",
        ("INV2",),
        patched=(learning, "captured_late", drops_late_money),
    ),
    Planted(
        "acknowledged before applied",
        "breaks its word",
        ("INV2",),
        patched=(CallbackDesk, "_apply", acknowledges_first),
    ),
]
