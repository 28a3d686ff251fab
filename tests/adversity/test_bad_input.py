"""Malformed, impossible, or another body under a known key: refused with a reason, and not one row
of one table changes.
"""

from __future__ import annotations

import json
import time

import pytest

from gateway.limits import AMOUNT_FEN_MAX, REQUEST_BODY_BYTES_MAX
from tests.adversity.house import until
from tests.adversity.raw_request import pay_body, sent
from tests.adversity.tables import digests
from tests.wallet_codes import code
from tests.world import Shop, order_no


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
        pay_body(
            override={"payment_id": "pay_x", "supervisor": {"id": "s", "pin": "1"}, "reason": "r"}
        ),
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
async def test_bodies(quiet: Shop, body: bytes, status: int, problem: str, field: str | None):
    before = await digests(quiet.books.dsn)
    said, document = await sent(
        quiet, "POST", "/v1/payments", body, key=f"bad-{time.monotonic_ns()}"
    )
    assert (said, document["code"]) == (status, problem), (body[:200], document)
    assert field is None or (document["field"] or "").startswith(field), document
    assert document["verdict"]["code"] == "fix_and_try", "the same body is refused again"
    assert document["request_id"].startswith("req_")
    assert await digests(quiet.books.dsn) == before


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
    quiet: Shop, headers: dict[str, str], key: str | None, status: int, problem: str
):
    before = await digests(quiet.books.dsn)
    said, document = await sent(quiet, "POST", "/v1/payments", pay_body(), headers=headers, key=key)
    assert (said, document["code"]) == (status, problem), document
    assert await digests(quiet.books.dsn) == before


async def test_fault_23_same_key_other_body(quiet: Shop):
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
        quiet, "POST", "/v1/payments", json.dumps(first).encode(), key=order
    )
    assert status == 201, payment
    await until(lambda: is_called_back(quiet, payment["out_trade_no"]))
    before = await digests(quiet.books.dsn)
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
            quiet, "POST", "/v1/payments", json.dumps(first | {field: value}).encode(), key=order
        )
        assert (status, document["code"], document["field"]) == (
            422,
            "idempotency_key_reused",
            field,
        )
        assert document["verdict"]["code"] == "already_paid", "by another request than this one"
    again = json.dumps(dict(reversed(first.items())), indent=3).encode()
    assert (await sent(quiet, "POST", "/v1/payments", again, key=order))[1]["id"] == payment[
        "id"
    ], "another spelling of the same body"
    assert await digests(quiet.books.dsn) == before


async def is_called_back(quiet: Shop, out_trade_no: str) -> bool:
    """Alipay's callback of the payment, the last thing that changes a row by itself."""
    return bool(
        await quiet.rows(
            "SELECT FROM callback WHERE out_trade_no = $1 AND applied_at IS NOT NULL", out_trade_no
        )
    )
