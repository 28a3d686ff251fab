"""What is kept and counted of one call to a channel, whatever the adapter makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from adapters.channel import REFUSED_UNSIGNED, UNLISTED_CODE, PayRequest
from gateway.clock import SystemClock
from gateway.domain import outcomes as o
from gateway.domain.presenting import PaymentCode
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.health import ChannelHealth
from gateway.limits import EVIDENCE_CHARS_MAX
from security.secret import HIDDEN, Secret
from tests.fakes.accounts import remote_account
from tests.unit.paying import NOW

CODE = "281234567890123456"


@dataclass
class Says:
    """A channel whose pay call has this outcome."""

    outcome: Any
    hosts: int = 1

    async def pay(self, _: PayRequest) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def paid(outcome: Any) -> o.PayOutcome:
    clock = SystemClock()
    request = PayRequest(
        out_trade_no="TG1",
        amount=1000,
        currency="CNY",
        description="lunch",
        presented=PaymentCode(Secret(CODE)),
        store_id="s1",
        terminal_id="t1",
        operator_id="",
        sent_at=NOW,
        not_after=NOW + timedelta(seconds=60),
        notify_url=None,
        deadline=clock.monotonic() + 60,
    )
    calls = ChannelCalls(clock, ChannelHealth(clock, worker_id="wrk_1"))
    return await calls.pay(remote_account("acct_1", channel=Says(outcome)), request)


COUNTERS = {
    UNLISTED_CODE: "tillgate_channel_unlisted_codes_total",
    REFUSED_UNSIGNED: "tillgate_channel_unsigned_refusals_total",
}


def counts() -> dict[str, float]:
    labels = {"channel": "alipay", "operation": "pay"}
    return {
        reason: REGISTRY.get_sample_value(name, labels) or 0.0 for reason, name in COUNTERS.items()
    }


@pytest.mark.parametrize("reason", [*COUNTERS, "timeout"])
async def test_what_an_adapter_cannot_read_is_counted_by_its_reason(reason: str) -> None:
    before = counts()
    outcome = await paid(o.Unknown(reason=reason))
    assert outcome == o.Unknown(reason=reason)
    after = counts()
    assert {name: after[name] - before[name] for name in after} == {
        name: float(name == reason) for name in after
    }


async def test_evidence_is_kept_without_the_payment_code_and_bounded() -> None:
    # The code stands across the bound: it is hidden before the text is cut.
    ahead = "x" * (EVIDENCE_CHARS_MAX - len(CODE) // 2)
    outcome = await paid(o.Unknown(reason="unreadable", evidence=f"\x00{CODE}{ahead}{CODE}"))
    assert outcome.evidence == f"{HIDDEN}{ahead}{HIDDEN}"[:EVIDENCE_CHARS_MAX]


async def test_an_exception_of_an_adapter_proves_nothing() -> None:
    outcome = await paid(RuntimeError(f"with {CODE} in it"))
    assert outcome == o.Unknown(reason="adapter_broken")
