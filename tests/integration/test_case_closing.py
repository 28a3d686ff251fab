"""A frozen payment waits for a person; what the person finds is applied like a channel's word."""

import pytest

from gateway.composition import case_closing
from gateway.domain.case import Finding
from gateway.domain.errors import NotFound
from tests.wallet_codes import code
from tests.world import Shop


async def frozen(market: Shop) -> dict:
    """A payment whose channel answered with another amount.

    Its callback, which tells the right one and may come first, is held.
    """
    account = market.books.accounts["alipay"]
    await market.sandbox.arm("alipay", "callback", "callback_hold", account=account)
    await market.sandbox.arm("alipay", "pay", "wrong_amount", account=account, times=1)
    payment = (await market.pay(900, auth_code=code("alipay", "00"))).document
    assert (payment["status"], payment["verdict"]["code"]) == ("in_doubt", "do_not_charge_again")
    refused = await market.till.refund(
        payment["id"], {"refund_no": payment["id"][-20:], "amount": 1, "reason": ""}, payment["id"]
    )
    assert refused.document["code"] == "payment_frozen"
    return payment


async def open_case(market: Shop, payment_id: str) -> str:
    rows = await market.rows(
        'SELECT id FROM "case" WHERE object_id = $1 AND closed_at IS NULL', payment_id
    )
    assert len(rows) == 1
    return rows[0]["id"]


@pytest.mark.parametrize(
    ("finding", "status"), [(Finding.PAID, "succeeded"), (Finding.NOT_CHARGED, "failed")]
)
async def test_a_finding_decides(market: Shop, finding: Finding, status: str):
    payment = await frozen(market)
    case = await open_case(market, payment["id"])
    closing = case_closing(market.world)
    after = await closing.close(
        market.books.merchant_id,
        case,
        payment["id"],
        finding,
        by="finance",
        reason="looked at the channel's console",
    )
    assert after is not None
    assert (after.status, after.frozen_at) == (status, None)
    assert [item.source for item in after.attempts[0].evidence][-1] == "case"
    with pytest.raises(NotFound):
        await closing.close(
            market.books.merchant_id, case, payment["id"], finding, by="finance", reason="again"
        )


async def test_without_a_finding_the_payment_thaws_and_the_channel_decides(market: Shop):
    payment = await frozen(market)
    case = await open_case(market, payment["id"])
    await case_closing(market.world).close(
        market.books.merchant_id,
        case,
        payment["id"],
        None,
        by="ops",
        reason="a glitch of the channel",
    )
    settled = await market.settled(payment["id"])
    assert (settled["status"], settled["amount_captured"]) == ("succeeded", 900)
