"""One call to a channel, measured.

Whatever an adapter raises is `Unknown`: the request may have left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

import structlog
from msgspec.structs import replace

from adapters.channel import Flow, PayRequest, RefundRequest, TradeRef
from gateway.clock import Clock
from gateway.domain.outcomes import CancelOutcome, QueryOutcome, RefundQueryOutcome, Unknown
from gateway.domain.payment import Payment
from gateway.flow.call.hosts import on_some_host
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.ports import Account
from gateway.limits import SEND_DEADLINE_MS
from gateway.telemetry.metrics import CHANNEL_CALLS, CHANNEL_SECONDS

T = TypeVar("T", bound=QueryOutcome | CancelOutcome | RefundQueryOutcome)
Request = TypeVar("Request", PayRequest, TradeRef, RefundRequest)
log = structlog.get_logger("tillgate.channel")


def pay_operation(flow: str) -> str:
    """What the pay call of this flow is called wherever calls are counted."""
    return "precreate" if flow == Flow.QR else "pay"


class ChannelCalls:
    """Every call of the flow to a channel passes here."""

    def __init__(self, clock: Clock, health: ChannelHealth) -> None:
        self._clock, self._health = clock, health

    async def made(
        self,
        account: Account,
        operation: str,
        call: Callable[[Request], Awaitable[T]],
        request: Request,
        silences: int = 0,
    ) -> T | Unknown:
        """The outcome of `call(request)`, at the host that `hosts` chooses, counted by its
        word. `silences` as there.
        """
        began = self._clock.monotonic()
        with self._health.watching(account, operation) as watch:
            try:
                outcome: T | Unknown = await on_some_host(
                    account,
                    operation,
                    lambda host: call(replace(request, host=host)),
                    clock=self._clock,
                    deadline=request.deadline,
                    silences=silences,
                )
            except Exception:
                log.exception(
                    "adapter_broken", channel=account.manifest.channel, operation=operation
                )
                outcome = Unknown(reason="adapter_broken")
            watch.saw(outcome)
        channel = account.manifest.channel
        CHANNEL_SECONDS.labels(channel, operation).observe(self._clock.monotonic() - began)
        CHANNEL_CALLS.labels(channel, operation, outcome.word).inc()
        return outcome

    async def query(
        self, account: Account, payment: Payment, out_trade_no: str, until: float = inf
    ) -> QueryOutcome:
        """Ask for the state of one attempt; nothing leaves after `until` (monotonic), nor after the
        send deadline, which starts now.
        """
        assert account.channel is not None
        silences = payment.attempt(out_trade_no).silences
        return await self.made(
            account,
            "query",
            account.channel.query,
            self.trade_ref(payment, out_trade_no, until),
            silences,
        )

    async def cancel(
        self, account: Account, payment: Payment, out_trade_no: str, until: float
    ) -> CancelOutcome:
        """End one attempt unpaid; `cancelling` is durable already.

        `until` as for `query`: taken before that write was handed over.
        """
        assert account.channel is not None
        silences = payment.attempt(out_trade_no).silences
        return await self.made(
            account,
            "cancel",
            account.channel.cancel,
            self.trade_ref(payment, out_trade_no, until),
            silences,
        )

    def trade_ref(self, payment: Payment, out_trade_no: str, until: float = inf) -> TradeRef:
        """What a query or a cancel of this attempt names; its send deadline starts now, and is
        never after `until`.
        """
        attempt = payment.attempt(out_trade_no)
        return TradeRef(
            out_trade_no=attempt.out_trade_no,
            amount=payment.amount,
            currency=payment.currency,
            flow=payment.flow,
            sent_at=attempt.sent_at,
            channel_trade_no=attempt.channel_trade_no,
            deadline=min(until, self._clock.monotonic() + SEND_DEADLINE_MS / 1000),
        )
