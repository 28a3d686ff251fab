"""What a channel, or the way to it, can do to a payment:
not there, silent, late, garbled, lying, forgetful.

Everything is judged twice: by what the gateway says, and by the channel's own ledger. Callbacks:
`test_faults_callbacks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.discovery import discover
from loadtests.audit import audit
from tests.adversity.house import taken, until
from tests.sandbox_process import SandboxProcess, SandboxRefusedError
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")
GARBLED = (
    "http_500_after_charge",
    "drop_bytes_after",
    "bad_signature",
    "stale_timestamp",
    "system_error_charged",
)
STATUS = "SELECT status, not_founds FROM attempt WHERE out_trade_no = $1"


@pytest.fixture(scope="module")
async def market(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """A shop with its sweeper."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        yield opened
    await postgres.give_back(dsn)


async def struck(
    market: Shop, channel: str, operation: str, fault: str, **terms: Any
) -> dict[str, Any] | None:
    """A payment that met the fault at its pay call; None where this channel has no such fault."""
    account = market.books.accounts[channel]
    await until(lambda: is_trusted(market, channel))
    try:
        armed = await market.sandbox.arm(
            channel, operation, fault, account=account, times=1, **terms
        )
    except SandboxRefusedError:
        return None
    # Nobody tells: it has to be asked.
    await market.sandbox.arm(channel, "callback", "drop_before", account=account)
    payment: dict[str, Any] = (await taken(market, 900, auth_code=code(channel), wait_s=0)).document
    await until(lambda: has_fired(market, armed["id"]))
    return payment


async def is_trusted(market: Shop, channel: str) -> bool:
    """Paid as usual: no account rests here because of the faults it met before."""
    return bool(
        (await taken(market, 100, auth_code=code(channel))).document["status"] == "succeeded"
    )


async def has_fired(market: Shop, fault_id: int) -> bool:
    return any(row["id"] == fault_id and row["fired"] for row in await market.sandbox.faults())


async def events_of(market: Shop, payment_id: str) -> list[str]:
    rows = await market.rows(
        "SELECT type FROM event WHERE object_id = $1 AND public ORDER BY version", payment_id
    )
    return [row["type"] for row in rows]


async def acts(market: Shop, payment: dict[str, Any]) -> list[str]:
    """What the channel did with the trade."""
    trade = (await market.captured(payment["method"])).get(payment["out_trade_no"], {"history": []})
    return [act["act"] for act in trade["history"]]


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_13_no_connection_is_a_proven_no_at_once(market: Shop, channel: str):
    """Refused before a byte: the cashier hears so while the customer still stands there, and the
    same code works at the next try.
    """
    account, order, scanned = market.books.accounts[channel], order_no(), code(channel)
    await until(lambda: is_trusted(market, channel))
    await market.sandbox.arm(channel, "pay", "refuse_connection", account=account)
    refused = (await market.pay(900, order_no=order, key=f"{order}-1", auth_code=scanned)).document
    assert (refused["status"], refused["verdict"]["code"]) == ("failed", "safe_to_charge_again"), (
        refused
    )
    assert [attempt["status"] for attempt in refused["attempts"]] == ["not_sent"]
    await market.sandbox.disarm()
    paid = await market.settled(
        (await taken(market, 900, order_no=order, key=f"{order}-2", auth_code=scanned)).document[
            "id"
        ]
    )
    assert paid["status"] == "succeeded", paid
    assert refused["out_trade_no"] not in await market.captured(channel)


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_14_charged_and_the_answer_lost_is_found_by_a_query(market: Shop, channel: str):
    payment = await struck(market, channel, "pay", "drop_after_charge")
    assert payment is not None
    paid = await market.settled(payment["id"])
    assert paid["status"] == "succeeded", paid
    assert await events_of(market, paid["id"]) == ["payment.in_doubt", "payment.succeeded"]
    assert await acts(market, paid) == ["charged"]


async def test_fault_15_a_request_that_never_arrived_is_cancelled_before_it_counts_as_a_no(
    market: Shop,
):
    """Nothing but silence: in doubt, "not found" twice, then a cancel whose number can never be
    paid again. WeChat's takes 30 s: see `tests/integration/test_wallets.py`.
    """
    payment = await struck(market, "alipay", "pay", "drop_before")
    assert payment is not None
    await until(lambda: is_in(market, payment, "in_doubt"))
    doubtful = (await market.till.payment(payment["id"])).document
    assert doubtful["verdict"]["code"] == "do_not_charge_again"
    ended = await market.settled(payment["id"])
    assert (ended["status"], ended["verdict"]["code"]) == ("failed", "safe_to_charge_again"), ended
    said = await market.rows(
        "SELECT status, cancels, evidence::text AS e FROM attempt WHERE out_trade_no = $1",
        ended["out_trade_no"],
    )
    assert [(row["status"], row["cancels"] > 0) for row in said] == [("reversed", True)], (
        "age alone proves nothing"
    )
    assert "charged" not in await acts(market, ended)


async def is_in(market: Shop, payment: dict[str, Any], status: str) -> bool:
    return bool((await market.till.payment(payment["id"])).document["status"] == status)


async def test_fault_16_executed_after_we_were_told_it_does_not_exist(market: Shop):
    """The channel holds our request, answers "no such trade" to our query, and then charges.

    An early "not found" proved nothing.
    """
    payment = await struck(market, "alipay", "pay", "delay_before", delay_ms=5_000)
    assert payment is not None
    number = payment["out_trade_no"]
    await until(lambda: was_not_found(market, number))
    doubtful = (await market.till.payment(payment["id"])).document
    assert (doubtful["status"], doubtful["verdict"]["code"]) == ("in_doubt", "do_not_charge_again")
    other_till = await taken(
        market, 900, order_no=payment["order_no"], key="another", auth_code=code("alipay")
    )
    assert (other_till.status, other_till.document["verdict"]["code"]) == (
        409,
        "do_not_charge_again",
    ), "the tender stays held"
    await until(lambda: was_charged(market, payment))
    ended = await market.settled(payment["id"])
    history = await acts(market, ended)
    assert (ended["status"], history) in (
        ("succeeded", ["charged"]),
        ("failed", ["charged", "reversed"]),
    ), (ended, history)
    await until(lambda: agree(market))


async def was_not_found(market: Shop, number: str) -> bool:
    return any(row["not_founds"] for row in await market.rows(STATUS, number))


async def was_charged(market: Shop, payment: dict[str, Any]) -> bool:
    return "charged" in await acts(market, payment)


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_17_an_answer_that_is_garbled_or_not_genuine_settles_nothing(
    market: Shop, channel: str
):
    """A 5xx with a page for people, half an answer, somebody else's signature, an old timestamp,
    "system error": in doubt, then asked.
    """
    met = {fault: await struck(market, channel, "pay", fault) for fault in GARBLED}
    payments = {fault: payment for fault, payment in met.items() if payment is not None}
    assert len(payments) >= 4
    for fault, payment in payments.items():
        paid = await market.settled(payment["id"])
        assert paid["status"] == "succeeded", (fault, paid)
        assert await events_of(market, paid["id"]) == ["payment.in_doubt", "payment.succeeded"], (
            fault
        )
        assert await acts(market, paid) == ["charged"], fault


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_order"])
@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_18_an_answer_about_something_else_is_never_booked(
    market: Shop, channel: str, fault: str
):
    """Frozen: held, asked about, never cancelled and never paid, until a person has looked.

    The evidence is kept, a case is open.
    """
    payment = await struck(market, channel, "pay", fault)
    assert payment is not None
    await until(lambda: has_mismatch(market, payment["id"]))
    frozen = (await market.till.payment(payment["id"])).document
    assert (frozen["status"], frozen["verdict"]["code"]) == ("in_doubt", "do_not_charge_again")
    assert (
        await market.rows(
            'SELECT FROM "case" WHERE object_id = $1 AND evidence IS NULL', payment["id"]
        )
        == []
    )
    refund = await market.till.refund(
        payment["id"], {"refund_no": payment["id"][-20:], "amount": 1, "reason": ""}, payment["id"]
    )
    assert (refund.status, refund.document["code"]) == (409, "payment_frozen")
    again = await taken(
        market,
        900,
        order_no=payment["order_no"],
        key=f"again-{payment['id']}",
        auth_code=code(channel),
    )
    assert (again.status, again.document["verdict"]["code"]) == (409, "do_not_charge_again")
    assert await acts(market, payment) == ["charged"]


async def has_mismatch(market: Shop, payment_id: str) -> bool:
    return any(
        row["kind"].startswith("mismatch_")
        for row in await market.rows('SELECT kind FROM "case" WHERE object_id = $1', payment_id)
    )


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_21_a_callback_that_never_comes_is_not_waited_for(market: Shop, channel: str):
    """The diner pays the code on display, every callback is lost: a query finds it."""
    await market.sandbox.arm(
        channel, "callback", "drop_before", account=market.books.accounts[channel]
    )
    shown = (await taken(market, 4_200, method=channel, flow="qr")).document
    assert shown["status"] == "awaiting_payer", shown
    await market.sandbox.pay(shown["out_trade_no"])
    paid = await market.settled(shown["id"])
    assert paid["status"] == "succeeded", paid
    assert (
        await market.rows("SELECT FROM callback WHERE out_trade_no = $1", shown["out_trade_no"])
        == []
    )


async def test_fault_21_a_code_nobody_pays_and_nobody_tells_of_ends(market: Shop):
    """No payer and no callback: cancelled at the channel, and only then is the tender free."""
    waiting = (await taken(market, 900, auth_code=code("alipay", "04"), wait_s=1)).document
    ended = await market.settled(waiting["id"])
    assert (ended["status"], ended["verdict"]["code"]) == ("expired", "safe_to_charge_again"), ended
    assert "reversed" in await acts(market, ended) or "closed" in await acts(market, ended)


async def agree(market: Shop) -> bool:
    violations = await audit(market.books.dsn, market.sandbox.control_url, at_rest=False)
    return len(violations) == 0


async def test_and_the_books_agree(market: Shop):
    """Undecided is left only what is frozen for a person."""
    await asyncio.wait_for(until(lambda: agree(market)), 30)
