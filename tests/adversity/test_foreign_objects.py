"""What belongs to another merchant, or to another store of the same merchant, does not exist.

The cases come from the table of routes: each route, each field by which a request may name a thing,
each stranger. A foreign name is answered as one that names nothing, and no row of any table
changes. A route or a field of which this file knows nothing fails.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from gateway.cli.client.client import Answer, Client
from gateway.clock import SystemIds
from gateway.http.exchange import Route
from gateway.http.routes import ROUTES
from gateway.storage.registries.people import Registry
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role, may
from security.vault import Vault
from tests.adversity.tables import digests
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import MASTER, STORE, TESTER, Books, Shop, order_no, provisioned, shop

PAY, REFUND = "/v1/payments", "/v1/payments/{payment_id}/refunds"
ENDPOINTS = "/v1/webhook-endpoints"
DELIVERIES = f"{ENDPOINTS}/{{endpoint_id}}/deliveries"
AMOUNT = 12_345  # no other payment's: an answer that holds it tells of the first store's

# What these fields name; `starting_after` names one of what the route lists.
NAMES = {
    *("payment_id", "refund_id", "endpoint_id", "event_id", "order_no", "refund_no", "store_id"),
    *("channel_account", "out_trade_no", "channel_trade_no", "payment", "starting_after"),
    *("override", "notify_url", "Idempotency-Key"),
}
# These name nothing that is anyone's.
NAMELESS = {
    *("status", "state", "method", "origin", "limit", "after", "wait", "business_date", "from"),
    "channel_date",
    *("to", "paid_from", "paid_to", "dead_since", "tender_no", "order_amount", "amount"),
    *("currency", "flow", "auth_code", "cash", "expires_in", "operator_id", "description"),
    *("metadata", "reason", "url", "event_types", "concurrency"),
}
LISTED = {
    PAY: "payment_id",
    "/v1/refunds": "refund_id",
    ENDPOINTS: "endpoint_id",
    DELIVERIES: "event_id",
}
# The least that each POST says; what has to be new is added.
BODIES: dict[str, dict[str, Any]] = {
    PAY: {"amount": 500, "currency": "CNY", "method": "cash"},
    f"{PAY}/{{payment_id}}/cancel": {},
    REFUND: {"amount": 1, "reason": ""},
    ENDPOINTS: {"url": "https://more.example/hook"},
    f"{ENDPOINTS}/{{endpoint_id}}/rotate-secret": {},
    f"{ENDPOINTS}/{{endpoint_id}}/disable": {},
    f"{ENDPOINTS}/{{endpoint_id}}/enable": {},
    f"{ENDPOINTS}/{{endpoint_id}}/resend": {},
}
NEW = {PAY: "order_no", REFUND: "refund_no"}


@dataclass
class Side:
    """A key, and what is its holder's own: by each name, the value. Only a till's key is of one
    store: what a key may do is sealed with its secret, so there is no wider one.
    """

    title: str
    client: Client
    role: Role
    own: dict[str, str]


@dataclass
class Street:
    """`first` is the till whose things the strangers name; `office` its merchant's key."""

    first: Side
    office: Side
    strangers: list[Side]
    telling: frozenset[str]  # what only an answer about the first store's things holds
    dsn: str


@dataclass(frozen=True)
class Way:
    """A route, and the field that names another's thing. None: everything is asked for."""

    route: Route
    place: str  # path (of a request that waits for news, too), query, body or header
    field: str | None

    def __str__(self) -> str:
        return f"{self.route.method} {self.route.path}, {self.place} {self.field}"

    @property
    def creates(self) -> bool:
        """Whether a stranger makes something of their own by it."""
        free = {"order_no", "refund_no", "notify_url", "Idempotency-Key"}
        return self.route.method == "POST" and self.field in free

    def value_of(self, own: dict[str, str]) -> str | None:
        """What names the thing among what is someone's `own`."""
        match self.field:
            case None:
                return None
            case "starting_after":
                return own[LISTED[self.route.path]]
            case "Idempotency-Key":
                return own[f"key of {self.route.path}"]
            case "override":
                return own["payment_id"]
            case field:
                return own[field]


def ways() -> Iterator[Way]:
    for route in ROUTES:
        in_path = re.findall(r"{(\w+)}", route.path)
        if route.method == "GET" and not in_path:
            yield Way(route, "nothing", None)
        places = ("path", "path, waiting") if "wait" in fields(route.query) else ("path",)
        yield from (Way(route, place, field) for place in places for field in in_path)
        for place, struct in (("query", route.query), ("body", route.body)):
            for field in fields(struct):
                assert field in NAMES | NAMELESS, f"{route.path}: what does {field} name?"
                if field in NAMES:
                    yield Way(route, place, field)
        if route.needs_idempotency_key:
            yield Way(route, "header", "Idempotency-Key")


def fields(struct: type | None) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)] if struct else []


def test_each_route_has_a_way_and_each_post_a_body():
    assert {way.route.path for way in ways()} == {route.path for route in ROUTES}
    assert {route.path for route in ROUTES if route.method == "POST"} == set(BODIES)
    said = {
        field for route in ROUTES for body in (route.query, route.body) for field in fields(body)
    }
    assert said >= NAMELESS, "a field that no route has any more"


async def test_a_foreign_name_is_answered_as_one_of_nothing(street: Street):
    before = await digests(street.dsn)
    for way, stranger in itertools.product(ways(), street.strangers):
        if way.creates:
            continue
        answer = await asked(stranger, way, way.value_of(street.first.own))
        about = (str(way), stranger.title, answer.document)
        assert not told(answer, street), about
        if not may(stranger.role, way.route.permission):
            assert answer.status == 403, about
        elif way.place.startswith("path"):
            assert (answer.status, answer.document["code"]) == (404, "not_found"), about
        # The stores of a merchant share its accounts: a till names one to see its own payments.
        if way.field not in {None, "channel_account"}:
            nothing = await asked(stranger, way, unknown(way))
            assert likeness(answer) == likeness(nothing), about
    assert await digests(street.dsn) == before


async def test_what_a_stranger_makes_tells_nothing_of_what_has_its_name(street: Street):
    for way, stranger in itertools.product(ways(), street.strangers):
        if not way.creates or not may(stranger.role, way.route.permission):
            continue
        answer = await asked(stranger, way, way.value_of(street.first.own))
        about = (str(way), stranger.title, answer.document)
        assert not told(answer, street), about
        if way.field in {"order_no", "Idempotency-Key"}:
            assert (answer.status, answer.replayed) == (201, False), about


async def test_whose_it_is_is_told(street: Street):
    """By each way on which a stranger is not."""
    for way, owner in itertools.product(ways(), (street.first, street.office)):
        if way.route.method == "GET" and may(owner.role, way.route.permission):
            answer = await asked(owner, way, way.value_of(street.first.own))
            assert answer.status == 200, (str(way), answer.document)
            # What comes after it may be nothing.
            assert told(answer, street) or way.field == "starting_after", str(way)


def unknown(way: Way) -> str:
    return "https://nothing.example/hook" if way.field == "notify_url" else "nothing"


def likeness(answer: Answer) -> Any:
    return answer.status, {k: v for k, v in answer.document.items() if k != "request_id"}


def told(answer: Answer, street: Street) -> bool:
    return any(text in answer.text for text in street.telling)


async def asked(side: Side, way: Way, value: str | None) -> Answer:
    """Every other name is the asker's own, or new."""
    route, new = way.route, f"new-{order_no()}"
    in_path = dict(side.own)
    if way.place.startswith("path") and way.field is not None and value is not None:
        in_path[way.field] = value
    path = re.sub(r"{(\w+)}", lambda found: in_path[found[1]], route.path)
    if way.place == "query":
        path = f"{path}?{way.field}={value}"
    elif way.place == "path, waiting":
        path = f"{path}?wait=1"
    key = value if way.place == "header" else new
    return await side.client.call(
        route.method,
        path,
        _body(side, way, value, new) if route.method == "POST" else None,
        key=key if route.needs_idempotency_key else None,
        wait_s=1 if route.waits else None,
    )


def _body(side: Side, way: Way, value: str | None, new: str) -> dict[str, Any]:
    path = way.route.path
    body = BODIES[path] | ({NEW[path]: new} if path in NEW else {})
    if path == PAY and side.role is Role.MERCHANT:
        body["store_id"] = side.own["store_id"]
    if path.endswith("/resend"):
        body["event_id"] = side.own["event_id"]
    if way.field == "override":
        supervisor = {"id": "ann", "pin": "482913"}
        body["override"] = {"payment_id": value, "supervisor": supervisor, "reason": "queue"}
    elif way.place == "body" and way.field is not None:
        body[way.field] = value
    return body


@pytest.fixture(scope="module")
async def street(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Street]:
    """Two stores of one merchant, and two of another; webhooks wait, so that no row changes."""
    dsn = await postgres.fresh_database()
    async with (
        shop(dsn, sandbox=sandbox, sweep=False, deliver=False) as opened,
        AsyncExitStack() as stack,
    ):
        others = await provisioned(opened.books.settings, None, "others")
        keys = await _keys(opened, others)
        clients = {
            title: await stack.enter_async_context(Client(opened.base_url, *key))
            for title, key in keys.items()
        }
        # The refund stays open, and no callback changes a row behind a stranger's back.
        await opened.sandbox.arm("alipay", "refund", "refund_processing")
        await opened.sandbox.arm("alipay", "callback", "drop_before")
        yield await _furnished(opened, clients)
    await postgres.give_back(dsn)


async def _keys(opened: Shop, others: Books) -> dict[str, tuple[str, Any]]:
    people = Registry(
        opened.world.store.pool,
        vault=Vault(MasterKeys.from_text(MASTER, source="test")),
        ids=SystemIds(),
        asked_by=TESTER,
    )
    merchant = opened.books.merchant_id
    await people.create_store(merchant, "First street", "store_first")
    terminal = await people.create_terminal(merchant, "store_first", "Till")
    first = await people.issue_terminal_key(merchant, terminal.id, KeyEnvironment.TEST)
    await people.create_store(others.merchant_id, "Far street", "store_far")
    await opened.world.directory.refresh()
    return {
        "first": (first.id, first.secret),
        "sibling": opened.books.terminal,
        "office": opened.books.merchant,
        "their till": others.terminal,
        "their office": others.merchant,
    }


async def _furnished(opened: Shop, clients: dict[str, Client]) -> Street:
    office, their_office = clients["office"], clients["their office"]
    ours, theirs = await _endpoint(office, "ours"), await _endpoint(their_office, "theirs")
    await opened.world.directory.refresh()
    first, sibling, their_till, far = (
        Side("first", clients["first"], Role.TERMINAL, ours | {"store_id": "store_first"}),
        Side("sibling", clients["sibling"], Role.TERMINAL, ours | {"store_id": STORE}),
        Side("their till", clients["their till"], Role.TERMINAL, theirs | {"store_id": STORE}),
        Side("their office", their_office, Role.MERCHANT, theirs | {"store_id": "store_far"}),
    )
    telling = await _trade(first, office, AMOUNT, {"auth_code": code("alipay")})
    await _trade(sibling, office, 500, {"method": "cash"})
    await _trade(their_till, their_office, 500, {"method": "cash"})
    await _trade(far, their_office, 500, {"method": "cash", "store_id": "store_far"})
    return Street(
        first,
        Side("office", office, Role.MERCHANT, first.own),
        [sibling, their_till, far],
        telling | {first.own["endpoint_id"], first.own["event_id"]},
        opened.books.dsn,
    )


async def _endpoint(office: Client, name: str) -> dict[str, str]:
    key, origin = f"key-{name}", f"https://{name}.example"
    made = await office.call("POST", ENDPOINTS, {"url": f"{origin}/hook"}, key=key)
    assert made.status == 201, made.document
    return {
        "endpoint_id": made.document["id"],
        "notify_url": f"{origin}/other",
        f"key of {ENDPOINTS}": key,
    }


async def _trade(side: Side, office: Client, amount: int, terms: dict[str, Any]) -> frozenset[str]:
    """A payment and a part of it given back, their names among the side's own.

    Returns what tells of them.
    """
    number = order_no()
    paid = await side.client.pay({"order_no": number, "amount": amount, **terms}, f"key-{number}")
    assert (paid.status, paid.document["status"]) == (201, "succeeded"), paid.document
    payment = paid.document
    refund_no = f"R-{number}"
    back = {"refund_no": refund_no, "amount": 7, "reason": ""}
    refund = (await side.client.refund(payment["id"], back, f"back-{number}")).document
    side.own |= {
        "payment_id": payment["id"],
        "payment": payment["id"],
        "refund_id": refund["id"],
        "refund_no": refund_no,
        "order_no": number,
        "out_trade_no": payment["out_trade_no"],
        "channel_trade_no": payment["channel_trade_no"] or "",
        "channel_account": payment["channel_account"],
        "event_id": await _event(office, payment["id"]),
        f"key of {PAY}": f"key-{number}",
        f"key of {REFUND}": f"back-{number}",
    }
    attempts = [attempt["id"] for attempt in payment["attempts"]]
    texts = (payment["id"], refund["id"], *attempts, str(amount), f"{amount / 100:.2f}")
    return frozenset((*texts, payment["out_trade_no"], refund["out_refund_no"]))


async def _event(office: Client, payment_id: str) -> str:
    events = (await office.call("GET", "/v1/events?limit=100")).document["data"]
    return next(
        event["id"] for event in events if event["data"].get("payment", {}).get("id") == payment_id
    )
