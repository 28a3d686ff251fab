"""Wallet payments end to end: the gateway's books against the sandbox's, for every remote channel
that takes payment codes.
"""

import asyncio

import pytest

from adapters.discovery import discover
from tests.patience import PATIENCE_S
from tests.wallet_codes import code
from tests.world import Shop, order_no

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")


@pytest.mark.parametrize("channel", REMOTE)
async def test_code_is_paid(market: Shop, channel: str):
    answer = await market.pay(12850, auth_code=code(channel, "00"))
    assert answer.status == 201, answer.document
    paid = answer.document
    assert (paid["status"], paid["method"], paid["amount_captured"], paid["verdict"]["code"]) == (
        "succeeded",
        channel,
        12850,
        "paid",
    )
    assert paid["channel_trade_no"]
    truth = (await market.captured(channel))[paid["out_trade_no"]]
    assert (truth["state"], truth["amount"]) == ("charged", 12850)


@pytest.mark.parametrize("channel", REMOTE)
@pytest.mark.parametrize(
    ("ending", "status", "failure", "retry"),
    [
        ("01", "failed", "insufficient_balance", "other_method"),
        ("02", "failed", None, "rescan"),
    ],
)
async def test_refusals(
    market: Shop, channel: str, ending: str, status: str, failure: str | None, retry: str
):
    paid = (await market.pay(700, auth_code=code(channel, ending))).document
    assert (paid["status"], paid["failure"]["retry"], paid["verdict"]["code"]) == (
        status,
        retry,
        "safe_to_charge_again",
    )
    assert failure is None or paid["failure"]["code"] == failure
    truth = (await market.captured(channel)).get(paid["out_trade_no"], {"state": "never seen"})
    assert truth["state"] != "charged"


@pytest.mark.parametrize("channel", REMOTE)
async def test_payer_types_and_pays(market: Shop, channel: str):
    answer = await market.pay(900, auth_code=code(channel, "03"), wait_s=0)
    assert answer.document["status"] in ("processing", "awaiting_payer")
    assert answer.document["verdict"]["code"] == "wait"
    paid = await market.settled(answer.document["id"])
    assert paid["status"] == "succeeded"


@pytest.mark.parametrize("channel", REMOTE)
async def test_payer_never_types_is_cancelled_and_expired(market: Shop, channel: str):
    answer = await market.pay(900, auth_code=code(channel, "04"))
    ended = await market.settled(answer.document["id"])
    assert (ended["status"], ended["failure"]["code"]) == ("expired", "payer_timeout"), ended
    assert (await market.captured(channel))[ended["out_trade_no"]]["state"] in (
        "closed",
        "reversed",
    )


async def test_lost_answers_are_resolved(market: Shop):
    """Side by side, because proving that nothing will ever be charged takes as long as a request
    can still act. Callbacks are held: one may come before the line is seen to break.
    """
    for channel in REMOTE:
        await market.sandbox.arm(
            channel, "callback", "callback_hold", account=market.books.accounts[channel]
        )
    fates = {"05": "succeeded", "06": "failed", "07": "failed"}
    await asyncio.gather(
        *(
            lost_answer(market, channel, ending, fates[ending])
            for channel in REMOTE
            for ending in fates
        )
    )


async def lost_answer(market: Shop, channel: str, ending: str, status: str) -> None:
    answer = await market.pay(900, auth_code=code(channel, ending), wait_s=0)
    ended = await market.settled(answer.document["id"])
    assert ended["status"] == status, ended
    assert [event["type"] for event in await events_of(market, ended["id"])] == [
        "payment.in_doubt",
        f"payment.{status}",
    ]
    truth = (await market.captured(channel)).get(ended["out_trade_no"], {"state": "never seen"})
    assert (truth["state"] == "charged") == (status == "succeeded")


@pytest.mark.parametrize("channel", REMOTE)
async def test_till_cancels(market: Shop, channel: str):
    waiting = (await market.pay(900, auth_code=code(channel, "04"), wait_s=1)).document
    answer = await market.till.cancel(waiting["id"], wait_s=20)
    assert answer.status == 200
    assert (answer.document["status"], answer.document["failure"]["code"]) == (
        "canceled",
        "canceled",
    ), answer.document
    assert (await market.captured(channel))[waiting["out_trade_no"]]["state"] in (
        "closed",
        "reversed",
    )
    again = await market.till.cancel(waiting["id"])
    assert (again.status, again.document["version"]) == (200, answer.document["version"])


@pytest.mark.parametrize("channel", REMOTE)
async def test_cancel_of_a_paid_payment_sends_nothing(market: Shop, channel: str):
    paid = (await market.pay(900, auth_code=code(channel, "00"))).document
    answer = await market.till.cancel(paid["id"])
    assert (answer.status, answer.document["code"], answer.document["verdict"]["code"]) == (
        409,
        "already_paid",
        "already_paid",
    )
    assert (await market.captured(channel))[paid["out_trade_no"]]["state"] == "charged"


@pytest.mark.parametrize("channel", REMOTE)
async def test_qr_is_scanned_and_paid(market: Shop, channel: str):
    shown = (await market.pay(4200, method=channel, flow="qr")).document
    assert (shown["status"], shown["next_action"]["type"]) == ("awaiting_payer", "show_qr"), shown
    assert shown["next_action"]["qr_code"]
    await market.sandbox.pay(shown["out_trade_no"])
    paid = await market.settled(shown["id"])
    assert (paid["status"], paid["amount_captured"]) == ("succeeded", 4200)


@pytest.mark.parametrize("channel", REMOTE)
async def test_qr_cancelled_unscanned(market: Shop, channel: str):
    shown = (await market.pay(4200, method=channel, flow="qr", expires_in=60)).document
    answer = await market.till.cancel(shown["id"], wait_s=2)
    assert answer.document["status"] in ("in_doubt", "canceled"), answer.document
    assert answer.document["cancel_requested_at"]


@pytest.mark.parametrize("channel", REMOTE)
async def test_refund_in_parts(market: Shop, channel: str):
    paid = (await market.pay(1000, auth_code=code(channel, "00"))).document
    answer = await market.till.refund(
        paid["id"],
        {"refund_no": f"{channel}1", "amount": 300, "reason": "cold soup"},
        f"{channel}-k1",
        wait_s=5,
    )
    assert answer.status == 201, answer.document
    refund = await refunded(market, answer.document["id"])
    assert refund["status"] == "succeeded", refund
    second = await market.till.refund(
        paid["id"],
        {"refund_no": f"{channel}2", "amount": 700, "reason": "all"},
        f"{channel}-k2",
        wait_s=5,
    )
    assert (await refunded(market, second.document["id"]))["status"] == "succeeded"
    truth = (await market.captured(channel))[paid["out_trade_no"]]
    assert (truth["state"], truth["refunded"]) == ("refunded", 1000)
    assert (await market.till.payment(paid["id"])).document["amount_refunded"] == 1000


@pytest.mark.parametrize("channel", REMOTE)
async def test_double_tap_charges_once(market: Shop, channel: str):
    order = order_no()
    scanned = code(channel, "00")
    taps = [
        market.pay(660, order_no=order, key=f"tap-{channel}", auth_code=scanned) for _ in range(4)
    ]
    answers = await asyncio.gather(*taps)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    assert len({answer.document["id"] for answer in answers}) == 1
    assert [
        row["amount"] for row in (await market.captured(channel)).values() if row["amount"] == 660
    ] == [660]


@pytest.mark.parametrize("channel", REMOTE)
async def test_a_dish_with_an_emoji_is_sold_and_refunded(market: Shop, channel: str):
    paid = (await market.pay(700, auth_code=code(channel, "00"), description="火锅🍲")).document
    assert paid["status"] == "succeeded", paid
    shown = (await market.pay(700, method=channel, flow="qr", description="🍲")).document
    assert shown["status"] == "awaiting_payer", shown
    body = {"refund_no": f"{channel}emoji", "amount": 100, "reason": "冷了🥶"}
    answer = await market.till.refund(paid["id"], body, f"{channel}-emoji", wait_s=5)
    assert (await refunded(market, answer.document["id"]))["status"] == "succeeded"


async def test_a_payment_that_a_query_settles_knows_what_was_received_and_who_gave_a_discount(
    market: Shop,
):
    assert market.sandbox is not None
    usual = await market.sandbox.settings("alipay")
    await market.sandbox.settings("alipay", voucher_fen=500)
    account = market.books.accounts["alipay"]
    await market.sandbox.arm("alipay", "callback", "drop_before", account=account)
    try:
        answer = await market.pay(2_000, auth_code=code("alipay", "05"), wait_s=0)
        ended = await market.settled(answer.document["id"], within_s=60)
    finally:
        await market.sandbox.disarm()
        await market.sandbox.settings(**usual)
    assert (ended["status"], ended["amount_captured"], ended["amount_received"]) == (
        "succeeded",
        2_000,
        1_500,
    )
    assert [(each["amount"], each["funded_by"]) for each in ended["discounts"]] == [
        (500, "merchant")
    ]


async def events_of(market: Shop, payment_id: str):
    rows = await market.rows(
        "SELECT type FROM event WHERE object_id = $1 AND public ORDER BY version", payment_id
    )
    return [dict(row) for row in rows]


async def refunded(market: Shop, refund_id: str):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            refund = (await market.till.refund_state(refund_id)).document
            if refund["status"] not in ("requested", "processing", "in_doubt"):
                return refund
            await asyncio.sleep(0.1)
