"""Webhook endpoints over HTTP and by command line, on a whole gateway."""

from typing import Any

import pytest

from gateway.limits import WEBHOOK_SECRETS_LIVE_MAX
from gateway.storage.registries import webhooks
from tests.world import TESTER, Shop, order_no, shop

HERE = "/v1/webhook-endpoints"


@pytest.fixture
async def house(database):
    async with shop(database, sweep=False, deliver=False) as opened:
        yield opened


async def created(
    house: Shop, url: str = "https://shop.example/hook", key: str = "e1", **body: object
) -> dict[str, Any]:
    answer = await house.office.call("POST", HERE, {"url": url, **body}, key=key)
    assert answer.status == 201, answer.document
    await house.world.directory.refresh()
    return dict(answer.document)


async def test_created_once_whatever_is_lost(house: Shop):
    made = await created(house, event_types=["payment.succeeded"])
    again = await house.office.call(
        "POST", HERE, {"url": made["url"], "event_types": ["payment.succeeded"]}, key="e1"
    )
    assert (again.status, again.replayed, again.document) == (200, True, made | {"secret": None})
    assert len((await house.office.call("GET", HERE)).document["data"]) == 1
    rotated = (await house.office.call("POST", f"{HERE}/{made['id']}/rotate-secret")).document
    assert rotated["secret"] not in {made["secret"], None}
    assert rotated["rotating_until"] is not None


async def test_notify_url_needs_an_enabled_endpoint_of_its_origin(house: Shop):
    order = order_no()
    body: dict[str, Any] = {
        "order_no": order,
        "method": "cash",
        "notify_url": "https://shop.example/till/7",
    }
    refused = await house.pay(500, key="n1", **body)
    assert (refused.status, refused.document["field"], refused.document["verdict"]["code"]) == (
        422,
        "notify_url",
        "fix_and_try",
    )
    made = await created(house, "https://shop.example:443/hook")
    for address in (
        "https://shop.example:444/",
        "http://shop.example/",
        "https://shop.example.evil.example/",
        "https://a.shop.example/",
    ):
        assert (await house.pay(500, key="n2", **(body | {"notify_url": address}))).status == 422, (
            address
        )
    paid = await house.pay(500, key="n1", **body)
    assert paid.status == 201, paid.document
    other = await house.pay(500, key="n1", **(body | {"notify_url": "https://shop.example/till/8"}))
    assert (other.status, other.document["code"], other.document["field"]) == (
        422,
        "idempotency_key_reused",
        "notify_url",
    )
    await house.office.call("POST", f"{HERE}/{made['id']}/disable")
    await house.world.directory.refresh()
    assert (await house.pay(500, **(body | {"order_no": order_no()}))).status == 422
    again = await house.pay(500, key="n1", **body)  # it stands, and its till must hear so
    assert (again.status, again.document["id"]) == (200, paid.document["id"])
    found = await house.rows("SELECT url, event_id FROM outbox WHERE endpoint_id = $1", made["id"])
    assert [row["url"] for row in found] == ["https://shop.example/till/7"]


async def test_deliveries_and_resend(house: Shop):
    made = await created(house)
    paid = (await house.pay(500, method="cash")).document
    page = (
        await house.office.call("GET", f"{HERE}/{made['id']}/deliveries?state=waiting&limit=5")
    ).document
    (delivery,) = page["data"]
    assert (delivery["type"], delivery["state"], delivery["tries"], delivery["answers"]) == (
        "payment.succeeded",
        "waiting",
        0,
        [],
    )
    feed = (await house.office.call("GET", "/v1/events?limit=5")).document["data"]
    assert [(event["id"], event["data"]["payment"]["id"]) for event in feed] == [
        (delivery["event_id"], paid["id"])
    ]
    disabled = (await house.office.call("POST", f"{HERE}/{made['id']}/disable", {})).document
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "by_hand")
    dead = (
        await house.office.call(
            "GET", f"{HERE}/{made['id']}/deliveries?event_id={delivery['event_id']}"
        )
    ).document["data"]
    assert [each["state"] for each in dead] == ["dead"]
    refused = await house.office.call(
        "POST", f"{HERE}/{made['id']}/resend", {"event_id": delivery["event_id"]}
    )
    assert (refused.status, refused.document["code"]) == (409, "webhook_endpoint_disabled")
    await house.office.call("POST", f"{HERE}/{made['id']}/enable")
    resent = await house.office.call(
        "POST", f"{HERE}/{made['id']}/resend", {"dead_since": "2026-01-01T00:00:00Z"}
    )
    assert resent.document == {"resent": 1}
    assert (
        await house.office.call("POST", f"{HERE}/{made['id']}/resend", {"event_id": "evt_none"})
    ).status == 404


async def test_twenty_and_no_more(house: Shop):
    for n in range(20):
        await created(house, f"https://h{n}.example/", key=f"e{n}")
    full = await house.office.call("POST", HERE, {"url": "https://one.more.example/"}, key="e20")
    assert (full.status, full.document["code"]) == (409, "webhook_endpoints_full")
    first = (await house.office.call("GET", HERE)).document["data"][0]["id"]
    await house.office.call("POST", f"{HERE}/{first}/disable")
    assert (
        await house.office.call("POST", HERE, {"url": "https://one.more.example/"}, key="e20")
    ).status == 201
    assert (await house.office.call("POST", f"{HERE}/{first}/enable")).document[
        "code"
    ] == "webhook_endpoints_full"


async def test_endpoints_are_listed_in_pages_and_bounded_in_all(
    house: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(webhooks, "WEBHOOK_ENDPOINTS_KEPT_MAX", 4)
    made = [await created(house, f"https://s{n}.example/", f"e{n}") for n in range(4)]
    for endpoint in made[:3]:
        await house.office.call("POST", f"{HERE}/{endpoint['id']}/disable")
    full = await house.office.call("POST", HERE, {"url": "https://s9.example/"}, key="e9")
    assert (full.status, full.document["code"]) == (409, "webhook_endpoints_full")
    assert (await house.office.call("POST", f"{HERE}/{made[0]['id']}/enable")).status == 200
    seen, after = [], ""
    for _ in range(2):
        answer = (await house.office.call("GET", f"{HERE}?limit=2{after}")).document
        seen += [each["id"] for each in answer["data"]]
        after = f"&starting_after={seen[-1]}"
    assert (seen, answer["has_more"]) == ([each["id"] for each in made], False)
    nobodys = await house.office.call("GET", f"{HERE}?starting_after=whe_nobodys")
    assert nobodys.status == 404


async def test_secrets_that_sign_nothing_are_forgotten(house: Shop):
    made = await created(house)
    for _ in range(2 * WEBHOOK_SECRETS_LIVE_MAX):
        await house.world.webhooks.rotate(house.books.merchant_id, made["id"], TESTER)
    counted = "SELECT count(*) AS kept, max(number) AS newest FROM webhook_secret"
    [row] = await house.rows(counted)
    assert tuple(row) == (WEBHOOK_SECRETS_LIVE_MAX, 1 + 2 * WEBHOOK_SECRETS_LIVE_MAX)
    await house.rows("UPDATE webhook_secret SET ends_at = now() WHERE ends_at IS NOT NULL")
    await house.world.webhooks.rotate(house.books.merchant_id, made["id"], TESTER)
    [row] = await house.rows(counted)
    assert row["kept"] == 2, "the newest, and the one before it for a day"
