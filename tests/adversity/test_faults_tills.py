"""Tills that tap twice, two tills on one bill, a code scanned again:
one charge, and a verdict for whoever lost.

Same key with another body, field by field: `test_bad_input`. A till that hangs up:
`test_faults_processes`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from adapters.discovery import discover
from gateway.cli.client.client import Client
from gateway.clock import SystemIds
from gateway.storage.connections import read_pool
from gateway.storage.registries.people import Registry
from loadtests.audit import audit
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.vault import Vault
from tests.adversity.house import taken, until
from tests.adversity.tables import TABLES
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import MASTER, STORE, TESTER, Shop, order_no, shop

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")


@pytest.fixture(scope="module")
async def market(
    postgres: DatabaseServer, redis_session_url: str, sandbox: SandboxProcess
) -> AsyncIterator[Shop]:
    dsn = await postgres.fresh_database()
    async with shop(dsn, redis_url=redis_session_url, sandbox=sandbox) as opened:
        yield opened
    await postgres.give_back(dsn)


@pytest.fixture(scope="module")
async def second_till(market: Shop) -> AsyncIterator[Client]:
    """Another terminal of the same store, with a key of its own."""
    pool = await read_pool(market.books.dsn)
    try:
        registry = Registry(
            pool,
            vault=Vault(MasterKeys.from_text(MASTER, source="test")),
            ids=SystemIds(),
            asked_by=TESTER,
        )
        terminal = await registry.create_terminal(market.books.merchant_id, STORE, "Till 2")
        key = await registry.issue_terminal_key(
            market.books.merchant_id, terminal.id, KeyEnvironment.TEST
        )
    finally:
        await pool.close()

    async def known() -> bool:
        return market.world.directory.key(key.id) is not None

    await until(known)
    async with Client(market.base_url, key.id, key.secret) as till:
        yield till


def tap_of(order: str, scanned: str) -> dict[str, Any]:
    return {"order_no": order, "amount": 660, "auth_code": scanned}


async def is_typing(market: Shop, out_trade_no: str) -> bool:
    return any(row["out_trade_no"] == out_trade_no for row in await market.sandbox.ledger())


async def charges_of(market: Shop, channel: str, *orders: str) -> list[str]:
    """The numbers under which the channel took money for these orders."""
    rows = await market.rows(
        "SELECT out_trade_no FROM attempt a JOIN payment p ON p.id = a.payment_id "
        "WHERE order_no = ANY($1)",
        list(orders),
    )
    ledger = await market.captured(channel)
    trades = [ledger[row["out_trade_no"]] for row in rows if row["out_trade_no"] in ledger]
    return [
        trade["out_trade_no"]
        for trade in trades
        for act in trade["history"]
        if act["act"] == "charged"
    ]


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_23_a_double_tap_is_one_payment(market: Shop, channel: str):
    """At once, and again when it is long paid: the same payment, in its present state."""
    order, scanned = order_no(), code(channel)
    answers = await asyncio.gather(
        *(market.pay(660, order_no=order, key=order, auth_code=scanned) for _ in range(4))
    )
    answers.append(await market.pay(660, order_no=order, key=order, auth_code=scanned))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.document["id"] for answer in answers}) == 1
    assert (answers[-1].document["status"], answers[-1].document["verdict"]["code"]) == (
        "succeeded",
        "paid",
    )
    assert len(await charges_of(market, channel, order)) == 1


async def test_fault_23_the_same_key_with_another_amount_is_named_and_refused(market: Shop):
    order, scanned = order_no(), code("alipay")
    await market.pay(660, order_no=order, key=order, auth_code=scanned)
    refused = await market.pay(661, order_no=order, key=order, auth_code=scanned)
    assert (refused.status, refused.document["code"], refused.document["field"]) == (
        422,
        "idempotency_key_reused",
        "amount",
    )
    assert refused.document["verdict"]["code"] == "already_paid"
    assert refused.document["payment"]["verdict"] == refused.document["verdict"]
    assert len(await charges_of(market, "alipay", order)) == 1


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_24_the_same_order_from_two_terminals(
    market: Shop, second_till: Client, channel: str
):
    """While the first is under way, when it is paid, and after a proven no: held, held, free.

    The loser is shown what stands.
    """
    order = order_no()
    first = (
        await market.pay(
            660, order_no=order, key=f"{order}-1", auth_code=code(channel, "04"), wait_s=0
        )
    ).document
    await until(lambda: is_typing(market, first["out_trade_no"]))
    for refusal, verdict in (("order_tender_taken", "wait"), ("order_used", "already_paid")):
        lost = await second_till.pay(tap_of(order, code(channel)), f"{order}-2-{verdict}", wait_s=0)
        assert (lost.status, lost.document["code"]) == (409, refusal), lost.document
        assert (lost.document["payment"]["id"], lost.document["verdict"]["code"]) == (
            first["id"],
            verdict,
        ), lost.document
        if verdict == "wait":
            await market.sandbox.pay(first["out_trade_no"])  # the customer types the password
        assert (await market.settled(first["id"]))["status"] == "succeeded"
    assert len(await charges_of(market, channel, order)) == 1
    order = order_no()
    assert (
        await market.pay(660, order_no=order, key=f"{order}-1", auth_code=code(channel, "01"))
    ).document["status"] == "failed"
    paid = await second_till.pay(tap_of(order, code(channel)), f"{order}-2")
    assert (paid.status, paid.document["status"]) == (201, "succeeded"), paid.document


async def test_fault_24_eight_tills_at_the_same_moment(market: Shop, second_till: Client):
    """Keys of their own, codes of their own, one bill."""
    order = order_no()
    tills = [market.till, second_till] * 4
    taps = [
        till.pay(tap_of(order, code("alipay")), f"{order}-{number}")
        for number, till in enumerate(tills)
    ]
    answers = await asyncio.gather(*taps)
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert len(await charges_of(market, "alipay", order)) == 1


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_25_a_code_scanned_for_two_orders_pays_one(market: Shop, channel: str):
    """A code is spent by its first use.

    Whether another order sends it later or at the same moment, the channel takes it once.

    What we keep of a code is a keyed digest, with the claim of its payment. It is compared when the
    key comes again, and a code never goes out under a second number of the same payment but after
    P0, when no byte of the first had left (see the failover tests, and fault 13 here for the till's
    own second try). Another order with the same code is left to the channel: its refusal is signed,
    answers the only send of that number, and so is proof; a refusal of ours would need a look at
    another payment before every first send.
    """
    spent, first, second = code(channel), order_no(), order_no()
    assert (await market.pay(660, order_no=first, auth_code=spent)).document[
        "status"
    ] == "succeeded"
    refused = await market.settled(
        (await market.pay(660, order_no=second, auth_code=spent)).document["id"]
    )
    assert (refused["status"], refused["verdict"]["code"]) == ("failed", "safe_to_charge_again"), (
        refused
    )
    assert refused["failure"]["retry"] == "rescan"
    assert len(await charges_of(market, channel, first, second)) == 1
    shared, orders = code(channel), [order_no(), order_no()]
    answers = await asyncio.gather(
        *(market.pay(660, order_no=order, auth_code=shared) for order in orders)
    )
    ended = [await market.settled(answer.document["id"]) for answer in answers]
    assert sorted(payment["status"] for payment in ended) == ["failed", "succeeded"], ended
    assert len(await charges_of(market, channel, *orders)) == 1


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_25_an_expired_code_asks_for_a_new_scan(market: Shop, channel: str):
    order = order_no()
    expired = (
        await taken(market, 660, auth_code=code(channel, "02"), order_no=order, key=order)
    ).document
    assert (expired["status"], expired["failure"]["retry"]) == ("failed", "rescan"), expired
    assert expired["verdict"]["code"] == "safe_to_charge_again"
    # A till whose key is the number of the bill scans again: it may, with a new key.
    reused = await market.pay(660, order_no=order, key=order, auth_code=code(channel))
    assert (reused.status, reused.document["code"], reused.document["payment"]["id"]) == (
        422,
        "idempotency_key_reused",
        expired["id"],
    )
    assert reused.document["verdict"]["code"] == "safe_to_charge_again"


async def test_fault_25_only_a_keyed_digest_of_a_code_is_kept(market: Shop):
    """No table holds the code, nor a hash of it that anybody without our key could make."""
    scanned = code("alipay")
    paid = (await market.pay(660, auth_code=scanned)).document
    kept = (await market.rows("SELECT fingerprint FROM claim WHERE payment_id = $1", paid["id"]))[
        0
    ]["fingerprint"]
    assert len(json.loads(kept)["auth_code"]) >= 32
    for table in [row["tablename"] for row in await market.rows(TABLES)]:
        for text in (scanned, sha256(scanned.encode()).hexdigest()):
            found = await market.rows(
                f'SELECT FROM "{table}" t WHERE position($1 IN t::text) > 0', text
            )
            assert found == [], table


async def agree(market: Shop) -> bool:
    violations = await audit(market.books.dsn, market.sandbox.control_url)
    return len(violations) == 0


async def test_and_the_books_agree(market: Shop):
    await until(lambda: agree(market))
