"""What reaches the merchant, and who paid the rest."""

from typing import Any

import pytest

from adapters.wechat.test_wechat import pay
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
