"""Which of an account's hosts a call goes to:
the main one, and the second one when that cannot do harm.

Both hosts stand before one ledger, so the number is the fence: a second order under it is the same
order. What the second host may be asked after differs all the same.

- A pay goes to the second host only after `NotSent`: no byte has left, so it is still the attempt's
  first and only send, and a refusal is still proof (P1). After anything else the second host's
  "code used" could mean that the first one took the money.
- A query moves nothing, and a cancel or a refund is repeated with the very same parameters: the
  channel does it once. They too go to the second host at once after `NotSent`; a host that was
  silent is not asked again first: the next call begins at the other one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from adapters.channel import MAIN_HOST
from gateway.clock import Clock
from gateway.domain.outcomes import CancelOutcome, NotSent, QueryOutcome, RefundQueryOutcome
from gateway.flow.accounts import RemoteAccount
from gateway.telemetry.metrics import SECOND_HOST_CALLS

T = TypeVar("T", bound=QueryOutcome | CancelOutcome | RefundQueryOutcome)

HOST_NAMES = ("main", "second")


async def on_some_host(
    account: RemoteAccount,
    operation: str,
    call: Callable[[int], Awaitable[T]],
    *,
    clock: Clock,
    deadline: float,
    silences: int = 0,
) -> T:
    """The outcome of `call(host)`, at one host or, after `NotSent` and before `deadline` (monotonic
    seconds), at the other.

    `silences`: how many calls about this object in a row were sent and taught nothing; 0 for a pay.
    The evidence names the host, unless the main one alone was asked.
    """
    hosts = account.channel.hosts
    first = (MAIN_HOST + silences) % hosts
    outcome = await call(first)
    if not isinstance(outcome, NotSent) or hosts == 1 or clock.monotonic() >= deadline:
        return _noted(account, operation, outcome, first)
    other = (first + 1) % hosts
    return _noted(
        account,
        operation,
        await call(other),
        other,
        before=f"{HOST_NAMES[first]}: {outcome.reason}",
    )


def _noted(account: RemoteAccount, operation: str, outcome: T, host: int, before: str = "") -> T:
    if host != MAIN_HOST:
        SECOND_HOST_CALLS.labels(account.manifest.channel, operation, outcome.word).inc()
    if host == MAIN_HOST and not before:
        return outcome
    said = " ".join(
        word
        for word in (f"[{HOST_NAMES[host]} host{before and '; ' + before}]", outcome.evidence)
        if word
    )
    return replace(outcome, evidence=said)
