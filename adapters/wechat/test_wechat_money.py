"""What reaches the merchant, who paid the rest, and in which day's bill it stands."""

import datetime as dt
from typing import Any

import pytest

from adapters.wechat import translate
from adapters.wechat.test_wechat import fixture, pay, refund
from adapters.wechat.test_wechat_channel import channel, told
from gateway.domain import outcomes as out

COUPON = {"name": "券", "type": "NOCASH", "amount": 500, "merchant_contribute": 200}


@pytest.mark.parametrize(
    ("changed", "received", "discounts"),
    [
        ({}, 12850, []),
        ({"amount": {"total": 12850, "payer_total": 12350}}, None, []),
        ({"promotion_detail": [COUPON]}, 12350, [(200, "merchant"), (300, "channel")]),
        (
            {"promotion_detail": [COUPON | {"merchant_contribute": None}]},
            12350,
            [(500, "channel")],
        ),
        ({"promotion_detail": [COUPON | {"amount": "500"}]}, 12850, []),
        ({"promotion_detail": {}}, 12850, []),
        (
            {"promotion_detail": [COUPON | {"amount": 12851}]},
            None,
            [(200, "merchant"), (12651, "channel")],
        ),
    ],
)
async def test_what_reaches_the_merchant(
    changed: dict[str, Any], received: int | None, discounts: list[tuple[int, str]]
) -> None:
    wechat, _ = channel(told("codepay_succeeded", **changed))
    outcome = await wechat.pay(pay())
    assert isinstance(outcome, out.Succeeded)
    assert (outcome.amount, outcome.received_amount) == (12850, received)
    assert [(each.amount, each.funded_by) for each in outcome.discounts] == discounts


async def test_coupons_are_split_by_who_pays_for_them() -> None:
    wechat, _ = channel(told("codepay_succeeded_with_coupons"))
    outcome = await wechat.pay(pay())
    assert isinstance(outcome, out.Succeeded)
    assert (outcome.amount, outcome.received_amount) == (12850, 12350)
    assert outcome.discounts == (
        out.Discount(name="满百减五", amount=500, funded_by="channel"),
        out.Discount(name="店庆券", amount=500, funded_by="merchant"),
    )


def test_a_refund_tells_when_it_was_accepted() -> None:
    """Its day in the bill, which no later answer changes; a callback has no such word."""
    accepted = dt.datetime.fromisoformat("2026-11-21T13:00:00+08:00")
    for answer in ("refund_processing", "refund_succeeded"):
        told = translate.refund_outcome(refund(), fixture(answer))
        assert isinstance(told, out.RefundPending | out.RefundSucceeded)
        assert told.accepted_at == accepted
        silent = translate.refund_outcome(refund(), fixture(answer, create_time=None))
        assert isinstance(silent, out.RefundPending | out.RefundSucceeded)
        assert silent.accepted_at is None
