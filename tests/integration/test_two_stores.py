"""Two stores of one merchant, a till in each: what one store's till may see, change and be told of
the other's payments. The paths on which a payment is found by key are tried with the accounts up,
disabled and resting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.discovery import discover
from gateway.cli.client.client import Answer, Client
from gateway.clock import SystemClock, SystemIds
from gateway.domain import outcomes as o
from gateway.domain.errors import (
    FieldInvalid,
    GatewayError,
    IdempotencyKeyReused,
    OrderInDoubt,
    OrderOverpaid,
    OrderTenderTaken,
    OrderUsed,
    OverrideRefused,
)
from gateway.domain.errors.families import Conflict
from gateway.http.payments import create_payment
from gateway.http.routes import ROUTES
from gateway.limits import BREAKER_FAILURES_MAX
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.people import Registry
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.pin import hash_pin
from security.secret import Secret
from security.vault import Vault
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer, as_owner
from tests.wallet_codes import code
from tests.world import MASTER, TESTER, Books, Shop, order_no, reopened, shop

OTHER = "store_2"


@dataclass
class Chain:
    """`here` is store_1's till with the office beside it, `there` the till of store_2."""

    shop: Shop
    there: Client

    @property
    def here(self) -> Client:
        return self.shop.till


@dataclass
class Provisioned:
    books: Books
    key: tuple[str, Any]


@pytest.fixture(scope="module")
async def books(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Provisioned]:
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False) as opened:
        merchant = opened.books.merchant_id
        people = Registry(opened.world.store.pool, vault=vault(), ids=SystemIds(), asked_by=TESTER)
        await people.create_store(merchant, "Side street", OTHER)
        terminal = await people.create_terminal(merchant, OTHER, "Till 2")
        key = await people.issue_terminal_key(merchant, terminal.id, KeyEnvironment.TEST)
        yield Provisioned(opened.books, (key.id, key.secret))
    await postgres.give_back(dsn)


@pytest.fixture
async def chain(books: Provisioned, sandbox: SandboxProcess) -> AsyncIterator[Chain]:
    async with (
        reopened(books.books, sandbox=sandbox, sweep=False) as opened,
        Client(opened.base_url, *books.key) as there,
    ):
        yield Chain(opened, there)
        await place(opened, enabled=True)


def vault() -> Vault:
    return Vault(MasterKeys.from_text(MASTER, source="test"))


async def place(opened: Shop, *, enabled: bool) -> None:
    registry = AccountRegistry(
        opened.world.store.pool,
        vault=vault(),
        ids=SystemIds(),
        asked_by=TESTER,
        clock=SystemClock(),
        manifests=discover(),
    )
    for account_id in opened.books.accounts.values():
        await registry.place(account_id, enabled=enabled)
    await opened.world.directory.refresh()


def rest_all(opened: Shop) -> None:
    health = opened.world.health
    for account in opened.world.directory.remote_accounts(opened.books.merchant_id):
        for flow in account.manifest.flows:
            for _ in range(BREAKER_FAILURES_MAX):
                with health.watching(account, flow.facts.operation) as watch:
                    watch.saw(o.Unknown(reason="timeout"))


async def brought_to(state: str, opened: Shop) -> None:
    if state == "disabled":
        await place(opened, enabled=False)
    elif state == "resting":
        rest_all(opened)


def body(kind: str) -> dict[str, Any]:
    given = {"order_no": order_no(), "amount": 2800, "currency": "CNY"}
    match kind:
        case "cash":
            return given | {"method": "cash"}
        case "code":
            return given | {"auth_code": code("alipay")}
        case "lost":  # its answer, after the charge
            return given | {"auth_code": code("alipay", "05")}
        case "split":
            return given | {"method": "cash", "order_amount": 2800}
        case _:
            return given | {"method": "alipay", "flow": "qr"}


async def paid_or_in_doubt(till: Client, request: dict[str, Any], key: str) -> dict[str, Any]:
    """Once its call has ended."""
    payment: dict[str, Any] = (await till.pay(request, key, wait_s=0)).document
    async with asyncio.timeout(PATIENCE_S):
        while payment["status"] == "processing":
            payment = (await till.payment(payment["id"])).document
    return payment


def override(payment: dict[str, Any]) -> dict[str, Any]:
    ann = {"id": "ann", "pin": "482913"}
    return {"payment_id": payment["id"], "supervisor": ann, "reason": "queue"}


def tells_nothing(answer: Answer, payment: dict[str, Any]) -> bool:
    """Neither the payment nor a part of it that names it. An own payment may be on its account."""
    said = json.dumps(answer.document)
    names = ("id", "out_trade_no") if answer.ok else ("id", "out_trade_no", "channel_account")
    return not any(str(payment[name]) in said for name in names)


@pytest.mark.parametrize("state", ["up", "disabled", "resting"])
@pytest.mark.parametrize("kind", ["qr", "code", "cash"])
async def test_another_stores_key_is_another_request(chain: Chain, kind: str, state: str) -> None:
    request, key = body(kind), f"key-{order_no()}"
    first = (await chain.here.pay(request, key)).document
    await brought_to(state, chain.shop)
    other = await chain.there.pay(request, key)
    office = await chain.shop.office.pay(request | {"store_id": OTHER}, key)
    if state == "up" or (state, kind) == ("resting", "cash"):
        assert (other.status, other.document["store_id"]) == (201, OTHER)
        assert other.document["out_trade_no"] != first["out_trade_no"]
        assert (office.status, office.document["id"]) == (200, other.document["id"])
    else:
        refusal = "method_unavailable" if state == "disabled" else "channels_resting"
        assert (other.document["code"], office.document["code"]) == (refusal, refusal)
    assert tells_nothing(other, first), other.document
    # The store's own till, and the office in its name, are answered as ever.
    for answer in (
        await chain.here.pay(request, key),
        await chain.shop.office.pay(request | {"store_id": "store_1"}, key),
    ):
        assert (answer.status, answer.replayed, answer.document["id"]) == (200, True, first["id"])


@contextlib.asynccontextmanager
async def older_worker(chain: Chain) -> AsyncIterator[None]:
    """It reads keys and bills by merchant, and must find one of each."""
    await chain.shop.rows("INSERT INTO worker (id, beat_at) VALUES ('older', clock_timestamp())")
    try:
        await chain.shop.world.directory.refresh()
        yield
    finally:
        await as_owner(chain.shop.books.dsn, "DELETE FROM worker WHERE id = 'older'")
        await chain.shop.world.directory.refresh()


async def test_beside_an_older_worker_a_key_is_the_merchants(chain: Chain) -> None:
    request, key = body("cash"), f"key-{order_no()}"
    async with older_worker(chain):
        first = (await chain.here.pay(request, key)).document
    again = await chain.here.pay(request, key)
    assert (again.status, again.document["id"]) == (200, first["id"])
    own = await chain.there.pay(request, key)
    assert (own.status, own.document["store_id"]) == (201, OTHER)


# Of which kind the first store's payment is, what the other store asks for then, and what it hears:
# a till waits for a payment that it sees; for another store's it would wait for ever.
Refusal = tuple[int, str, str | None]
REST = {"tender_no": 2}
NOT_NAMED: Refusal = (422, "field_invalid", "override.payment_id")
COLLISIONS: dict[type[GatewayError], list[tuple[str, dict[str, Any], Refusal]]] = {
    IdempotencyKeyReused: [("cash", {"same_key": True}, (422, "idempotency_key_reused", None))],
    OrderUsed: [("cash", {}, (409, "order_used", None))],
    OrderTenderTaken: [("qr", {}, (409, "order_used", None))],
    OrderInDoubt: [("lost", REST, (409, "order_in_doubt", None))],
    OrderOverpaid: [("split", REST | {"order_amount": 2800}, (409, "order_overpaid", None))],
    OverrideRefused: [("cash", REST | {"overrides": True}, NOT_NAMED)],
    FieldInvalid: [
        ("lost", REST | {"overrides": True}, NOT_NAMED),
        ("split", REST | {"order_amount": 2801}, (422, "field_invalid", "order_amount")),
    ],
}


def collisions() -> list[type[GatewayError]]:
    """Every refusal of a payment that may be about an earlier one."""
    route = next(each for each in ROUTES if each.handler is create_payment)
    return [
        error
        for error in route.errors
        if issubclass(error, Conflict) or error in (IdempotencyKeyReused, FieldInvalid)
    ]


@pytest.mark.parametrize("error", collisions(), ids=lambda error: error.code)
async def test_beside_an_older_worker_no_refusal_tells_of_another_store(
    chain: Chain, error: type[GatewayError]
) -> None:
    await chain.shop.sandbox.arm("alipay", "callback", "drop_before")
    async with older_worker(chain):
        for kind, asked, refusal in COLLISIONS[error]:
            key = f"key-{order_no()}"
            first = await paid_or_in_doubt(chain.here, body(kind), key)
            again = body("cash") | {"order_no": first["order_no"], "amount": 2799} | asked
            same_key, overrides = again.pop("same_key", False), again.pop("overrides", False)
            if overrides:
                again["override"] = override(first)
            answer = await chain.there.pay(again, key if same_key else f"key-{order_no()}")
            said = answer.document
            assert (answer.status, said["code"], said.get("field")) == refusal, said
            assert tells_nothing(answer, first), said
            assert {"payment", "order"}.isdisjoint(said)
            assert "28.00" not in answer.text, "what the other store takes"


async def test_two_stores_have_bills_of_one_number(chain: Chain) -> None:
    """Alone, split with other totals, and each with its own answer about what is taken."""
    for more in ({}, {"order_amount": 5000}, {"order_amount": 2800}):
        request = body("cash") | more
        there = request | ({"order_amount": 9000} if more else {})
        made = await chain.here.pay(request, f"key-{order_no()}")
        own = await chain.there.pay(there, f"key-{order_no()}")
        assert (made.status, own.status) == (201, 201), (made, own)
        assert made.document["out_trade_no"] != own.document["out_trade_no"]
        rest = there | {"tender_no": 2, "amount": 6200}
        allowed = await chain.there.pay(rest, f"key-{order_no()}")
        assert allowed.status == 201, allowed
        for till, mine in ((chain.here, made), (chain.there, own)):
            taken = await till.pay(request, f"key-{order_no()}")
            assert (taken.status, taken.document["code"]) == (409, "order_used")
            assert taken.document["payment"]["id"] == mine.document["id"]


@pytest.mark.parametrize("state", ["up", "disabled", "resting"])
@pytest.mark.parametrize("kind", ["qr", "cash"])
async def test_another_stores_bill_number_tells_nothing(
    chain: Chain, kind: str, state: str
) -> None:
    request = body(kind)
    first = (await chain.here.pay(request, f"key-{order_no()}")).document
    await brought_to(state, chain.shop)
    other = await chain.there.pay(request, f"key-{order_no()}")
    assert not other.ok or other.document["id"] != first["id"]
    assert tells_nothing(other, first), other.document


async def test_another_stores_payment_in_doubt_is_not_shown_and_not_overridden(
    chain: Chain,
) -> None:
    for channel in ("alipay", "wechat"):
        await chain.shop.sandbox.arm(channel, "callback", "callback_hold")
    request = body("lost")
    doubtful = await paid_or_in_doubt(chain.here, request, f"key-{order_no()}")
    assert doubtful["status"] == "in_doubt"
    second = request | {"tender_no": 2, "method": "cash"}
    del second["auth_code"]
    blocked = await chain.there.pay(second, f"key-{order_no()}")
    assert tells_nothing(blocked, doubtful), blocked.document
    await chain.shop.rows(
        "INSERT INTO supervisor (merchant_id, id, name, pin_hash) VALUES ($1, 'ann', 'Ann', $2) "
        "ON CONFLICT DO NOTHING RETURNING id",
        chain.shop.books.merchant_id,
        hash_pin(Secret("482913")),
    )
    over = {"override": override(doubtful)}
    elsewhere = second | over | {"store_id": OTHER}  # the office sees both stores' payments
    for refused in (
        await chain.there.pay(second | over, f"key-{order_no()}"),
        await chain.shop.office.pay(elsewhere, f"key-{order_no()}"),
    ):
        assert (refused.status, refused.document["field"]) == (422, "override.payment_id")
    assert (await chain.here.payment(doubtful["id"])).document["status"] == "in_doubt"
    allowed = await chain.here.pay(second | over, f"key-{order_no()}")
    assert allowed.status == 201


async def test_a_refund_key_of_one_store_is_free_in_the_other(chain: Chain):
    """Stores that build their keys from bill numbers never meet, and learn nothing of one
    another.
    """
    answers = []
    for till, number in ((chain.here, "one"), (chain.there, "two")):
        paid = await till.pay(
            {"order_no": order_no(), "amount": 900, "method": "cash"}, f"pay-{order_no()}"
        )
        body = {"refund_no": f"key-{number}-{order_no()}", "amount": 100, "reason": ""}
        answers.append(await till.refund(paid.document["id"], body, "refund-of-bill-7"))
    assert [answer.status for answer in answers] == [201, 201]
    assert len({answer.document["id"] for answer in answers}) == 2
