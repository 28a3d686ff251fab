import json
from dataclasses import replace

import pytest

from gateway.domain.errors import SignatureUsed
from gateway.http.exchange import Repeat, Route
from gateway.http.routes import ROUTES
from security.roles import PERMISSIONS, Permission, Role
from tests.fakes.flow import World
from tests.unit.http.conftest import Reply, Till

HERE = "/v1/webhook-endpoints"
KEYS = {
    Role.TERMINAL: "tk_1",
    Role.MERCHANT: "mk_1",
    Role.FINANCE: "mk_finance",
    Role.READ_ONLY: "mk_reader",
}
MINE = [route for route in ROUTES if route.path.startswith(HERE)]


async def create(till: Till, **body: object) -> Reply:
    return await till.send(
        "POST",
        HERE,
        json.dumps({"url": "https://shop.example/hook", **body}).encode(),
        key="k1",
        key_id="mk_1",
    )


async def ask(till: Till, act: str, body: bytes = b"", method: str = "POST") -> Reply:
    return await till.send(method, f"{HERE}/{act}", body, key_id="mk_1")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("route", MINE, ids=lambda route: f"{route.method} {route.path}")
async def test_who_may(till: Till, route, role: Role):
    await create(till)
    reply = await till.send(
        route.method, route.path.replace("{endpoint_id}", "whe_1"), b"", key="k2", key_id=KEYS[role]
    )
    assert (reply.status == 403) == (route.permission not in PERMISSIONS[role])


def test_no_terminal_and_no_reader_manages():
    assert {role for role in Role if Permission.WEBHOOK_MANAGE in PERMISSIONS[role]} == {
        Role.MERCHANT
    }
    assert Permission.WEBHOOK_READ not in PERMISSIONS[Role.TERMINAL]
    assert {route.permission for route in MINE if route.method == "POST"} == {
        Permission.WEBHOOK_MANAGE
    }


async def test_the_secret_is_shown_once(till: Till):
    first = await create(till, event_types=["refund.failed", "payment.succeeded", "refund.failed"])
    assert (first.status, first.headers["Location"]) == (201, f"{HERE}/whe_1")
    assert first.json() | {"created_at": ""} == {
        "id": "whe_1",
        "object": "webhook_endpoint",
        "url": "https://shop.example/hook",
        "event_types": ["payment.succeeded", "refund.failed"],
        "concurrency": 4,
        "status": "enabled",
        "disabled_reason": None,
        "rotating_until": None,
        "secret": "whsec_new",
        "created_at": "",
    }
    again = await create(
        till,
        url="HTTPS://SHOP.example:443/hook",
        event_types=["payment.succeeded", "refund.failed"],
    )
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json() == first.json() | {"secret": None}
    assert (await ask(till, "whe_1", method="GET")).json() == again.json()
    assert (await till.send("GET", HERE, key_id="mk_1")).json() == {
        "data": [again.json()],
        "has_more": False,
    }
    assert (await ask(till, "whe_1/rotate-secret", b"{}")).json()["secret"] == "whsec_newer"


async def test_a_signature_rotates_once_and_shows_the_secret_once(till: Till, world: World):
    await create(till)
    first = await ask(till, "whe_1/rotate-secret")
    again = await ask(till, "whe_1/rotate-secret")
    assert (first.json()["secret"], again.json()["secret"]) == ("whsec_newer", None)
    assert again.json() == first.json() | {"secret": None}
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    world.clock.move(1)
    anew = await ask(till, "whe_1/rotate-secret")
    assert anew.json()["secret"] == "whsec_newer", "signed anew, it is another wish"
    assert "Idempotency-Replayed" not in anew.headers


async def test_a_disable_that_somebody_recorded_disables_once(till: Till, world: World):
    await create(till)
    assert (await ask(till, "whe_1/disable")).json()["status"] == "disabled"
    assert (await ask(till, "whe_1/enable")).json()["status"] == "enabled"
    replayed = await ask(till, "whe_1/disable")
    assert (replayed.status, replayed.json()["status"]) == (200, "disabled"), "what it heard then"
    assert (await ask(till, "whe_1", method="GET")).json()["status"] == "enabled"


async def test_a_signature_that_is_still_acting_acts_no_second_time(till: Till, world: World):
    await create(till)
    sig = till.signature("POST", f"{HERE}/whe_1/rotate-secret", key_id="mk_1")
    assert await world.signatures.take(("m_1", "mk_1"), sig)
    reply = await ask(till, "whe_1/rotate-secret")
    assert (reply.status, reply.json()["code"]) == (409, "signature_used")


async def test_a_signature_that_was_refused_has_not_acted(till: Till, world: World):
    refused = await ask(till, "whe_1/rotate-secret")
    await create(till)
    allowed = await ask(till, "whe_1/rotate-secret")
    assert (refused.status, allowed.json()["secret"]) == (404, "whsec_newer")


async def test_after_an_accident_a_signature_has_perhaps_acted(till: Till, world: World):
    await create(till)
    rotate = world.deps.webhooks.book.rotate

    async def breaks(*_: object) -> None:
        raise RuntimeError

    world.deps.webhooks.book.rotate = breaks  # type: ignore[method-assign, assignment]
    assert (await ask(till, "whe_1/rotate-secret")).status == 500
    world.deps.webhooks.book.rotate = rotate  # type: ignore[method-assign]
    assert (await ask(till, "whe_1/rotate-secret")).json()["code"] == "signature_used"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_says_why_a_repeat_of_it_is_harmless(route: Route):
    expected = {Repeat.READS} if route.method == "GET" else set(Repeat) - {Repeat.READS}
    assert route.repeat in expected
    if route.repeat is Repeat.HARMLESS:
        assert route.path.endswith("/cancel"), "the only act that is done twice as once"
    if route.repeat is Repeat.BY_SIGNATURE:
        assert SignatureUsed in route.errors


def test_a_route_that_changes_something_cannot_pass_for_a_read():
    read, act = ROUTES[1], next(each for each in ROUTES if each.repeat is Repeat.BY_SIGNATURE)
    for route, repeat in ((act, Repeat.READS), (read, Repeat.HARMLESS)):
        with pytest.raises(AssertionError, match="say why a repeat is harmless"):
            replace(route, repeat=repeat)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"url": "http://shop.example/"}, 422, "field_invalid", "url"),
        ({"url": "https://user@shop.example/"}, 422, "field_invalid", "url"),
        ({"url": "https://shop.example/#a"}, 422, "field_invalid", "url"),
        ({"url": "https://127.0.0.1/"}, 422, "field_invalid", "url"),
        ({"url": "https://10.1.2.3/"}, 422, "field_invalid", "url"),
        ({"url": "https://169.254.169.254/latest"}, 422, "field_invalid", "url"),
        ({"url": "https://[::1]/"}, 422, "field_invalid", "url"),
        ({"url": "https://localhost/"}, 422, "field_invalid", "url"),
        ({"url": 7}, 422, "field_invalid", "url"),
        ({"url": "https://a.example/" + "x" * 2048}, 422, "field_invalid", "url"),
        ({"event_types": ["payment.processing"]}, 422, "field_invalid", "event_types"),
        ({"event_types": ["payment.succeeded "]}, 422, "field_invalid", "event_types[0]"),
        ({"concurrency": 0}, 422, "field_invalid", "concurrency"),
        ({"concurrency": 17}, 422, "field_invalid", "concurrency"),
        ({"secret": "mine"}, 422, "field_unknown", "secret"),
    ],
)
async def test_what_is_refused(
    till: Till, body: dict[str, object], status: int, code: str, field: str
):
    reply = await create(till, **body)
    assert (reply.status, reply.json()["code"], reply.json()["field"]) == (status, code, field)


async def test_a_key_is_needed_and_bound_to_its_body(till: Till):
    assert (await till.send("POST", HERE, b'{"url":"https://a.example/"}', key_id="mk_1")).json()[
        "code"
    ] == "idempotency_key_missing"
    await create(till)
    other = await create(till, url="https://other.example/")
    assert (other.status, other.json()["code"], other.json()["field"]) == (
        422,
        "idempotency_key_reused",
        "url",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"event_id": "evt_1"}, (200, 1)),
        ({"event_id": "evt_2"}, (404, None)),
        ({"dead_since": "2026-11-21T00:00:00Z"}, (200, 3)),
        ({"dead_since": "2026-11-21T00:00:00"}, (422, None)),
        ({}, (422, None)),
        ({"event_id": "evt_1", "dead_since": "2026-11-21T00:00:00Z"}, (422, None)),
    ],
)
async def test_resend(till: Till, body: dict[str, str], expected: tuple[int, int | None]):
    await create(till)
    reply = await ask(till, "whe_1/resend", json.dumps(body).encode())
    assert (reply.status, reply.json().get("resent")) == expected


async def test_a_disabled_endpoint_is_sent_nothing(till: Till):
    await create(till)
    disabled = (await ask(till, "whe_1/disable")).json()
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "by_hand")
    assert (await ask(till, "whe_1/resend", b'{"event_id":"evt_1"}')).json()[
        "code"
    ] == "webhook_endpoint_disabled"
    assert (await ask(till, "whe_1/enable")).json()["status"] == "enabled"


async def test_what_does_not_exist(till: Till):
    for method, act in (
        ("GET", ""),
        ("GET", "/deliveries"),
        ("POST", "/rotate-secret"),
        ("POST", "/disable"),
        ("POST", "/enable"),
    ):
        assert (await ask(till, f"whe_9{act}", method=method)).status == 404


async def test_notify_url_reaches_the_flow_in_one_spelling(till: Till):
    body = {
        "order_no": "T1",
        "amount": 1,
        "currency": "CNY",
        "notify_url": "HTTPS://Shop.Example:443?t=1",
    }
    assert (
        await till.send("POST", "/v1/payments", json.dumps(body).encode(), key="n1")
    ).status == 201
    assert till.world.flow.commands[-1].notify_url == "https://shop.example/?t=1"
    refused = await till.send(
        "POST",
        "/v1/payments",
        json.dumps(body | {"notify_url": "https://a@b.example/"}).encode(),
        key="n2",
    )
    assert (refused.status, refused.json()["field"]) == (422, "notify_url")
