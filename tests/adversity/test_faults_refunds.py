"""Refunds whose answer is lost, whose callback comes first, and which race for the last fen: each
number acts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.discovery import discover
from gateway.cli.client.client import Answer
from loadtests.audit import audit
from tests.adversity.house import taken, until
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Shop, shop

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")
OPEN = ("requested", "processing", "in_doubt")


@pytest.fixture(scope="module")
async def market(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        yield opened
    await postgres.give_back(dsn)


async def paid(market: Shop, channel: str) -> dict[str, Any]:
    document = await market.settled(
        (await taken(market, 1_000, auth_code=code(channel))).document["id"]
    )
    assert document["status"] == "succeeded", document
    return document


async def asked(market: Shop, payment: dict[str, Any], refund_no: str, amount: int) -> Answer:
    key = f"{payment['id']}-{refund_no}"
    return await market.till.refund(
        payment["id"],
        {"refund_no": key[-60:], "amount": amount, "reason": "cold soup"},
        key,
        wait_s=0,
    )


async def decided(market: Shop, refund_id: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            refund = (await market.till.refund_state(refund_id)).document
            if refund["status"] not in OPEN:
                return dict(refund)
            await asyncio.sleep(0.05)


async def given_back(market: Shop, payment: dict[str, Any]) -> list[tuple[str, int]]:
    """(number, amount) of every refund the channel made of this trade."""
    trade = (await market.captured(payment["method"]))[payment["out_trade_no"]]
    return [(act["number"], act["amount"]) for act in trade["history"] if act["act"] == "refunded"]


@pytest.mark.parametrize("channel", REMOTE)
@pytest.mark.parametrize(
    "fault", ["drop_after_charge", "drop_before", "http_500_after_charge", "bad_signature"]
)
async def test_fault_28_a_refund_whose_outcome_is_unknown_acts_once(
    market: Shop, channel: str, fault: str
):
    """The number was fixed before it left; asking, and sending again under the same number, ends
    it. A tap meanwhile is the same refund.
    """
    payment = await paid(market, channel)
    account = market.books.accounts[channel]
    armed = await market.sandbox.arm(channel, "refund", fault, account=account, times=1)
    first = (await asked(market, payment, "R", 400)).document
    await until(lambda: has_fired(market, armed["id"]))
    again = await asked(market, payment, "R", 400)
    assert (again.status, again.document["id"]) == (200, first["id"])
    ended = await decided(market, first["id"])
    assert (ended["status"], ended["verdict"]["code"]) == ("succeeded", "refunded"), ended
    assert await given_back(market, payment) == [(ended["out_refund_no"], 400)]
    assert (await market.till.payment(payment["id"])).document["amount_refunded"] == 400


async def has_fired(market: Shop, fault_id: int) -> bool:
    return any(row["id"] == fault_id and row["fired"] for row in await market.sandbox.faults())


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_28_the_refunds_callback_may_come_before_its_answer(market: Shop, channel: str):
    """One effect, whichever word comes first."""
    payment = await paid(market, channel)
    account = market.books.accounts[channel]
    armed = await market.sandbox.arm(
        channel, "refund", "callback_before_reply", account=account, times=1
    )
    refund = (await asked(market, payment, "B", 300)).document
    await until(lambda: has_fired(market, armed["id"]))
    ended = await decided(market, refund["id"])
    assert ended["status"] == "succeeded", ended
    types = await market.rows(
        "SELECT type FROM event WHERE object_id = $1 AND type = 'refund.succeeded'", refund["id"]
    )
    assert len(types) == 1
    assert await given_back(market, payment) == [(ended["out_refund_no"], 300)]


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_28_partial_refunds_that_race_never_exceed_the_capture(
    market: Shop, channel: str
):
    """Six times 300 of 1000, at the same moment: three are accepted, three are told why not, and
    the channel gave back 900.
    """
    payment = await paid(market, channel)
    answers = await asyncio.gather(*(asked(market, payment, f"P{n}", 300) for n in range(6)))
    refused = [answer.document["code"] for answer in answers if not answer.ok]
    assert refused == ["refund_exceeds_captured"] * 3
    for answer in answers:
        if answer.ok:
            assert (await decided(market, answer.document["id"]))["status"] == "succeeded"
    assert [amount for _, amount in await given_back(market, payment)] == [300] * 3
    assert (await market.till.payment(payment["id"])).document["amount_refunded"] == 900


async def test_and_the_books_agree(market: Shop):
    await until(lambda: agree(market))


async def agree(market: Shop) -> bool:
    violations = await audit(market.books.dsn, market.sandbox.control_url)
    return len(violations) == 0


async def test_past_the_channels_fiftieth_part_a_refund_ends_and_holds_nothing(market: Shop):
    """WeChat Pay refunds an order in at most fifty parts, and refuses the next by a signed word."""
    payment = await paid(market, "wechat")
    for n in range(50):
        assert (await asked(market, payment, f"part{n}", 1)).status == 201
    refund = (await asked(market, payment, "part50", 1)).document
    ended = await decided(market, refund["id"])
    assert (ended["status"], ended["failure"]["code"], ended["failure"]["channel_code"]) == (
        "failed",
        "refund_refused",
        "INVALID_REQUEST",
    )
    async with asyncio.timeout(PATIENCE_S):
        while True:
            sums = "SELECT sum(reserved_amount) AS held FROM attempt WHERE payment_id = $1"
            if not (await market.rows(sums, payment["id"]))[0]["held"]:
                return
            await asyncio.sleep(0.05)
