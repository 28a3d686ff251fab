"""What a channel tells us unasked: verified, stored (once per channel event), applied like
everything else, then acknowledged.

Acknowledged last: what was acknowledged never comes again, so a worker that dies before the effect
is durable must not have said so. Refused with no row changed: a bad signature, a probe, another app
or merchant. Genuine but about a number we do not know: stored, acknowledged, a case. Genuine with
another amount: stored, acknowledged, the payment freezes.

A callback is as old as it likes. A yes about an attempt that ended uncharged is late money, or the
news of a charge that our own cancel gave back since: the channel's present word decides, and until
it has one the callback is not acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from adapters.channel import Callback, CallbackAnswer, CallbackRefused
from gateway import cases
from gateway.domain.case import Case, CaseKind
from gateway.domain.errors import NoSuchObject
from gateway.domain.evidence import code_of, evidence_of
from gateway.domain.outcomes import Mismatch, Succeeded
from gateway.domain.payment import Payment
from gateway.domain.statuses import AttemptStatus
from gateway.domain.words import EvidenceWord, Source
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.learn.late_money import LateMoney
from gateway.flow.learn.transition import Transitions
from gateway.flow.ports import Ports, StoredCallback
from gateway.telemetry.metrics import CALLBACKS
from gateway.telemetry.refusals import REFUSALS

log = structlog.get_logger("tillgate.callback")
# Money that goes back from such an attempt goes back by our own cancel.
_CANCELLED = frozenset({AttemptStatus.CANCELLING, AttemptStatus.REVERSED})


class Heard(NamedTuple):
    """What to answer, and whether the channel itself had spoken."""

    answer: CallbackAnswer
    is_genuine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackDesk:
    """`POST /callbacks/{channel_account}`."""

    ports: Ports
    transitions: Transitions
    calls: ChannelCalls

    def expects(self, account_id: str) -> bool:
        """Whether the account may be called back at all; asked before a body is read."""
        return self.ports.directory.remote_account(account_id) is not None

    async def take(self, account_id: str, headers: Mapping[str, str], body: bytes) -> Heard:
        """The answer in the channel's own words. Raises `NoSuchObject` for an unknown account."""
        account = self.ports.directory.remote_account(account_id)
        if account is None:
            raise NoSuchObject
        try:
            callback = account.channel.read_callback(headers, body)
        except CallbackRefused as refused:
            CALLBACKS.labels(account.manifest.channel, f"refused_{refused.reason}").inc()
            REFUSALS.note("callback_refused", account=account_id, reason=refused.reason)
            return Heard(account.channel.callback_refused(), is_genuine=False)
        kept = StoredCallback(
            account_id=account_id,
            event_key=callback.event_key,
            out_trade_no=callback.out_trade_no,
            kind=callback.kind,
            body=body,
            received_at=self.ports.clock.now(),
        )
        if not await self.ports.store.keep_callback(kept):
            CALLBACKS.labels(account.manifest.channel, "duplicate").inc()
        elif not await self._apply(account, callback):
            CALLBACKS.labels(account.manifest.channel, "postponed").inc()
            return Heard(account.channel.callback_refused(), is_genuine=True)
        return Heard(account.channel.callback_accepted(), is_genuine=True)

    async def _apply(self, account: RemoteAccount, callback: Callback) -> bool:
        """False while the channel will not say what became of the money:
        it sends the callback again.
        """
        payment = await self.ports.store.payment_by_trade(account.id, callback.out_trade_no)
        if payment is None:
            await self._unknown_number(account, callback)
        elif callback.kind == "refund":
            await self._about_refund(payment, callback)
        elif callback.amount not in (None, payment.amount) and not isinstance(
            callback.learned, Succeeded
        ):
            await self.transitions.learn(
                payment, callback.out_trade_no, _other_amount(payment, callback), Source.CALLBACK
            )
        elif callback.learned is not None:
            number, learned = callback.out_trade_no, callback.learned
            payment = await self.transitions.learn(payment, number, learned, Source.CALLBACK)
            late = LateMoney(self.transitions, self.calls, account, payment, number)
            if not await late.settle(told=learned):
                return False
        await self.ports.store.callback_applied(account.id, callback.event_key)
        CALLBACKS.labels(account.manifest.channel, "applied").inc()
        return True

    async def _about_refund(self, payment: Payment, callback: Callback) -> None:
        """A refund of ours is found by its number. Of one that we never made, money is missing: a
        person looks.
        """
        refunds = await self.ports.store.refunds_of(payment.merchant_id, payment.id)
        ours = next(
            (refund for refund in refunds if refund.out_refund_no == callback.out_refund_no), None
        )
        if ours is not None and callback.refund is not None:
            await self.transitions.learn_refund(payment, ours.id, callback.refund, Source.CALLBACK)
            return
        attempt = payment.attempt(callback.out_trade_no)
        if ours is None and attempt.status not in _CANCELLED:
            await self._open_case(
                payment.merchant_id,
                payment.id,
                CaseKind.REFUND_UNKNOWN,
                callback,
                attempt_id=attempt.id,
            )

    async def _unknown_number(self, account: RemoteAccount, callback: Callback) -> None:
        await self._open_case(
            account.merchant_id,
            f"{account.id}:{callback.out_trade_no}",
            CaseKind.CALLBACK_UNKNOWN_NUMBER,
            callback,
        )

    async def _open_case(
        self,
        merchant_id: str,
        object_id: str,
        kind: CaseKind,
        callback: Callback,
        *,
        attempt_id: str | None = None,
    ) -> None:
        told = callback.learned
        evidence = evidence_of(
            EvidenceWord(kind),
            self.transitions.occasion(Source.CALLBACK),
            code=code_of(told) if told is not None else "",
            words=told.evidence if told is not None else "",
        )
        case = Case(
            id=self.ports.ids.new("case"), kind=kind, attempt_id=attempt_id, evidence=evidence
        )
        await cases.open_case(self.ports.store, merchant_id, object_id, case)


def _other_amount(payment: Payment, callback: Callback) -> Mismatch:
    return Mismatch(field="amount", expected=str(payment.amount), got=str(callback.amount))
