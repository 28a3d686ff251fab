"""What reaches the merchant, and who paid the rest."""

from typing import Any

import pytest

from adapters.alipay.test_alipay import CALLS, CODE_PAY, Alipay, channel, fixture
from gateway.domain.outcomes import Succeeded


def voucher(**told: Any) -> dict[str, Any]:
    return {"name": "店铺满减", "type": "ALIPAY_FIX_VOUCHER"} | told


SHARED = voucher(amount="5.00", merchant_contribute="5.00", other_contribute="0.00")
AS_NUMBERS = voucher(amount=10.0, merchant_contribute=9.0, other_contribute=1)
MONEY: list[tuple[dict[str, Any], int | None, list[tuple[int, str]]]] = [
    ({"receipt_amount": "123.50"}, 12_350, []),
    ({"receipt_amount": 123.5}, 12_350, []),
    ({"receipt_amount": None}, None, []),
    ({"receipt_amount": "0.00"}, None, []),  # the funds were not asked for
    ({"receipt_amount": "0.00", "voucher_detail_list": [SHARED]}, None, [(500, "merchant")]),
    (
        {
            "receipt_amount": "0.00",
            "voucher_detail_list": [voucher(amount="128.50", merchant_contribute="128.50")],
        },
        0,
        [(12_850, "merchant")],
    ),
    ({"receipt_amount": "128.51"}, None, []),
    ({"receipt_amount": "x"}, None, []),
    ({"voucher_detail_list": None}, 12_850, []),
    ({"voucher_detail_list": [SHARED]}, 12_850, [(500, "merchant")]),
    ({"voucher_detail_list": [AS_NUMBERS]}, 12_850, [(900, "merchant"), (100, "channel")]),
    (
        {"voucher_detail_list": f"[{voucher(amount='1.00')}]".replace("'", '"')},
        12_850,
        [(100, "channel")],
    ),
    ({"voucher_detail_list": "no list"}, 12_850, []),
    ({"voucher_detail_list": "{}"}, 12_850, []),
    (
        {"voucher_detail_list": [7, None, voucher(amount=[]), voucher(name=None, amount="2.00")]},
        12_850,
        [(200, "channel")],
    ),
    (
        {"voucher_detail_list": [voucher(amount="3.00", merchantContribute="1.00")]},
        12_850,
        [(100, "merchant"), (200, "channel")],
    ),
    (
        {"voucher_detail_list": [voucher(amount="3.00", other_contribute="1.00")]},
        12_850,
        [(200, "merchant"), (100, "channel")],
    ),
    (
        {"mdiscount_amount": "4.00", "discount_amount": "1.00"},
        12_850,
        [(400, "merchant"), (100, "channel")],
    ),
    ({"mdiscount_amount": 4.5, "discount_amount": "0.00"}, 12_850, [(450, "merchant")]),
    (
        {"voucher_detail_list": [SHARED], "mdiscount_amount": "5.00"},  # the sum of the list
        12_850,
        [(500, "merchant")],
    ),
]


@pytest.mark.parametrize("call", ["pay", "query"])
@pytest.mark.parametrize(("says", "received", "discounts"), MONEY)
async def test_what_reaches_the_merchant_and_who_paid_the_rest(
    *,
    call: str,
    says: dict[str, Any],
    received: int | None,
    discounts: list[tuple[int, str]],
) -> None:
    usual = fixture("query_paid") | {"gmt_payment": "2026-11-21 20:15:09"}
    paid = await CALLS[call](channel(Alipay(usual | says)))
    assert isinstance(paid, Succeeded)
    assert (paid.amount, paid.received_amount) == (CODE_PAY.amount, received)
    assert [(each.amount, each.funded_by) for each in paid.discounts] == discounts
