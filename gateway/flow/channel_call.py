"""One call to a channel, measured. Whatever an adapter raises is `Unknown`: the request may have left."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from gateway.clock import Clock
from gateway.domain.outcomes import Unknown
from gateway.flow.ports import Account
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
