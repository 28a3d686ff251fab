"""Money that arrives after we said no: given back, once, and never what the cancel gave back
already.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.adversity.house import until
from tests.adversity.quiet_shop import (
    ACKNOWLEDGED,
    REFUSED,
    books_agree,
    called_back,
    inbox,
    is_applied,
    now,
    shown,
    sweeping,
)
from tests.wallet_codes import code
from tests.world import Shop


@pytest.mark.parametrize(("channel", "operation"), [("alipay", "cancel"), ("wechat", "close")])
async def test_fault_22_money_after_a_cancel_is_given_back(
    quiet: Shop, channel: str, operation: str
):
    """The channel said "cancelled" and took the diner's money all the same."""
    account = quiet.books.accounts[channel]
    await quiet.sandbox.arm(channel, operation, "lie_success", account=account, times=1)
    payment = await shown(quiet, channel)
    assert (await ended_by_cancel(quiet, payment))["status"] == "canceled"
    await quiet.sandbox.pay(payment["out_trade_no"])
    await until(lambda: has_status(quiet, payment, "paid_late"))
    late = await given_back(quiet, payment)
    assert late["verdict"]["code"] == "refunded"
    refunds = (await quiet.office.call("GET", f"/v1/payments/{payment['id']}/refunds")).document[
        "data"
    ]
    assert [(row["origin"], row["status"], row["amount"]) for row in refunds] == [
        ("late", "succeeded", 4_200)
    ]
    assert refunds[0]["refund_no"] == f"late.{payment['out_trade_no']}"
    trade = (await quiet.captured(channel))[payment["out_trade_no"]]
    assert (trade["state"], trade["refunded"]) == ("refunded", 4_200)
    types = [
        row["type"]
        for row in await quiet.rows(
            "SELECT type FROM event WHERE public AND object_id = ANY($1) ORDER BY xid, seq",
            [payment["id"], refunds[0]["id"]],
        )
    ]
    assert [
        kind
        for kind in types
        if kind in ("payment.canceled", "payment.paid_late", "refund.succeeded")
    ] == [
        "payment.canceled",
        "payment.paid_late",
        "refund.succeeded",
    ]


async def test_fault_22_old_news_of_money_that_the_cancel_gave_back(quiet: Shop):
    """Charged and not seen, so cancelled, which gave the money back; then comes the callback of
    that charge: nothing is owed.
    """
    account = quiet.books.accounts["alipay"]
    await quiet.sandbox.arm("alipay", "pay", "drop_after_charge", account=account, times=1)
    await quiet.sandbox.arm("alipay", "pay", "callback_after_cancel", account=account, times=1)
    await quiet.sandbox.arm("alipay", "query", "not_found_for_ms", account=account, delay_ms=60_000)
    payment = (await quiet.pay(990, auth_code=code("alipay"), wait_s=1)).document
    ended = await ended_by_cancel(quiet, payment)
    assert ended["status"] == "canceled", ended
    # Until now the channel would not say what became of the money, and the callback was refused.
    await quiet.sandbox.disarm()
    await until(lambda: is_applied(quiet, payment))
    still = await now(quiet, payment)
    assert (still["status"], still["verdict"]) == (ended["status"], ended["verdict"])
    told = await quiet.rows(
        "SELECT FROM event WHERE public AND object_id = $1 AND version > $2",
        payment["id"],
        ended["version"],
    )
    assert told == [], "asking again is our own business"
    assert await quiet.rows("SELECT FROM refund WHERE payment_id = $1", payment["id"]) == []
    trade = (await quiet.captured("alipay"))[payment["out_trade_no"]]
    assert [act["act"] for act in trade["history"]] == ["charged", "reversed"]


async def test_fault_22_a_yes_after_a_no_waits_for_the_channels_present_word(quiet: Shop):
    """While the channel cannot be asked, the callback is not acknowledged: it comes again."""
    account = quiet.books.accounts["alipay"]
    await quiet.sandbox.arm("alipay", "cancel", "lie_success", account=account, times=1)
    payment = await shown(quiet, "alipay")
    assert (await ended_by_cancel(quiet, payment))["status"] == "canceled"
    await quiet.sandbox.arm("alipay", "callback", "drop_before", account=account, times=1)
    await quiet.sandbox.arm("alipay", "query", "http_500_before", account=account, times=1)
    await quiet.sandbox.pay(payment["out_trade_no"])
    assert await called_back(quiet, "alipay", payment) == [REFUSED["alipay"]]
    assert ((await now(quiet, payment))["status"], await inbox(quiet, payment)) == (
        "canceled",
        [False],
    )
    assert await called_back(quiet, "alipay", payment) == [ACKNOWLEDGED["alipay"]]
    assert ((await now(quiet, payment))["status"], await inbox(quiet, payment)) == (
        "paid_late",
        [True],
    )


async def has_status(quiet: Shop, payment: dict[str, Any], status: str) -> bool:
    return bool((await now(quiet, payment))["status"] == status)


async def ended_by_cancel(quiet: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """Cancelled by the till, and swept until it is final."""
    await quiet.till.cancel(payment["id"], wait_s=0)
    async with sweeping(quiet):
        return await quiet.settled(payment["id"])


async def given_back(quiet: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """Swept until its automatic refund is decided."""
    async with sweeping(quiet):
        await until(lambda: no_refund_is_open(quiet, payment))
    return await now(quiet, payment)


async def no_refund_is_open(quiet: Shop, payment: dict[str, Any]) -> bool:
    rows = await quiet.rows("SELECT status FROM refund WHERE payment_id = $1", payment["id"])
    return bool(rows) and all(
        row["status"] not in ("requested", "processing", "in_doubt") for row in rows
    )


async def test_and_the_books_agree(quiet: Shop):
    """All of the above, swept to its end: two channels lied about a cancel."""
    await books_agree(quiet)
