"""Who may in: the signature over the bytes as sent, the key's state, its role, and the age of our
copy of the keys.
"""

from typing import Any

import pytest

from security.secret import Secret
from security.till_signature import authorization_header, sign
from tests.fakes.flow import SECRET, World
from tests.unit.http.conftest import Till

BODY = b'{"order_no":"T08-0042","amount":12850,"currency":"CNY","auth_code":"280000000000000000"}'
VECTOR_SIG = "a7YbEyFokKOFQ0JLY6LaLqH8CSecy8vUr64qrS+snFI="


async def test_the_contracts_vector_pays(till: Till) -> None:
    headers = {
        "Authorization": f'TILLGATE-HMAC-SHA256 key="tk_1",ts=1795219200,sig="{VECTOR_SIG}"',
        "Idempotency-Key": "idem-0001",
    }
    assert (await till.plain("POST", "/v1/payments", BODY, headers)).status == 201


BENT = [
    ({"method": "PUT"}, "signature_invalid"),
    ({"path_qs": "/v1/payments?"}, "signature_invalid"),
    ({"path_qs": "/v1/payment"}, "signature_invalid"),
    ({"ts": 1_795_219_199}, None),  # ts is in the header: this is signed and sent
    ({"idempotency_key": "other"}, "signature_invalid"),
    ({"idempotency_key": None}, "signature_invalid"),
    ({"body": BODY + b" "}, "signature_invalid"),
    ({"body": b""}, "signature_invalid"),
    ({"ts": 1_795_219_200 - 300}, None),
    ({"ts": 1_795_219_200 + 300}, None),
    ({"ts": 1_795_219_200 - 301}, "signature_expired"),
    ({"ts": 1_795_219_200 + 301}, "signature_expired"),
]


@pytest.mark.parametrize(("signed", "code"), BENT)
async def test_a_signature_of_other_parts_is_refused(
    till: Till, world: World, signed: dict[str, object], code: str | None
) -> None:
    reply = await till.send("POST", "/v1/payments", BODY, key="idem-0001", signed=signed)
    assert reply.status == (201 if code is None else 401)
    if code is not None:
        problem = reply.json()
        assert (problem["code"], problem["verdict"]["code"]) == (code, "fix_and_try")
        assert problem.get("server_time") == (
            1_795_219_200 if code == "signature_expired" else None
        )
        assert world.flow.asked == []


GOOD_SIG = sign(
    SECRET, method="GET", path_qs="/v1/payments", ts=1_795_219_200, idempotency_key=None, body=b""
)


async def test_an_old_copy_of_the_keys_does_not_deny_that_a_key_exists(
    till: Till, world: World
) -> None:
    world.directory.is_fresh = False
    headers = {
        "Authorization": authorization_header(
            "tk_new",
            SECRET,
            method="GET",
            path_qs="/v1/payments",
            ts=1_795_219_200,
            idempotency_key=None,
            body=b"",
        )
    }
    reply = await till.plain("GET", "/v1/payments", b"", headers)
    assert (reply.status, reply.json()["code"]) == (503, "store_unavailable")


HEADERS = [
    (None, "signature_invalid"),
    ("", "signature_invalid"),
    ("Bearer x", "signature_invalid"),
    (f'TILLGATE-HMAC-SHA512 key="tk_1",ts=1795219200,sig="{GOOD_SIG}"', "signature_invalid"),
    (f'TILLGATE-HMAC-SHA256 ts=1795219200,sig="{GOOD_SIG}"', "signature_invalid"),
    (f'TILLGATE-HMAC-SHA256 key="tk_1",ts=01795219200,sig="{GOOD_SIG}"', "signature_invalid"),
    (
        f'TILLGATE-HMAC-SHA256 key="tk_1",key="tk_1",ts=1795219200,sig="{GOOD_SIG}"',
        "signature_invalid",
    ),
    (f'TILLGATE-HMAC-SHA256 key="tk_1",ts=1795219200,sig="{"A" * 43}="', "signature_invalid"),
    (f'TILLGATE-HMAC-SHA256 key="{"k" * 600}",ts=1795219200,sig="{GOOD_SIG}"', "signature_invalid"),
    (f'TILLGATE-HMAC-SHA256 key="tk_none",ts=1795219200,sig="{GOOD_SIG}"', "key_unknown"),
    (f'TILLGATE-HMAC-SHA256 key="mk_revoked",ts=1795219200,sig="{"A" * 43}="', "signature_invalid"),
    (f'TILLGATE-HMAC-SHA256 key="mk_revoked",ts=1795219200,sig="{GOOD_SIG}"', "key_revoked"),
    (f'TILLGATE-HMAC-SHA256 key="tk_1",ts=1795219200,sig="{GOOD_SIG}"', None),
]


@pytest.mark.parametrize(("header", "code"), HEADERS)
async def test_the_authorization_header_is_read_strictly(
    till: Till, header: str | None, code: str | None
) -> None:
    reply = await till.plain(
        "GET", "/v1/payments", None, {} if header is None else {"Authorization": header}
    )
    assert (reply.status, reply.json().get("code")) == (
        (200, None) if code is None else (401, code)
    )


async def test_another_secret_is_refused(till: Till) -> None:
    parts: dict[str, Any] = {
        "method": "GET",
        "path_qs": "/v1/payments",
        "ts": 1_795_219_200,
        "idempotency_key": None,
        "body": b"",
    }
    header = authorization_header("tk_1", Secret("sk_test_other"), **parts)
    assert (await till.plain("GET", "/v1/payments", None, {"Authorization": header})).status == 401


async def test_the_signature_comes_before_the_body_is_parsed(till: Till) -> None:
    reply = await till.send("POST", "/v1/payments", b"{{{{", key="k", signed={"body": b""})
    assert reply.json()["code"] == "signature_invalid"


TARGETS = [
    ("/v1/payments?order_no=a%2Db", "/v1/payments?order_no=a-b"),
    ("/v1/payments?order_no=%54%38", "/v1/payments?order_no=T8"),
    ("/v1/payments?status=succeeded&order_no=A", "/v1/payments?order_no=A&status=succeeded"),
    (
        "/v1/payments?from=2026-11-21T00:00:00%2B08:00",
        "/v1/payments?from=2026-11-21T00%3A00%3A00%2B08%3A00",
    ),
    ("/v1/%70ayments", "/v1/payments"),
]


@pytest.mark.parametrize(("target", "normalised"), TARGETS)
async def test_the_target_is_signed_as_sent_and_not_as_decoded(
    till: Till, target: str, normalised: str
) -> None:
    assert (await till.send("GET", target)).status == 200
    assert (await till.send("GET", target, signed={"path_qs": normalised})).status == 401


ODD_TARGETS = [
    ("/v1/payments/pay%2F1", 404),
    ("/v1/payments/pay%201", 404),
    ("/v1/payments/%E5%8D%95", 404),
    ("/v1/payments?order_no=%E5%8D%95", 422),
    ("/v1/payments?order_no=a+b", 422),
    ("/v1/payments?order_no=%FF", 400),
    ("/v1/payments?%zz", 400),
]


@pytest.mark.parametrize(("target", "status"), ODD_TARGETS)
async def test_odd_targets_pass_the_signature_as_sent(till: Till, target: str, status: int) -> None:
    assert (await till.send("GET", target)).status == status


RAW_TARGETS = [
    ("http://x/v1/payments?limit=5", "/v1/payments?limit=5", b"200"),
    ("http://x/v1/payments?limit=5", "/v1/payments?limit=6", b"401"),
    ("/v1/payments?", "/v1/payments?", b"200"),
    ("/v1/payments?", "/v1/payments", b"401"),
    ("/v1/payments?limit=5#x", "/v1/payments?limit=5#x", b"200"),
    # The HTTP parser takes no byte beyond ASCII.
    ("/v1/payments?order_no=单", "/v1/payments?order_no=单", b"400"),
]


async def test_a_bare_question_mark_and_an_absolute_form_are_signed_as_sent(till: Till) -> None:
    for target, signed, status in RAW_TARGETS:
        header = authorization_header(
            "tk_1",
            SECRET,
            method="GET",
            path_qs=signed,
            ts=1_795_219_200,
            idempotency_key=None,
            body=b"",
        )
        answer = await till.raw(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode()
        )
        assert answer.split(b" ", 2)[1] == status, target


PAY, CANCEL, REFUND = (
    ("POST", "/v1/payments"),
    ("POST", "/v1/payments/pay_1/cancel"),
    ("POST", "/v1/payments/pay_1/refunds"),
)
LIST, EVENTS, READ_REFUNDS = ("GET", "/v1/payments"), ("GET", "/v1/events"), ("GET", "/v1/refunds")
ROLES = [
    # key         pay  cancel refund list refunds events
    ("tk_1", (True, True, True, True, True, False)),
    ("mk_1", (True, True, True, True, True, True)),
    ("mk_finance", (False, False, False, True, True, True)),
    ("mk_reader", (False, False, False, True, True, True)),
    ("mk_odd", (False, False, False, False, False, False)),
]


@pytest.mark.parametrize(("key_id", "allowed"), ROLES)
async def test_a_role_opens_its_routes_only(
    till: Till, key_id: str, allowed: tuple[bool, ...]
) -> None:
    refund_body = b'{"refund_no":"R1","amount":1}'
    bodies = (BODY, b"", refund_body, b"", b"", b"")
    for (method, path), body, may in zip(
        (PAY, CANCEL, REFUND, LIST, READ_REFUNDS, EVENTS), bodies, allowed, strict=True
    ):
        reply = await till.send(
            method, path, body, key="k" if method == "POST" else None, key_id=key_id
        )
        assert (reply.status != 403) == may, (method, path)
        if not may:
            assert reply.json()["code"] == "not_permitted"


async def test_a_stale_copy_of_the_keys_stops_writes_and_not_reads(
    till: Till, world: World
) -> None:
    world.directory.is_fresh = False
    write = await till.send("POST", "/v1/payments", BODY, key="k")
    assert (write.status, write.json()["code"], write.json()["verdict"]["code"]) == (
        503,
        "store_unavailable",
        "try_again",
    )
    assert write.headers["Retry-After"] == "1"
    assert (await till.send("GET", "/v1/payments")).status == 200
    assert world.flow.commands == []


async def test_a_head_is_signed_as_a_head(till: Till) -> None:
    assert (await till.send("HEAD", "/v1/payments")).status == 200
    assert (await till.send("HEAD", "/v1/payments", signed={"method": "GET"})).status == 401
