"""What belongs to another merchant does not exist, and not one row of one table changes."""

from __future__ import annotations

import pytest

from gateway.http.routes import ROUTES
from tests.adversity.house import until
from tests.adversity.quiet_shop import knows
from tests.adversity.raw_request import filled, pay_body, sent
from tests.adversity.tables import digests
from tests.world import Books, Shop, order_no, provisioned


@pytest.fixture(scope="module")
async def stranger(quiet: Shop) -> Books:
    """Another tenant of the same gateway, with rightful keys of its own."""
    books = await provisioned(quiet.books.settings, None, "stranger")
    await until(lambda: knows(quiet, books))
    return books


LAWFUL_BODIES = {
    "refunds": b'{"refund_no":"theirs-1","amount":1}',
    "resend": b'{"event_id":"evt_x"}',
}


async def test_anothers_ids_do_not_exist_on_any_route(quiet: Shop, stranger: Books):
    paid = (await quiet.pay(1_000, method="cash")).document
    refund = (
        await quiet.till.refund(
            paid["id"], {"refund_no": "mine-1", "amount": 100, "reason": ""}, "mine-1"
        )
    ).document
    before = await digests(quiet.books.dsn)
    for signer in (stranger.terminal, stranger.merchant):
        for route in ROUTES:
            path = filled(route.path, paid["id"], refund["id"])
            if "{" in route.path:
                body = (
                    LAWFUL_BODIES.get(route.path.rpartition("/")[2], b"")
                    if route.method == "POST"
                    else b""
                )
                status, document = await sent(
                    quiet, route.method, path, body, signer=signer, key="theirs"
                )
                expected = {(404, "not_found")} | (
                    {(403, "not_permitted")} if "/webhook-endpoints" in path else set()
                )
                assert (status, document["code"]) in expected, (route.method, path, document)
            elif route.method == "GET":
                status, document = await sent(quiet, "GET", path, signer=signer)
                assert (status, document.get("data", [])) in ((200, []), (403, [])), (
                    path,
                    document,
                )
    listed = await sent(
        quiet, "GET", f"/v1/payments?starting_after={paid['id']}", signer=stranger.merchant
    )
    assert (listed[0], listed[1]["code"], listed[1]["field"]) == (
        422,
        "field_invalid",
        "starting_after",
    )
    assert await digests(quiet.books.dsn) == before


async def test_keys_are_a_tenants_own(quiet: Shop, stranger: Books):
    """The same key and order number at another tenant are another payment."""
    order = order_no()
    ours = await sent(quiet, "POST", "/v1/payments", pay_body(order_no=order), key=order)
    theirs = await sent(
        quiet,
        "POST",
        "/v1/payments",
        pay_body(order_no=order),
        key=order,
        signer=stranger.terminal,
    )
    assert (ours[0], theirs[0]) == (201, 201)
    assert ours[1]["id"] != theirs[1]["id"]
