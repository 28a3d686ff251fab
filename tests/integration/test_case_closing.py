"""A frozen payment waits for persons; what two of them find is applied like a channel's word."""

from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from gateway.composition import case_closing
from gateway.domain.case import Finding, FindingRefused
from gateway.flow.case_closing import OpenCase
from tests.contract.drawn import person
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


def case_about(market: Shop, case_id: str, payment_id: str, **fields: Any) -> OpenCase:
    return OpenCase(
        id=case_id, merchant_id=market.books.merchant_id, object_id=payment_id, **fields
    )


@pytest.mark.parametrize(
    ("finding", "status"), [(Finding.PAID, "succeeded"), (Finding.NOT_CHARGED, "failed")]
)
async def test_a_finding_of_two_persons_decides(market: Shop, finding: Finding, status: str):
    payment = await frozen(market)
    case = case_about(market, await open_case(market, payment["id"]), payment["id"])
    closing = case_closing(market.world)
    waits = await closing.propose(case, finding, by=person("ann"), reason="looked at the console")
    assert waits.payment is not None
    assert waits.payment.frozen_at is not None
    proposed = replace(case, proposed_as=finding, proposed_by="ann")
    after = (await closing.confirm(proposed, by=person("bob"), reason="looked too")).payment
    assert after is not None
    assert (after.status, after.frozen_at) == (status, None)
    assert [item.source for item in after.attempts[0].evidence][-1] == "case"
    with pytest.raises(FindingRefused):
        await closing.confirm(proposed, by=person("bob"), reason="again")


async def test_the_database_refuses_one_person_twice(market: Shop):
    payment = await frozen(market)
    case_id = await open_case(market, payment["id"])
    await case_closing(market.world).propose(
        case_about(market, case_id, payment["id"]), Finding.PAID, by=person("ann"), reason="seen"
    )
    for forged in (
        "confirmed_by = 'ann'",
        "proposed_by = 'bob', confirmed_by = 'ann'",
        "proposed_as = 'not_charged', confirmed_by = 'bob'",
        "closed_by = 'ann', closed_at = now(), reason = 'seen'",
    ):
        with pytest.raises(asyncpg.PostgresError, match=r"two_persons|confirmed"):
            await market.rows(f'UPDATE "case" SET {forged} WHERE id = $1', case_id)


async def test_without_a_finding_the_payment_thaws_and_the_channel_decides(market: Shop):
    payment = await frozen(market)
    case = case_about(market, await open_case(market, payment["id"]), payment["id"])
    await case_closing(market.world).close(case, by=person("ops"), reason="a glitch of the channel")
    settled = await market.settled(payment["id"])
    assert (settled["status"], settled["amount_captured"]) == ("succeeded", 900)
