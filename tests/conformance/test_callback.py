"""Callbacks: genuine ones are read, resent ones are recognised, and nothing else is believed."""

import random
from typing import Any

import pytest

from adapters.channel import Callback, CallbackRefused, Flow, PayRequest
from gateway.domain import outcomes as out
from tests.conformance.side import AMOUNT, Received, Side
from tests.sandbox_process import SandboxRefusedError

CHANGED_BYTES = 40


async def paid_qr(side: Side) -> PayRequest:
    """A QR payment without callbacks of its own: the test asks for them."""
    request = side.pay_request(Flow.QR)
    await side.sandbox.arm(side.name, "callback", "drop_before", account=side.account)
    await side.pay(request)
    await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    await side.sandbox.disarm()
    return request


async def called(side: Side, request: PayRequest, **terms: Any) -> list[dict[str, Any]]:
    return await side.sandbox.callbacks(side.name, side.account, request.out_trade_no, **terms)


async def test_a_payment_is_told_by_itself_and_again_under_the_same_key(side: Side) -> None:
    request = side.pay_request(Flow.QR)
    await side.pay(request)
    await side.sandbox.arm(side.name, "callback", "callback_hold", account=side.account)
    await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    answers = await called(side, request, times=3)
    await side.sandbox.disarm()  # releases the one it would have sent by itself
    accepted = side.postbox.accepted()
    assert len({one.event_key for one in accepted}) == 1
    assert len(accepted) >= len(answers) == 3
    for callback in accepted:
        assert (callback.kind, callback.out_trade_no, callback.amount) == (
            "pay",
            request.out_trade_no,
            AMOUNT,
        )
        assert isinstance(callback.learned, out.Succeeded)
        assert callback.learned.amount == AMOUNT
        assert callback.learned.channel_trade_no
        assert callback.learned.evidence
    accepted_as = side.channel.callback_accepted()
    assert {(answer["status"], answer["body"]) for answer in answers} == {
        (accepted_as.status, accepted_as.body.decode())
    }


async def test_two_events_have_two_keys(side: Side) -> None:
    first, second = await paid_qr(side), await paid_qr(side)
    for request in (first, second):
        await called(side, request)
    keys = {one.out_trade_no: one.event_key for one in side.postbox.accepted()}
    assert len(set(keys.values())) == len(keys) == 2


async def test_a_refund_is_told_with_its_number(side: Side) -> None:
    request = await paid_qr(side)
    await called(side, request)
    refund = side.refund_request(request, 700)
    await side.sandbox.arm(side.name, "callback", "drop_before", account=side.account)
    await side.refund(refund)
    await side.settled_refund(refund)
    await side.sandbox.disarm()
    await called(side, request, kind="refund", times=2)
    payment, *refunds = side.postbox.accepted()
    assert len(refunds) == 2
    assert {one.event_key for one in refunds}.isdisjoint({payment.event_key})
    assert len({one.event_key for one in refunds}) == 1
    for callback in refunds:
        assert (callback.kind, callback.out_trade_no, callback.out_refund_no) == (
            "refund",
            request.out_trade_no,
            refund.out_refund_no,
        )
        # Where a callback only states what all refunds come to, it proves nothing about this one.
        assert callback.refund is None or (
            isinstance(callback.refund, out.RefundSucceeded) and callback.refund.amount == 700
        )


@pytest.mark.parametrize("forged", ["signature", "signtest", "app", "seller_or_mchid"])
async def test_a_forged_callback_is_refused(side: Side, forged: str) -> None:
    request = await paid_qr(side)
    try:
        answers = await called(side, request, forged=forged)
    except SandboxRefusedError as refused:
        if forged != "signtest":
            raise
        pytest.skip(f"this channel sends no such probe: {refused}")
    assert side.postbox.accepted() == []
    assert len(side.postbox.refused()) == 1
    refused_as = side.channel.callback_refused()
    assert answers == [{"status": refused_as.status, "body": refused_as.body.decode()}]
    assert refused_as != side.channel.callback_accepted()


async def test_a_genuine_callback_about_something_else_is_for_the_flow_to_judge(side: Side) -> None:
    request = await paid_qr(side)
    await called(side, request, forged="amount")
    await called(side, request, forged="order")
    amount, order = side.postbox.accepted()
    assert (amount.out_trade_no, amount.amount) == (request.out_trade_no, AMOUNT + 1)
    assert order.out_trade_no != request.out_trade_no


async def test_another_accounts_callback_is_refused(
    side: Side, sides: dict[tuple[str, str], Side]
) -> None:
    received = await one_genuine(side)
    if (side.name, "stranger") not in sides:
        enrolled = await side.sandbox.enroll(side.name, "stranger")
        sides[side.name, "stranger"] = Side(
            side.sandbox, side.manifest, "stranger", enrolled["credentials"], side.postbox
        )
    with pytest.raises(CallbackRefused):
        sides[side.name, "stranger"].channel.read_callback(received.headers, received.body)


async def test_no_changed_byte_changes_what_is_believed(side: Side) -> None:
    received = await one_genuine(side)
    assert isinstance(received.read, Callback)
    seed = random.getrandbits(32)
    chance = random.Random(seed)
    for _ in range(CHANGED_BYTES):
        at, bit = chance.randrange(len(received.body)), chance.randrange(8)
        changed = bytearray(received.body)
        changed[at] ^= 1 << bit
        believed = attempt(side, received.headers, bytes(changed))
        # One form may be written in two ways (`%2f`, `%2F`): what is read must then be the very
        # same.
        assert believed in (None, facts(received.read)), f"seed {seed}: byte {at}, bit {bit}"


async def test_what_is_no_callback_is_refused(side: Side) -> None:
    received = await one_genuine(side)
    for headers, body in [
        ({}, b""),
        (received.headers, b""),
        (received.headers, received.body[:-1]),
        (received.headers, received.body * 2),
        (received.headers, b"\x00" * 100),
        (received.headers, b"[" * 60_000),
        (received.headers, b"a=" * 30_000),
        (received.headers, received.body + b" " * 70_000),
    ]:
        with pytest.raises(CallbackRefused) as refused:
            side.channel.read_callback(headers, body)
        assert len(refused.value.reason) < 40


async def one_genuine(side: Side) -> Received:
    await called(side, await paid_qr(side))
    [received] = side.postbox.received
    return received


def attempt(side: Side, headers: Any, body: bytes) -> Any:
    try:
        return facts(side.channel.read_callback(headers, body))
    except CallbackRefused:
        return None


def facts(callback: Callback) -> tuple[Any, ...]:
    learned = callback.learned
    assert isinstance(learned, out.Succeeded)
    return (
        callback.event_key,
        callback.kind,
        callback.out_trade_no,
        callback.amount,
        learned.amount,
        learned.channel_trade_no,
    )
