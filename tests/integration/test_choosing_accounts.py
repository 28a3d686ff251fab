"""Which account a payment is opened at, on real servers: row 1 of the decision table, drains,
rules, and channels that rest.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import SystemClock, SystemIds
from gateway.domain.presenting import Flow
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose import standing
from gateway.flow.choose.routing import Choice, remote_choices
from gateway.limits import BULKHEAD_PAYMENTS_MAX, CALL_TIMEOUT_MS
from gateway.storage.books.health_log import HealthHistory, HealthRow
from gateway.storage.registries import rules as rule_registry
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.rules import RuleRegistry
from security.keyring import MasterKeys
from security.vault import Vault
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import MASTER, TESTER, Books, Shop, reopened, shop


@pytest.fixture(scope="module")
async def books(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Books]:
    """Two accounts of Alipay, one of each other wallet;
    enrolling makes RSA keys, so once for all tests.
    """
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False, extra_accounts={"alipay": 1}) as opened:
        yield opened.books
    await postgres.give_back(dsn)


@pytest.fixture
async def two(books: Books, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """The shop anew for every test: nobody has heard of another's trouble."""
    async with reopened(books, sandbox=sandbox) as opened:
        yield opened


async def paid(two: Shop, **body: Any) -> dict[str, Any]:
    document: dict[str, Any] = (
        await two.pay(body.pop("amount", 1200), auth_code=code("alipay"), **body)
    ).document
    return document


def accounts(payment: dict[str, Any]) -> list[str]:
    return [attempt["channel_account"] for attempt in payment["attempts"]]


async def test_row_01_breaker_open_or_no_capacity_chooses_b_before_sending(two: Shop) -> None:
    a, b = two.books.accounts["alipay"], two.books.accounts["alipay_2"]
    await two.sandbox.arm("alipay", "pay", "refuse_connection", account=a)
    first = await paid(two)
    assert accounts(first) == [a, b]
    while accounts(payment := await paid(two)) == [a, b]:
        assert payment["status"] == "succeeded"
    assert (payment["status"], accounts(payment)) == ("succeeded", [b])
    assert f"{a} open (" in payment["attempts"][0]["why"]
    assert payment["out_trade_no"] not in await two.captured("alipay")
    await two.sandbox.disarm()
    async with asyncio.timeout(PATIENCE_S):
        while accounts(payment := await paid(two)) != [a]:
            assert (payment["status"], accounts(payment)) == ("succeeded", [b])
            await asyncio.sleep(0.1)
    held = [two.world.health.admit(two_choices(two), "pay") for _ in range(BULKHEAD_PAYMENTS_MAX)]
    crowded = await paid(two)
    assert (crowded["status"], accounts(crowded)) == ("succeeded", [b])
    assert f"full with {BULKHEAD_PAYMENTS_MAX}" in crowded["attempts"][0]["why"]
    for place in held:
        assert place is not None
        place.leave()
    assert accounts(await paid(two)) == [a]


def two_choices(two: Shop) -> tuple[Choice[RemoteAccount], ...]:
    tender = Tender(
        merchant_id=two.books.merchant_id,
        store_id="store_1",
        order_no="T1",
        tender_no=1,
        amount=1,
        currency="CNY",
        channel="alipay",
        flow=Flow.CODE,
        numbering=Numbering.BY_STORE,
    )
    return remote_choices(tender, two.world.directory, two.world.clock.now())


async def breaker_moves(two: Shop, account: str) -> list[HealthRow]:
    newest = await HealthHistory(two.world.store.pool).newest(account)
    return [each for each in newest if (each.what, each.worker) == ("breaker", two.world.worker_id)]


async def test_what_breakers_did_can_be_read_afterwards(two: Shop) -> None:
    a = two.books.accounts["alipay"]
    await two.sandbox.arm("alipay", "pay", "refuse_connection", account=a)
    for _ in range(6):
        await paid(two)
    async with asyncio.timeout(PATIENCE_S):
        while not (moves := await breaker_moves(two, a)):  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.05)
    assert {each.to for each in moves} == {"open"}
    assert all("connect_refused" in each.reason for each in moves)
    assert {
        each.operation
        for each in await HealthHistory(two.world.store.pool).states(a)
        if each.worker == two.world.worker_id
    } >= {"pay"}


async def test_when_every_account_rests_the_till_hears_so_and_payments_come_back(two: Shop) -> None:
    wechat = two.books.accounts["wechat"]
    await two.sandbox.arm("wechat", "pay", "refuse_connection", account=wechat)
    answers = [await two.pay(100, auth_code=code("wechat")) for _ in range(8)]
    refused = answers[-1]
    assert (refused.status, refused.document["code"], refused.document["verdict"]["code"]) == (
        503,
        "channels_resting",
        "try_again",
    )
    assert int(refused.headers["Retry-After"]) >= 1
    assert {answer.document.get("status") for answer in answers if answer.ok} == {"failed"}
    again = await two.pay(100, key="before", auth_code=code("wechat"))
    assert again.status == 503
    await two.sandbox.disarm()
    async with asyncio.timeout(PATIENCE_S):
        while not (answer := await two.pay(100, auth_code=code("wechat"))).ok:  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.1)
    assert answer.document["status"] == "succeeded"


async def test_a_drained_account_takes_no_new_payment_and_says_why(two: Shop) -> None:
    a, b = two.books.accounts["alipay"], two.books.accounts["alipay_2"]
    vault = Vault(MasterKeys.from_text(MASTER, source="test"))
    registry = AccountRegistry(
        two.world.store.pool,
        vault=vault,
        ids=SystemIds(),
        asked_by=TESTER,
        clock=SystemClock(),
        manifests=two.world.directory.manifests(),
    )
    assert await registry.drain(a, "the bank is late", "mei")
    assert not await registry.drain(a, "said twice", "mei")
    async with asyncio.timeout(PATIENCE_S):
        while (account := two.world.directory.account(a)) is None or account.drained is None:  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.05)
    payment = await paid(two)
    assert (payment["status"], accounts(payment)) == ("succeeded", [b])
    assert (
        payment["attempts"][0]["why"]
        == f"number 1 by priority of: {b}; {a} is drained: the bank is late"
    )
    assert await registry.drain(a, None, "mei")
    await two.world.directory.refresh()
    assert accounts(await paid(two)) == [a]
    drains = [
        each for each in await HealthHistory(two.world.store.pool).newest(a) if each.what == "drain"
    ]
    assert [(each.was, each.to, each.reason, each.worker) for each in drains[:2]] == [
        ("drained", "serving", "undrained", "mei"),
        ("serving", "drained", "the bank is late", "mei"),
    ]


async def test_a_retry_is_answered_though_no_account_is_left(two: Shop) -> None:
    """An operator drains the only account while a till waits: "no such method, try again" would be
    a lie about money under way.
    """
    a = two.books.accounts["wechat"]
    body = {"order_no": "DRAINED-1", "auth_code": code("wechat", "05")}
    first = await two.pay(900, wait_s=0, **body)
    vault = Vault(MasterKeys.from_text(MASTER, source="test"))
    manifests = two.world.directory.manifests()
    registry = AccountRegistry(
        two.world.store.pool,
        vault=vault,
        ids=SystemIds(),
        asked_by=TESTER,
        clock=SystemClock(),
        manifests=manifests,
    )
    assert await registry.drain(a, "lunch", "mei")
    await two.world.directory.refresh()
    try:
        again = await two.pay(900, wait_s=0, **body)
        assert (again.status, again.document["id"]) == (200, first.document["id"]), again.document
        other = await two.pay(901, wait_s=0, **body)
        assert (other.status, other.document["code"]) == (422, "idempotency_key_reused")
        new = await two.pay(900, auth_code=code("wechat"))
        assert (new.status, new.document["code"]) == (422, "method_unavailable")
    finally:
        await registry.drain(a, None, "mei")
        await two.world.directory.refresh()


async def test_rules_choose_once_they_are_written(two: Shop) -> None:
    a, b = two.books.accounts["alipay"], two.books.accounts["alipay_2"]
    rules = RuleRegistry(two.world.store.pool, two.world.directory.manifests(), asked_by=TESTER)
    large = {
        "name": "large",
        "when": {"method": "alipay", "amount_from": 5000},
        "use": [{"account": b}],
    }
    version, warnings = await rules.write(
        two.books.merchant_id, None, json.dumps({"rules": [large]}).encode(), "mei"
    )
    assert warnings == ()
    await two.world.directory.refresh()
    small, big = await paid(two, amount=4999), await paid(two, amount=5000)
    assert (accounts(small), accounts(big)) == ([a], [b])
    assert big["attempts"][0]["why"] == f"number 1 by rule large of version {version} of: {b} {a}"
    second, _ = await rules.write(two.books.merchant_id, "store_1", b'{"rules": []}', "mei")
    await two.world.directory.refresh()
    # An empty set of a store gives way to the merchant's.
    assert (second, accounts(await paid(two, amount=5000))) == (1, [b])
    version, _ = await rules.write(two.books.merchant_id, None, b'{"rules": []}', "mei")
    await two.world.directory.refresh()
    assert accounts(await paid(two, amount=5000)) == [a]
    assert [each.version for each in await rules.history(two.books.merchant_id, None)] == list(
        range(version, 0, -1)
    )


async def test_a_dry_run_reads_every_payment_once(
    two: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await paid(two, amount=300 + n) for n in range(5)]
    rules = RuleRegistry(two.world.store.pool, two.world.directory.manifests(), asked_by=TESTER)
    now = two.world.clock.now()
    day = (two.books.merchant_id, now - timedelta(days=1), now + timedelta(hours=1))
    whole = [each.id async for page in rules.paid_before(*day) for each in page]
    monkeypatch.setattr(rule_registry, "PAGE_ROWS", 2)
    paged = [each.id async for page in rules.paid_before(*day) for each in page]
    assert paged == whole
    assert len(set(whole)) == len(whole)
    assert whole[:5] == [payment["id"] for payment in reversed(made)]


async def test_a_hanging_account_keeps_to_its_share_and_others_pass_it(
    two: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its whole share of the worker hangs, nobody else waits for it: all that is asserted is
    who ends first.
    """
    share, a = 24, two.books.accounts["wechat"]
    monkeypatch.setattr(standing, "BULKHEAD_PAYMENTS_MAX", share)
    await two.sandbox.arm("wechat", "pay", "delay_before", account=a, delay_ms=CALL_TIMEOUT_MS)
    hanging = [two.pay(100, wait_s=0, auth_code=code("wechat")) for _ in range(share)]
    assert {answer.document["status"] for answer in await asyncio.gather(*hanging)} == {
        "processing"
    }
    full = await two.pay(100, auth_code=code("wechat"))
    assert (full.status, full.document["code"]) == (503, "channels_resting")
    assert [(await paid(two))["status"] for _ in range(5)] == ["succeeded"] * 5
    account = two.world.directory.remote_account(a)
    assert account is not None
    assert two.world.health._records.of(account).in_flight == share
