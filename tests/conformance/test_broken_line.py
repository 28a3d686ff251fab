"""Whatever the line does to whichever call: no answer of ours claims more than can be known, and
none is sent twice.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from adapters.channel import Flow, PayRequest
from gateway.domain import outcomes as out
from tests.conformance.side import CANCEL, PAY, QUERY, QUERY_REFUND, REFUND, Side

Act = Callable[[Side, PayRequest], Awaitable[Any]]
ACTS: dict[str, tuple[tuple[str, ...], Flow, Act]] = {
    "pay": (PAY, Flow.CODE, lambda side, request: side.pay(request)),
    "pay_qr": (PAY, Flow.QR, lambda side, request: side.pay(request)),
    "query": (QUERY, Flow.CODE, lambda side, request: side.query(request)),
    "cancel": (CANCEL, Flow.CODE, lambda side, request: side.cancel(request)),
    "cancel_qr": (CANCEL, Flow.QR, lambda side, request: side.cancel(request)),
    "refund": (
        REFUND,
        Flow.CODE,
        lambda side, request: side.refund(side.refund_request(request, 100)),
    ),
    "query_refund": (
        QUERY_REFUND,
        Flow.CODE,
        lambda side, request: side.query_refund(side.refund_request(request, 100)),
    ),
}
UNANSWERED = [
    "drop_before",
    "drop_after_charge",
    "drop_bytes_after",
    "http_500_before",
    "http_500_after_charge",
    "bad_signature",
]


async def prepared(side: Side, act: str) -> tuple[tuple[str, ...], PayRequest, Act]:
    """The call's operations, a request (its order is there if the call needs one), and the call."""
    operations, flow, run = ACTS[act]
    request = side.pay_request(flow)
    if not act.startswith("pay"):
        await side.pay(request)
    return operations, request, run


@pytest.mark.parametrize("fault", UNANSWERED)
@pytest.mark.parametrize("act", ACTS)
async def test_an_answer_that_is_lost_or_not_genuine_is_unknown(
    side: Side, act: str, fault: str
) -> None:
    operations, request, run = await prepared(side, act)
    await side.arm(operations, fault)
    outcome = await run(side, request)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Unknown), outcome
    assert all(secret.reveal() not in repr(outcome) for secret in request.presented.secrets)


@pytest.mark.parametrize("act", ACTS)
async def test_a_refused_connection_is_not_sent(side: Side, act: str) -> None:
    _, request, run = await prepared(side, act)
    async with side.fresh_connections() as fresh:
        await side.sandbox.arm(side.name, "pay", "refuse_connection", account=side.account)
        outcome = await run(fresh, request)
        assert await side.fired() == 1
        assert isinstance(outcome, out.NotSent), outcome
        assert outcome.reason
        if act == "pay":
            assert await side.ledger(request) is None
            # The same request, once the channel is back.
            assert isinstance(await run(fresh, request), out.Succeeded)


@pytest.mark.parametrize("act", [act for act in ACTS if not act.startswith("pay")])
async def test_a_system_error_proves_nothing(side: Side, act: str) -> None:
    operations, request, run = await prepared(side, act)
    await side.arm(operations, "system_error_not_charged")
    outcome = await run(side, request)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Unknown | out.CallAgain), outcome
