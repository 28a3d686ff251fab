"""One call to a channel, measured.

An exception of an adapter is `Unknown`: the request may have left. What the channel said is kept as
evidence, bounded, and without what the customer presented.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from math import inf
from typing import TypeVar

import structlog
from msgspec.structs import replace

from adapters.channel import (
    REFUSED_UNSIGNED,
    UNLISTED_CODE,
    PayRequest,
    RefundRequest,
    TradeRef,
)
from gateway.clock import Clock
from gateway.domain.outcomes import (
    CancelOutcome,
    PayOutcome,
    QueryOutcome,
    RefundOutcome,
    RefundQueryOutcome,
    Unknown,
)
from gateway.domain.payment import Payment
from gateway.domain.tender import Tender, tender_of
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.evidence import kept
from gateway.flow.call.hosts import on_some_host
from gateway.flow.choose.health import ChannelHealth
from gateway.limits import SEND_DEADLINE_MS
from gateway.telemetry.metrics import (
    CHANNEL_CALLS,
    CHANNEL_SECONDS,
    UNLISTED_CODES,
    UNSIGNED_REFUSALS,
)
from security.secret import Secret

T = TypeVar("T", bound=QueryOutcome | CancelOutcome | RefundQueryOutcome)
Request = TypeVar("Request", PayRequest, TradeRef, RefundRequest)
log = structlog.get_logger("tillgate.channel")
# By the reason of an `Unknown`.
COUNTED = {UNLISTED_CODE: UNLISTED_CODES, REFUSED_UNSIGNED: UNSIGNED_REFUSALS}


class ChannelCalls:
    """Every call of the flow to a channel passes here.

    Where a call is about something that was asked about before, `silences` says how many calls in a
    row taught nothing: it chooses the host, see `flow.call.hosts`.
    """

    def __init__(self, clock: Clock, health: ChannelHealth) -> None:
        self._clock, self._health = clock, health

    async def pay(self, account: RemoteAccount, request: PayRequest) -> PayOutcome:
        """The one pay call of an attempt."""
        presented = request.presented
        return await self._call(
            account,
            presented.flow.facts.operation,
            account.channel.pay,
            request,
            secrets=presented.secrets,
        )

    async def query(
        self, account: RemoteAccount, payment: Payment, out_trade_no: str, until: float = inf
    ) -> QueryOutcome:
        """Ask for the state of one attempt; nothing leaves after `until` (monotonic), nor after the
        send deadline, which starts now.
        """
        trade, silences = self._attempt(payment, out_trade_no, until)
        return await self._call(account, "query", account.channel.query, trade, silences)

    async def query_number(
        self, account: RemoteAccount, tender: Tender, out_trade_no: str, sent_at: datetime
    ) -> QueryOutcome:
        """Ask about a number that stands in no attempt of ours."""
        trade = self._trade(tender, out_trade_no, sent_at, channel_trade_no=None)
        return await self._call(account, "query", account.channel.query, trade)

    async def cancel(
        self, account: RemoteAccount, payment: Payment, out_trade_no: str, until: float
    ) -> CancelOutcome:
        """End one attempt unpaid; `cancelling` is durable already.

        `until` as for `query`: taken before that write was handed over.
        """
        trade, silences = self._attempt(payment, out_trade_no, until)
        return await self._call(account, "cancel", account.channel.cancel, trade, silences)

    async def refund(
        self, account: RemoteAccount, request: RefundRequest, silences: int
    ) -> RefundOutcome:
        """Give money back; the refund is durable already."""
        return await self._call(account, "refund", account.channel.refund, request, silences)

    async def query_refund(
        self, account: RemoteAccount, request: RefundRequest, silences: int
    ) -> RefundQueryOutcome:
        """Ask what became of a refund."""
        return await self._call(
            account, "refund_query", account.channel.query_refund, request, silences
        )

    async def _call(
        self,
        account: RemoteAccount,
        operation: str,
        ask: Callable[[Request], Awaitable[T]],
        request: Request,
        silences: int = 0,
        *,
        secrets: tuple[Secret, ...] = (),
    ) -> T | Unknown:
        """The outcome of `ask(request)` at the host that `hosts` chooses, counted by its word."""
        began, channel = self._clock.monotonic(), account.manifest.channel
        with self._health.watching(account, operation) as watch:
            try:
                outcome: T | Unknown = await on_some_host(
                    account,
                    operation,
                    lambda host: ask(replace(request, host=host)),
                    clock=self._clock,
                    deadline=request.deadline,
                    silences=silences,
                )
            except Exception:
                log.exception("adapter_broken", channel=channel, operation=operation)
                outcome = Unknown(reason="adapter_broken")
            watch.saw(outcome)
        CHANNEL_SECONDS.labels(channel, operation).observe(self._clock.monotonic() - began)
        CHANNEL_CALLS.labels(channel, operation, outcome.word).inc()
        counter = COUNTED.get(outcome.reason) if isinstance(outcome, Unknown) else None
        if counter is not None:
            counter.labels(channel, operation).inc()
        return kept(outcome, secrets)

    def _attempt(self, payment: Payment, out_trade_no: str, until: float) -> tuple[TradeRef, int]:
        attempt = payment.attempt(out_trade_no)
        trade = self._trade(
            tender_of(payment), out_trade_no, attempt.sent_at, attempt.channel_trade_no, until
        )
        return trade, attempt.silences

    def _trade(
        self,
        tender: Tender,
        out_trade_no: str,
        sent_at: datetime,
        channel_trade_no: str | None,
        until: float = inf,
    ) -> TradeRef:
        return TradeRef(
            out_trade_no=out_trade_no,
            amount=tender.amount,
            currency=tender.currency,
            flow=tender.flow,
            sent_at=sent_at,
            channel_trade_no=channel_trade_no,
            deadline=min(until, self._clock.monotonic() + SEND_DEADLINE_MS / 1000),
        )
