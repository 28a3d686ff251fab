"""Ending a payment unpaid. The worst mistake is to call something ended that can still charge."""

import pytest

from adapters.channel import Flow
from gateway.domain import outcomes as out
from tests.conformance.conftest import TOMBSTONES, WORLDS
from tests.conformance.side import AMOUNT, CANCEL, Side
from tests.sandbox_process import SandboxRefusedError

pytestmark = pytest.mark.parametrize("side", WORLDS + TOMBSTONES, indirect=True)


async def test_a_number_never_seen_is_only_ended_where_that_holds(
    side: Side, is_tombstone: bool
) -> None:
    request = side.pay_request()
    outcome = await side.cancel(request)
    assert isinstance(outcome, out.NothingThere | out.Reversed), outcome
    assert not (isinstance(outcome, out.Reversed) and not is_tombstone)
    late = await side.pay(request)
    charged, _ = await side.moved(request)
    assert charged == (0 if is_tombstone else AMOUNT)
    assert isinstance(late, out.Succeeded) == (not is_tombstone), late


async def test_a_qr_never_seen_is_not_ended(side: Side, is_tombstone: bool) -> None:
    outcome = await side.cancel(side.pay_request(Flow.QR))
    assert isinstance(outcome, out.NothingThere) or (
        is_tombstone and isinstance(outcome, out.Reversed)
    ), outcome


async def test_a_paid_code_is_given_back_once(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    for _ in range(3):
        outcome = await side.cancel(request)
        assert isinstance(outcome, out.Reversed), outcome
        assert outcome.was_charged in {True, None}
    assert await side.moved(request) == (AMOUNT, AMOUNT)
    asked = await side.query(request)
    assert isinstance(asked, out.Closed)
    assert asked.was_charged in {True, None}


async def test_a_payer_who_still_types_can_no_longer_pay(side: Side) -> None:
    request = side.pay_request(magic="04")
    await side.pay(request)
    outcome = await side.cancel(request)
    assert isinstance(outcome, out.Reversed), outcome
    assert outcome.was_charged is not True
    with pytest.raises(SandboxRefusedError):
        await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    assert await side.moved(request) == (0, 0)
    assert isinstance(await side.query(request), out.Closed | out.NotFound)


async def test_a_qr_nobody_paid_can_no_longer_be_paid_where_it_was_ended(side: Side) -> None:
    request = side.pay_request(Flow.QR)
    await side.pay(request)
    outcome = await side.cancel(request)
    assert isinstance(outcome, out.Reversed | out.NothingThere), outcome
    assert isinstance(outcome, out.NothingThere) or outcome.was_charged is not True
    try:
        await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    except SandboxRefusedError:
        assert await side.moved(request) == (0, 0)
    else:
        assert isinstance(outcome, out.NothingThere)  # it had said that this proves nothing


async def test_a_paid_qr_is_given_back_or_left_to_a_refund(side: Side) -> None:
    request = side.pay_request(Flow.QR)
    await side.pay(request)
    await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    outcome = await side.cancel(request)
    if isinstance(outcome, out.UseRefund):
        assert await side.moved(request) == (AMOUNT, 0)
        assert isinstance(await side.query(request), out.Succeeded)
    else:
        assert isinstance(outcome, out.Reversed), outcome
        assert outcome.was_charged in {True, None}
        assert await side.moved(request) == (AMOUNT, AMOUNT)


async def test_a_cancel_whose_answer_is_lost_is_repeated_to_its_end(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    await side.arm(CANCEL, "drop_after_charge", times=1)
    assert isinstance(await side.cancel(request), out.Unknown)
    assert isinstance(await side.cancel(request), out.Reversed)
    assert await side.fired() == 1
    assert await side.moved(request) == (AMOUNT, AMOUNT)


async def test_the_channel_may_ask_to_be_called_again(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    await side.arm(CANCEL, "cancel_retry", times=1)
    assert isinstance(await side.cancel(request), out.CallAgain)
    assert isinstance(await side.cancel(request), out.Reversed)
    assert await side.fired() == 1


async def test_a_cancel_of_another_order_ends_nothing(side: Side) -> None:
    request = side.pay_request(magic="04")
    await side.pay(request)
    await side.arm(CANCEL, "wrong_order")
    outcome = await side.cancel(request)
    assert await side.fired() == 1
    assert not isinstance(outcome, out.Reversed | out.NothingThere | out.UseRefund), outcome


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_order"])
@pytest.mark.parametrize("magic", ["00", "04"])
async def test_a_query_about_something_else_settles_nothing(
    side: Side, magic: str, fault: str
) -> None:
    request = side.pay_request(magic=magic)
    await side.pay(request)
    await side.arm(("query",), fault)
    outcome = await side.query(request)
    assert await side.fired() == 1
    if magic == "00" or fault == "wrong_order":
        assert isinstance(outcome, out.Mismatch), outcome
    else:
        assert not isinstance(outcome, out.Succeeded | out.Closed), outcome


async def test_the_end_of_another_order_is_not_ours(side: Side) -> None:
    request = side.pay_request()
    await side.pay(request)
    await side.cancel(request)
    await side.arm(("query",), "wrong_order")
    outcome = await side.query(request)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Mismatch), outcome


async def test_an_order_that_queries_do_not_see_yet_is_not_found(side: Side) -> None:
    request = side.pay_request(magic="05")
    await side.arm(("query",), "not_found_for_ms", delay_ms=60_000)
    await side.pay(request)
    assert isinstance(await side.query(request), out.NotFound)
    assert await side.fired() == 1
    assert isinstance(await side.query(request), out.Succeeded)
