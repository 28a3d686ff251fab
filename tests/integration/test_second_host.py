"""One host of a channel is gone: the same account takes the payment at its other host, under the
same number, in the same attempt.
"""

import json
from typing import Any

import pytest

from adapters.discovery import discover
from tests.wallet_codes import code
from tests.world import Shop

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")


async def attempts_of(market: Shop, payment_id: str) -> list[dict[str, Any]]:
    rows = await market.rows(
        "SELECT status, evidence::text AS evidence FROM attempt WHERE payment_id = $1 "
        "ORDER BY number",
        payment_id,
    )
    return [{"status": row["status"], "evidence": json.loads(row["evidence"])} for row in rows]


async def shut(market: Shop, channel: str, host: str | None) -> None:
    await market.sandbox.arm(
        channel, "pay", "refuse_connection", account=market.books.accounts[channel], host=host
    )


# First of all, while no connection is kept open: only then is "refused" certain to be seen as such.
@pytest.mark.parametrize("channel", REMOTE)
async def test_both_hosts_down_is_proof_that_nothing_was_sent(market: Shop, channel: str):
    await shut(market, channel, None)
    failed = (await market.pay(4300, auth_code=code(channel))).document
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "channel_unreachable"), (
        failed
    )
    [attempt] = await attempts_of(market, failed["id"])
    assert attempt["status"] == "not_sent"
    assert [(item["proof"], item["words"]) for item in attempt["evidence"]] == [
        ("P0", "[second host; main: connect_refused]")
    ]
    assert failed["out_trade_no"] not in await market.captured(channel)


@pytest.mark.parametrize("channel", REMOTE)
async def test_main_host_down_and_the_same_account_takes_the_payment(market: Shop, channel: str):
    await shut(market, channel, "main")
    paid = (await market.pay(4400, auth_code=code(channel))).document
    assert paid["status"] == "succeeded", paid
    [attempt] = await attempts_of(market, paid["id"])
    assert attempt["status"] == "succeeded"
    [item] = attempt["evidence"]
    assert item["words"].startswith("[second host; main: connect_refused] ")
    truth = (await market.captured(channel))[paid["out_trade_no"]]
    assert (truth["state"], truth["amount"]) == ("charged", 4400)
    asked = {"refund_no": f"second-{channel}", "amount": 400, "reason": "cold"}
    refund = (await market.till.refund(paid["id"], asked, f"k-{channel}", wait_s=5)).document
    assert refund["status"] in ("succeeded", "processing"), refund


@pytest.mark.parametrize("channel", REMOTE)
async def test_a_refusal_at_the_second_host_frees_the_till(market: Shop, channel: str):
    await shut(market, channel, "main")
    refused = (await market.pay(4500, auth_code=code(channel, "01"))).document
    assert (refused["status"], refused["failure"]["code"]) == ("failed", "insufficient_balance"), (
        refused
    )
    [attempt] = await attempts_of(market, refused["id"])
    assert (attempt["status"], attempt["evidence"][0]["proof"]) == ("declined", "P1")


@pytest.mark.parametrize("channel", REMOTE)
async def test_a_lost_answer_is_asked_about_at_the_other_host_and_not_paid_again(
    market: Shop, channel: str
):
    account = market.books.accounts[channel]
    await market.sandbox.arm(
        channel, "pay", "drop_after_charge", account=account, host="main", times=1
    )
    await market.sandbox.arm(channel, "query", "drop_before", account=account, host="main")
    # It would end the doubt before anybody asks.
    await market.sandbox.arm(channel, "callback", "drop_before", account=account)
    async with market.sandbox.changed(channel, query_lag_ms_max=0):
        doubted = (await market.pay(4600, auth_code=code(channel), wait_s=0)).document
        paid = await market.settled(doubted["id"])
    assert paid["status"] == "succeeded", paid
    [attempt] = await attempts_of(market, paid["id"])
    assert [(item["source"], item["outcome"]) for item in attempt["evidence"]] == [
        ("pay", "Unknown"),
        ("query", "Succeeded"),
    ]
    assert attempt["evidence"][1]["words"].startswith("[second host] ")
    assert [row["fired"] for row in await market.sandbox.faults()][:2] == [1, 0]
    charges = [
        line
        for line in (await market.captured(channel))[paid["out_trade_no"]]["history"]
        if line["act"] == "charged"
    ]
    assert len(charges) == 1
