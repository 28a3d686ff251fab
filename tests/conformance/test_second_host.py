"""Two hosts, one ledger: what may go to the second host, and what must not."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.channel import MAIN_HOST, SECOND_HOST, PayRequest, TradeRef
from gateway.domain import outcomes as out
from gateway.flow.call.hosts import on_some_host
from tests.conformance.side import CANCEL, CLOCK, PAY, QUERY, QUERY_REFUND, REFUND, Side
from tests.fakes.accounts import remote_account

Call = Callable[[Any], Awaitable[Any]]


async def called(side: Side, call: Call, request: Any, silences: int = 0) -> Any:
    """As the flow does it. `side.transport.sent` counts what was handed to the transport."""
    account = remote_account(side.account, side.manifest, channel=side.channel)
    side.transport.sent = 0
    return await on_some_host(
        account,
        "test",
        lambda host: call(replace(request, host=host)),
        clock=CLOCK,
        deadline=request.deadline,
        silences=silences,
    )


async def shut(side: Side, host: str | None = None) -> None:
    await side.sandbox.arm(side.name, "pay", "refuse_connection", account=side.account, host=host)


async def test_an_account_here_has_two_hosts_and_one_ledger(side: Side) -> None:
    assert side.channel.hosts == 2
    request = side.pay_request()
    assert isinstance(await side.pay(replace(request, host=SECOND_HOST)), out.Succeeded)
    assert isinstance(
        await side.channel.query(replace(side.trade(request), host=MAIN_HOST)), out.Succeeded
    )
    again = await side.pay(replace(request, host=MAIN_HOST))
    assert isinstance(again, out.AlreadyExists), again
    assert await side.moved(request) == (request.amount, 0)


async def test_main_host_refuses_and_the_second_takes_the_same_number(side: Side) -> None:
    request = side.pay_request()
    async with side.fresh_connections() as fresh:
        await shut(side, "main")
        outcome = await called(fresh, fresh.pay, request)
        assert fresh.transport.sent == 2
    assert isinstance(outcome, out.Succeeded), outcome
    assert outcome.evidence.startswith("[second host; main: connect_refused] ")
    assert await side.moved(request) == (request.amount, 0)


async def test_a_refusal_of_the_second_host_is_still_proof(side: Side) -> None:
    request = side.pay_request(magic="01")
    async with side.fresh_connections() as fresh:
        await shut(side, "main")
        outcome = await called(fresh, fresh.pay, request)
    assert isinstance(outcome, out.Declined), outcome
    assert outcome.proof is out.Proof.SIGNED_REFUSAL
    assert await side.moved(request) == (0, 0)


@pytest.mark.parametrize(
    "fault",
    [
        "drop_before",
        "drop_after_charge",
        "http_500_before",
        "system_error_charged",
        "bad_signature",
    ],
)
async def test_a_pay_that_left_is_never_tried_at_the_second_host(side: Side, fault: str) -> None:
    request = side.pay_request()
    await side.arm(PAY, fault, host="main")
    outcome = await called(side, side.pay, request)
    assert isinstance(outcome, out.Unknown), outcome
    assert side.transport.sent == 1
    assert await side.fired() == 1


async def test_the_main_hosts_refusal_ends_it(side: Side) -> None:
    request = side.pay_request(magic="01")
    assert isinstance(await called(side, side.pay, request), out.Declined)
    assert side.transport.sent == 1


async def test_both_hosts_down_is_not_sent(side: Side) -> None:
    request = side.pay_request()
    async with side.fresh_connections() as fresh:
        await shut(side)
        outcome = await called(fresh, fresh.pay, request)
        assert fresh.transport.sent == 2
    assert isinstance(outcome, out.NotSent), outcome
    assert outcome.evidence == "[second host; main: connect_refused]"
    assert await side.ledger(request) is None


async def test_nothing_leaves_after_the_deadline(side: Side) -> None:
    request = side.pay_request(deadline=CLOCK.monotonic())
    outcome = await called(side, side.pay, request)
    assert (type(outcome), outcome.reason, side.transport.sent) == (out.NotSent, "deadline", 1)
    assert await side.ledger(request) is None


async def test_a_query_after_a_silence_goes_to_the_other_host(side: Side) -> None:
    request = side.pay_request()
    await side.arm(PAY, "drop_after_charge", host="main")
    assert isinstance(await called(side, side.pay, request), out.Unknown)
    await side.arm(QUERY, "drop_before", host="main")
    assert isinstance(
        await called(side, side.query_of, side.trade(request), silences=0), out.Unknown
    )
    found = await called(side, side.query_of, side.trade(request), silences=1)
    assert isinstance(found, out.Succeeded), found
    assert found.evidence.startswith("[second host] ")
    assert side.transport.sent == 1
    assert await side.moved(request) == (request.amount, 0)


async def test_a_query_finds_the_host_that_listens(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    for host, silences in (("main", 0), ("second", 1)):
        async with side.fresh_connections() as fresh:
            await shut(side, host)
            assert isinstance(
                await called(fresh, fresh.query_of, side.trade(request), silences=silences),
                out.Succeeded,
            )
            assert fresh.transport.sent == 2
        await side.sandbox.disarm()


async def test_a_cancel_is_repeated_at_the_other_host(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    await side.arm(CANCEL, "drop_after_charge", host="main")
    assert isinstance(await called(side, side.cancel_of, side.trade(request)), out.Unknown)
    assert isinstance(
        await called(side, side.cancel_of, side.trade(request), silences=1), out.Reversed
    )
    assert await side.moved(request) == (request.amount, request.amount)


async def test_a_refund_is_repeated_at_the_other_host(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    refund = side.refund_request(request, 300)
    await side.arm(REFUND, "drop_after_charge", host="main")
    assert isinstance(await called(side, side.refund, refund), out.Unknown)
    await side.arm(QUERY_REFUND, "drop_before", host="main")
    assert isinstance(await called(side, side.query_refund, refund), out.Unknown)
    again = await called(side, side.refund, refund, silences=1)
    assert isinstance(again, out.RefundSucceeded | out.RefundPending), again
    await side.sandbox.disarm()
    assert isinstance(await side.settled_refund(refund), out.RefundSucceeded)
    assert await side.moved(request) == (request.amount, 300)


async def test_one_host_is_asked_once(side: Side) -> None:
    alone = {
        name: value for name, value in side.credentials.items() if not name.startswith("second_")
    }
    channel = side.built(alone)
    assert channel.hosts == 1
    async with side.fresh_connections() as fresh:
        fresh.channel = fresh.built(alone)
        await shut(side)
        request: PayRequest = side.pay_request()
        outcome = await called(fresh, fresh.pay, request)
        assert (type(outcome), outcome.evidence, fresh.transport.sent) == (out.NotSent, "", 1)
        trade: TradeRef = side.trade(request)
        assert isinstance(await called(fresh, fresh.query_of, trade, silences=3), out.NotSent)
        assert fresh.transport.sent == 1
