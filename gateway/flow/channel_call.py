"""One call to a channel, measured. Whatever an adapter raises is `Unknown`: the request may have left."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from adapters.channel import Flow, TradeRef
from gateway.clock import Clock
from gateway.domain.outcomes import Unknown
from gateway.domain.payment import Payment
from gateway.flow.ports import Account
from gateway.limits import SEND_DEADLINE_MS
from gateway.telemetry.metrics import CHANNEL_CALLS, CHANNEL_SECONDS

T = TypeVar("T")
log = structlog.get_logger("tillgate.channel")


async def called(account: Account, operation: str, call: Awaitable[T], clock: Clock) -> T | Unknown:
    """The outcome of `call`, counted by its type."""
    began = clock.monotonic()
    try:
        outcome: T | Unknown = await call
    except Exception:
        log.exception("adapter_broken", channel=account.manifest.channel, operation=operation)
        outcome = Unknown(reason="adapter_broken")
    channel = account.manifest.channel
    CHANNEL_SECONDS.labels(channel, operation).observe(clock.monotonic() - began)
    CHANNEL_CALLS.labels(channel, operation, type(outcome).__name__).inc()
    return outcome


def trade_ref(payment: Payment, out_trade_no: str, clock: Clock) -> TradeRef:
    """What a query or a cancel of this attempt names; its send deadline starts now."""
    attempt = payment.attempt(out_trade_no)
    return TradeRef(
        out_trade_no=attempt.out_trade_no,
        amount=payment.amount,
        currency=payment.currency,
        flow=Flow(payment.flow),
        sent_at=attempt.sent_at,
        channel_trade_no=attempt.channel_trade_no,
        deadline=clock.monotonic() + SEND_DEADLINE_MS / 1000,
    )
