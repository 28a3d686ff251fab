"""Wrong, forged, stale, foreign, malformed:
refused with a reason, and not one row of one table changes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from yarl import URL

from gateway.clock import SystemIds
from gateway.http.routes import ROUTES
from gateway.limits import AMOUNT_FEN_MAX, DIRECTORY_AGE_MS_MAX, REQUEST_BODY_BYTES_MAX
from gateway.storage.connections import read_pool
from gateway.storage.registries.people import Registry
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role
from security.secret import Secret
from security.till_signature import authorization_header
from security.vault import Vault
from tests.adversity.house import code, until
from tests.adversity.tables import digests
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.world import MASTER, TESTER, Books, Shop, order_no, provisioned, shop

Said = tuple[int, Any]


@pytest.fixture(scope="module")
async def target(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """A shop whose sweeper is held still, so that nothing changes by itself."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False) as opened:
        yield opened
    await postgres.drop(dsn)


@pytest.fixture(scope="module")
async def stranger(target: Shop) -> Books:
    """Another tenant of the same gateway, with rightful keys of its own."""
    books = await provisioned(target.books.settings, None, "stranger")
    await until(lambda: knows(target, books.merchant[0]))
    return books


async def knows(target: Shop, key_id: str) -> bool:
    return target.world.directory.key(key_id) is not None


async def sent(
    target: Shop,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    signer: Any = None,
    key: str | None = None,
) -> Said:
    """(status, document) of one raw request, signed by the till unless `headers` carry an
    Authorization of their own.
    """
    key_id, secret = signer or target.books.terminal
    given = {"Idempotency-Key": key} if key is not None else {}
    given["Authorization"] = authorization_header(
        key_id,
        secret,
        method=method,
        path_qs=path,
        ts=int(time.time()),
        idempotency_key=key,
        body=body,
    )
    given |= headers or {}
    url = URL(target.base_url + path, encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body or None, headers=given) as answer,
    ):
        text = await answer.read()
        return answer.status, json.loads(text) if text else None


def pay_body(**fields: Any) -> bytes:
    return json.dumps(
        {"order_no": order_no(), "amount": 700, "currency": "CNY", "method": "cash"} | fields
    ).encode()


def without(name: str) -> bytes:
    body = json.loads(pay_body())
    del body[name]
    return json.dumps(body).encode()


def with_text(amount: str) -> bytes:
    """A body whose amount is exactly this text."""
    return (
        b'{"order_no":"T-raw","currency":"CNY","method":"cash","amount":' + amount.encode() + b"}"
    )


BODIES: list[tuple[bytes, int, str, str | None]] = [
    (b"", 400, "malformed", None),
    (b"{", 400, "malformed", None),
    (b"[]", 422, "field_invalid", None),
    (b"null", 422, "field_invalid", None),
    (b'"pay"', 422, "field_invalid", None),
    (pay_body() + b"x", 400, "malformed", None),
    (b"\xff\xfe" + pay_body(), 400, "malformed", None),
    (pay_body().decode().encode("utf-16"), 400, "malformed", None),
    (
        b'{"amount":1,"amount":700,"order_no":"T-twice","currency":"CNY","method":"cash"}',
        400,
        "malformed",
        None,
    ),
    (
        b'{"order_no":"T-deep","amount":700,"currency":"CNY","metadata":'
        + b'{"a":' * 50
        + b"1"
        + b"}" * 51,
        400,
        "malformed",
        None,
    ),
    (b"[" * 20_000, 400, "malformed", None),
    (without("amount"), 422, "field_missing", "amount"),
    (without("order_no"), 422, "field_missing", "order_no"),
    (without("currency"), 422, "field_missing", "currency"),
    *(
        (with_text(text), 422, "amount_invalid", "amount")
        for text in ("0", "-1", "1.0", "7e2", "1E400", "-0", '"700"', "true", "null", "[700]")
    ),
    *(
        (with_text(text), 422, "amount_invalid", "amount")
        for text in (str(AMOUNT_FEN_MAX + 1), "9" * 19, "9" * 400, "18446744073709551616")
    ),
    *(
        (with_text(text), 400, "malformed", None)
        for text in ("NaN", "Infinity", "007", "0x10", "+700", "7_00", "1.")
    ),
    (
        pay_body(override={"payment_id": "pay_x", "supervisor_id": "s", "reason": "r"}),
        422,
        "field_invalid",
        "override.payment_id",
    ),
    (pay_body(order_amount=0), 422, "amount_invalid", "order_amount"),
    (pay_body(notify_url="https://example.com/"), 422, "field_invalid", "notify_url"),
    (pay_body(merchant_id="mer_other"), 422, "field_unknown", "merchant_id"),
    (pay_body(Amount=1), 422, "field_unknown", "Amount"),
    (pay_body(cash={"tendered": 700, "drawer": 1}), 422, "field_unknown", "cash.drawer"),
    (pay_body(cash={"tendered": 699}), 422, "field_invalid", "cash.tendered"),
    (pay_body(currency="USD"), 422, "field_invalid", "currency"),
    (pay_body(order_no="T 1"), 422, "field_invalid", "order_no"),
    (pay_body(order_no="T-1\n"), 422, "field_invalid", "order_no"),
    (pay_body(order_no="x" * 65), 422, "field_invalid", "order_no"),
    (pay_body(order_no=""), 422, "field_invalid", "order_no"),
    (pay_body(order_no="'; DROP TABLE payment; --"), 422, "field_invalid", "order_no"),
    (pay_body(tender_no=0), 422, "field_invalid", "tender_no"),
    (pay_body(tender_no=100), 422, "field_invalid", "tender_no"),
    (pay_body(tender_no=True), 422, "field_invalid", "tender_no"),
    (pay_body(method="bitcoin"), 422, "field_invalid", "method"),
    (pay_body(method="cash", flow="qr"), 422, "field_invalid", "flow"),
    (pay_body(method="cash", auth_code="280000000000000000"), 422, "field_invalid", "auth_code"),
    (
        pay_body(method="auto", auth_code="999999999999999999"),
        422,
        "auth_code_unrecognized",
        "auth_code",
    ),
    (pay_body(method="auto", auth_code="28000"), 422, "auth_code_unrecognized", "auth_code"),
    (
        pay_body(method="alipay", auth_code="130000000000000000"),
        422,
        "auth_code_unrecognized",
        "auth_code",
    ),
    (pay_body(method="auto", auth_code=280000000000000000), 422, "field_invalid", "auth_code"),
    (pay_body(method="alipay"), 422, "field_missing", "auth_code"),
    (pay_body(method="alipay", flow="qr", expires_in=59), 422, "field_invalid", "expires_in"),
    (pay_body(description="two\nlines"), 422, "field_invalid", "description"),
    (pay_body(description="nul\u0000"), 422, "field_invalid", "description"),
    (pay_body(metadata={"k" * 41: "v"}), 422, "field_invalid", "metadata"),
    (pay_body(metadata={str(n): "v" for n in range(21)}), 422, "field_invalid", "metadata"),
    (pay_body(metadata={"k": 1}), 422, "field_invalid", "metadata"),
    (pay_body(store_id="store_2"), 422, "field_invalid", "store_id"),
    (pay_body(metadata={"k": "x" * REQUEST_BODY_BYTES_MAX}), 413, "too_large", None),
]


@pytest.mark.parametrize(("body", "status", "problem", "field"), BODIES, ids=range(len(BODIES)))
async def test_bodies(target: Shop, body: bytes, status: int, problem: str, field: str | None):
    before = await digests(target.books.dsn)
    said, document = await sent(
        target, "POST", "/v1/payments", body, key=f"bad-{time.monotonic_ns()}"
    )
    assert (said, document["code"]) == (status, problem), (body[:200], document)
    assert field is None or (document["field"] or "").startswith(field), document
    assert document["verdict"]["code"] == "try_again", "nothing was sent"
    assert document["request_id"].startswith("req_")
    assert await digests(target.books.dsn) == before


@pytest.mark.parametrize(
    ("headers", "key", "status", "problem"),
    [
        ({}, None, 400, "idempotency_key_missing"),
        ({}, "", 400, "idempotency_key_missing"),
        ({}, "x" * 256, 400, "idempotency_key_missing"),
        ({}, "tab\there", 400, "idempotency_key_missing"),
        ({"Content-Encoding": "gzip"}, "bad-gzip", 400, "malformed"),
    ],
)
async def test_headers(
    target: Shop, headers: dict[str, str], key: str | None, status: int, problem: str
):
    before = await digests(target.books.dsn)
    said, document = await sent(
        target, "POST", "/v1/payments", pay_body(), headers=headers, key=key
    )
    assert (said, document["code"]) == (status, problem), document
    assert await digests(target.books.dsn) == before


def forged(target: Shop, **changed: Any) -> str:
    """A signature that would be right if what it was made over had been sent."""
    key_id, secret = changed.pop("signer", target.books.terminal)
    what: dict[str, Any] = {
        "method": "POST",
        "path_qs": "/v1/payments",
        "ts": int(time.time()),
        "idempotency_key": "forged",
        "body": FORGED_BODY,
    } | changed
    return authorization_header(key_id, secret, **what)


FORGED_BODY = b'{"order_no":"T-forged","amount":700,"currency":"CNY","method":"cash"}'
OTHER_SECRET = Secret("sk_test_0123456789abcdef0123456789abcdef")
SIGNATURES: list[tuple[str, Any, str]] = [
    (
        "other body",
        lambda t: forged(t, body=FORGED_BODY.replace(b"700", b"1")),
        "signature_invalid",
    ),
    ("other path", lambda t: forged(t, path_qs="/v1/payments?x=1"), "signature_invalid"),
    ("other method", lambda t: forged(t, method="PUT"), "signature_invalid"),
    ("other key", lambda t: forged(t, idempotency_key="forged-2"), "signature_invalid"),
    ("no key signed", lambda t: forged(t, idempotency_key=None), "signature_invalid"),
    (
        "other secret",
        lambda t: forged(t, signer=(t.books.terminal[0], OTHER_SECRET)),
        "signature_invalid",
    ),
    (
        "the office's secret",
        lambda t: forged(t, signer=(t.books.terminal[0], t.books.merchant[1])),
        "signature_invalid",
    ),
    ("key nobody has", lambda t: forged(t, signer=("key_nobody", OTHER_SECRET)), "key_unknown"),
    ("an hour old", lambda t: forged(t, ts=int(time.time()) - 3_600), "signature_expired"),
    ("from the future", lambda t: forged(t, ts=int(time.time()) + 3_600), "signature_expired"),
    ("just too old", lambda t: forged(t, ts=int(time.time()) - 302), "signature_expired"),
    ("nothing", lambda t: "", "signature_invalid"),
    ("another scheme", lambda t: "Basic dXNlcjpwYXNz", "signature_invalid"),
    (
        "no signature",
        lambda t: f'TILLGATE-HMAC-SHA256 key="{t.books.terminal[0]}",ts={int(time.time())}',
        "signature_invalid",
    ),
    ("cut", lambda t: forged(t)[:-4] + '"', "signature_invalid"),
    ("twice in one", lambda t: f"{forged(t)},{forged(t)}", "signature_invalid"),
    ("a novel", lambda t: forged(t) + "x" * 2_000, "signature_invalid"),
]


@pytest.mark.parametrize(
    ("authorization", "problem"),
    [line[1:] for line in SIGNATURES],
    ids=[line[0] for line in SIGNATURES],
)
async def test_signatures(target: Shop, authorization: Any, problem: str):
    before = await digests(target.books.dsn)
    status, document = await sent(
        target,
        "POST",
        "/v1/payments",
        FORGED_BODY,
        key="forged",
        headers={"Authorization": authorization(target)},
    )
    assert (status, document["code"]) == (401, problem), document
    assert ("server_time" in document) == (problem == "signature_expired")
    assert await digests(target.books.dsn) == before


async def test_every_signed_route_refuses_the_unsigned(target: Shop):
    before = await digests(target.books.dsn)
    for route in ROUTES:
        status, document = await sent(
            target,
            route.method,
            filled(route.path, "pay_x", "ref_x"),
            headers={"Authorization": ""},
            key="k",
        )
        assert (status, document["code"]) == (401, "signature_invalid"), route.path
    assert await digests(target.books.dsn) == before


def filled(path: str, payment_id: str, refund_id: str) -> str:
    return (
        path.replace("{payment_id}", payment_id)
        .replace("{refund_id}", refund_id)
        .replace("{endpoint_id}", "whe_x")
    )


LAWFUL_BODIES = {
    "refunds": b'{"refund_no":"theirs-1","amount":1}',
    "resend": b'{"event_id":"evt_x"}',
}


async def test_anothers_ids_do_not_exist_on_any_route(target: Shop, stranger: Books):
    paid = (await target.pay(1_000, method="cash")).document
    refund = (
        await target.till.refund(
            paid["id"], {"refund_no": "mine-1", "amount": 100, "reason": ""}, "mine-1"
        )
    ).document
    before = await digests(target.books.dsn)
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
                    target, route.method, path, body, signer=signer, key="theirs"
                )
                expected = {(404, "not_found")} | (
                    {(403, "not_permitted")} if "/webhook-endpoints" in path else set()
                )
                assert (status, document["code"]) in expected, (route.method, path, document)
            elif route.method == "GET":
                status, document = await sent(target, "GET", path, signer=signer)
                assert (status, document.get("data", [])) in ((200, []), (403, [])), (
                    path,
                    document,
                )
    listed = await sent(
        target, "GET", f"/v1/payments?starting_after={paid['id']}", signer=stranger.merchant
    )
    assert (listed[0], listed[1]["data"]) == (200, [])
    assert await digests(target.books.dsn) == before


async def test_fault_23_same_key_other_body(target: Shop):
    order, scanned = order_no(), code("alipay")
    first = {
        "order_no": order,
        "amount": 700,
        "currency": "CNY",
        "auth_code": scanned,
        "description": "soup",
        "metadata": {"table": "8"},
    }
    status, payment = await sent(
        target, "POST", "/v1/payments", json.dumps(first).encode(), key=order
    )
    assert status == 201, payment
    await until(lambda: is_called_back(target, payment["out_trade_no"]))
    before = await digests(target.books.dsn)
    for field, value in (
        ("amount", 701),
        ("order_no", order_no()),
        ("tender_no", 2),
        ("auth_code", code("alipay")),
        ("description", "noodles"),
        ("metadata", {"table": "9"}),
        ("operator_id", "c07"),
    ):
        status, document = await sent(
            target, "POST", "/v1/payments", json.dumps(first | {field: value}).encode(), key=order
        )
        assert (status, document["code"], document["field"]) == (
            422,
            "idempotency_key_reused",
            field,
        )
        assert document["verdict"]["code"] == "do_not_charge_again"
    again = json.dumps(dict(reversed(first.items())), indent=3).encode()
    assert (await sent(target, "POST", "/v1/payments", again, key=order))[1]["id"] == payment[
        "id"
    ], "another spelling of the same body"
    assert await digests(target.books.dsn) == before


async def is_called_back(target: Shop, out_trade_no: str) -> bool:
    """Alipay's callback of the payment, the last thing that changes a row by itself."""
    return bool(
        await target.rows(
            "SELECT FROM callback WHERE out_trade_no = $1 AND applied_at IS NOT NULL", out_trade_no
        )
    )


async def test_keys_are_a_tenants_own(target: Shop, stranger: Books):
    """The same key and order number at another tenant are another payment."""
    order = order_no()
    ours = await sent(target, "POST", "/v1/payments", pay_body(order_no=order), key=order)
    theirs = await sent(
        target,
        "POST",
        "/v1/payments",
        pay_body(order_no=order),
        key=order,
        signer=stranger.terminal,
    )
    assert (ours[0], theirs[0]) == (201, 201)
    assert ours[1]["id"] != theirs[1]["id"]


async def test_revoked_while_running(target: Shop):
    """Every worker refuses it within the age that a copy of the keys may have."""
    registry_pool = await read_pool(target.books.dsn)
    try:
        registry = Registry(
            registry_pool,
            vault=Vault(MasterKeys.from_text(MASTER, source="test")),
            ids=SystemIds(),
            asked_by=TESTER,
        )
        issued = await registry.issue_merchant_key(
            target.books.merchant_id, Role.MERCHANT, KeyEnvironment.TEST
        )
        await until(lambda: knows(target, issued.id))
        signer = (issued.id, issued.secret)
        assert (await sent(target, "GET", "/v1/payments", signer=signer))[0] == 200
        await registry.revoke_key(issued.id)
        async with asyncio.timeout(DIRECTORY_AGE_MS_MAX / 1000):
            while (answer := await sent(target, "GET", "/v1/payments", signer=signer))[0] == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (answer[0], answer[1]["code"]) == (401, "key_revoked")
        before = await digests(target.books.dsn)
        status, document = await sent(
            target, "POST", "/v1/payments", pay_body(), signer=signer, key="revoked"
        )
        assert (status, document["code"]) == (401, "key_revoked")
        assert await digests(target.books.dsn) == before
    finally:
        await registry_pool.close()
