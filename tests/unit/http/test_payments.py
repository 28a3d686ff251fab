"""Taking, reading and stopping payments over a real socket."""

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing

from gateway.domain.errors import (
    AlreadyPaid,
    AuthCodeUnrecognized,
    GatewayError,
    IdempotencyKeyReused,
    OutcomePending,
    Overloaded,
    OverrideRefused,
    leaves,
)
from gateway.domain.presenting import PaymentCode
from gateway.domain.statuses import PaymentStatus
from gateway.flow.lists import PaymentFilter
from gateway.limits import LIST_LOOK_BACK_DAYS, REQUEST_BODY_BYTES_MAX
from security.secret import Secret
from tests.fakes.flow import World, in_doubt
from tests.unit.http.conftest import Reply, Till

BODY = b'{"order_no":"T08-0042","amount":12850,"currency":"CNY","auth_code":"280000000000000000"}'


async def pay(till: Till, key: str = "idem-0001", body: bytes = BODY, **more: Any) -> Reply:
    return await till.send("POST", "/v1/payments", body, key=key, **more)


async def test_the_first_request_makes_the_payment_and_the_second_shows_it(till: Till) -> None:
    first, again = await pay(till), await pay(till)
    assert (first.status, again.status) == (201, 200)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.body == again.body
    assert first.headers["Location"] == "/v1/payments/pay_1"
    assert first.headers["Content-Type"] == "application/json"
    assert first.json()["verdict"]["code"] == "paid"


async def test_every_answer_has_its_own_request_id(till: Till) -> None:
    seen = [
        reply.headers["X-Request-Id"]
        for reply in (await pay(till), await pay(till), await till.plain("GET", "/nowhere"))
    ]
    assert len(set(seen)) == 3


async def test_the_command_is_the_body_with_defaults_and_the_caller_is_the_key(
    till: Till, world: World
) -> None:
    await pay(till)
    command = world.flow.commands[0]
    assert (command.order_no, command.tender_no, command.amount, command.method, command.given) == (
        "T08-0042",
        1,
        12850,
        "auto",
        PaymentCode(Secret("280000000000000000")),
    )
    name, caller, key, wait_s = world.flow.asked[0]
    assert (name, caller.terminal_id, caller.store_id, caller.role, key, wait_s) == (
        "pay",
        "term_1",
        "s_1",
        "terminal",
        "idem-0001",
        5,
    )


WAITS = [
    ({}, 5),
    ({"Prefer": "wait=0"}, 0),
    ({"Prefer": "wait=30"}, 30),
    ({"Prefer": "WAIT = 7"}, 7),
    ({"Prefer": 'wait="9"'}, 9),
    ({"Prefer": "respond-async, wait=10; x=y"}, 10),
    ({"Prefer": "wait=3, wait=4"}, 3),
    ({"Prefer": "wait=31"}, 5),
    ({"Prefer": "wait=-1"}, 5),
    ({"Prefer": "wait=1.5"}, 5),
    ({"Prefer": "await=9"}, 5),
    ({"Prefer": "wait=soon"}, 5),
    ({"Prefer": "wait=999999999999"}, 5),
]


@pytest.mark.parametrize(("headers", "wait_s"), WAITS)
async def test_prefer_wait_is_heeded_or_ignored(
    till: Till, world: World, headers: dict[str, str], wait_s: int
) -> None:
    assert (await pay(till, headers=headers)).status == 201
    assert world.flow.asked[0][3] == wait_s


KEYS = [("k", 201), ("k" * 255, 201), ("a b~!", 201), ("k" * 256, 400), ("", 400), ("钥匙", 400)]


@pytest.mark.parametrize(("key", "status"), KEYS)
async def test_the_idempotency_key_is_printable_and_bounded(
    till: Till, key: str, status: int
) -> None:
    reply = await pay(till, key=key)
    assert reply.status == status
    if status == 400:
        assert (reply.json()["code"], reply.json()["verdict"]["code"]) == (
            "idempotency_key_missing",
            "fix_and_try",
        )


async def test_two_idempotency_keys_are_refused(till: Till) -> None:
    reader_writer = await till.send("POST", "/v1/payments", BODY, key="a")
    assert reader_writer.status == 201
    raw = await till.raw(
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n"
        + till.authorization("POST", "/v1/payments", key="a")
        + b"Content-Length: 0\r\n\r\n"
    )
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b'"malformed"' in raw


async def test_a_conflict_carries_the_payment_and_its_verdict(till: Till, world: World) -> None:
    first = await pay(till)
    world.flow.payments_by_key["idem-0001"] = in_doubt(world.flow.payments_by_key["idem-0001"])
    reply = await pay(till, key="other")
    problem = reply.json()
    assert reply.status == 409
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == "order_tender_taken"
    assert problem["payment"]["id"] == first.json()["id"]
    assert problem["verdict"] == problem["payment"]["verdict"]
    assert problem["verdict"]["code"] == "do_not_charge_again"


async def test_a_problem_that_carries_a_payment_shows_what_became_of_it(
    till: Till, world: World
) -> None:
    """Not the word that the error would say by itself, and never `paid`."""
    await pay(till)
    paid = world.flow.payments_by_key["idem-0001"]
    world.flow.refuse_with = OverrideRefused(payment=paid)
    assert OverrideRefused.verdict != "already_paid", "or this shows nothing"
    for reply in (await pay(till, key="other"), await till.send("GET", "/v1/payments/pay_1")):
        problem = reply.json()
        assert (reply.status, problem["verdict"]["code"]) == (409, "already_paid")
        assert problem["verdict"] == problem["payment"]["verdict"]


@pytest.mark.parametrize("error", leaves(), ids=lambda leaf: leaf.__name__)
async def test_every_problem_of_the_pay_route_says_what_the_cashier_may_do(
    till: Till, world: World, error: type[GatewayError]
) -> None:
    world.flow.refuse_with = error()
    reply = await pay(till)
    problem = reply.json()
    assert reply.status == problem["status"] == error.http_status
    assert problem["verdict"]["code"] == error.verdict
    assert problem["verdict"]["zh"]
    assert problem["detail_zh"] == error.zh
    assert problem["code"] == error.code
    assert problem["request_id"] == reply.headers["X-Request-Id"]
    assert reply.headers.get("Retry-After") == (
        str(error.retry_after_s) if error.retry_after_s else None
    )


REFUSALS = [
    (OutcomePending(), (503, "store_unavailable", "do_not_charge_again")),
    (Overloaded(), (503, "overloaded", "try_again")),
    (AuthCodeUnrecognized(field="auth_code"), (422, "auth_code_unrecognized", "fix_and_try")),
    (IdempotencyKeyReused(field="amount"), (422, "idempotency_key_reused", "fix_and_try")),
    (
        RuntimeError("select * from payments -- 280000000000000000"),
        (500, "internal", "do_not_charge_again"),
    ),
    (TimeoutError(), (500, "internal", "do_not_charge_again")),
]


@pytest.mark.parametrize(("error", "expected"), REFUSALS)
async def test_refusals_of_the_flow_become_problems(
    till: Till, world: World, error: Exception, expected: tuple[int, str, str]
) -> None:
    world.flow.refuse_with = error
    reply = await pay(till)
    problem = reply.json()
    assert (reply.status, problem["code"], problem["verdict"]["code"]) == expected
    assert problem.get("field") == getattr(error, "field", None)
    assert b"select" not in reply.body
    assert b"Traceback" not in reply.body
    assert b"2800" not in reply.body


async def test_an_accident_is_logged_with_its_request_id_and_its_trace(
    till: Till, world: World
) -> None:
    world.flow.refuse_with = RuntimeError("lost the till")
    with structlog.testing.capture_logs() as logged:
        reply = await pay(till)
    assert logged[0]["request_id"] == reply.headers["X-Request-Id"]
    assert "RuntimeError: lost the till" in logged[0]["trace"]


async def test_a_wrong_body_names_the_field_and_shows_the_verdict(till: Till, world: World) -> None:
    reply = await pay(till, body=BODY.replace(b"12850", b"12850.0"))
    problem = reply.json()
    assert (reply.status, problem["code"], problem["field"], problem["verdict"]["code"]) == (
        422,
        "amount_invalid",
        "amount",
        "fix_and_try",
    )
    assert problem["type"] == "/docs#amount_invalid"
    assert world.flow.asked == []


async def test_a_body_over_the_limit_is_refused_however_it_is_sent(
    till: Till, world: World
) -> None:
    too_long = BODY + b" " * REQUEST_BODY_BYTES_MAX
    declared = await pay(till, body=too_long)
    chunks = (
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\n"
        + till.authorization("POST", "/v1/payments")
        + b"Transfer-Encoding: chunked\r\n\r\n"
        b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    )
    chunked = await till.raw(chunks + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 2)
    assert (declared.status, declared.json()["code"], declared.json()["verdict"]["code"]) == (
        413,
        "too_large",
        "fix_and_try",
    )
    assert chunked.startswith(b"HTTP/1.1 413 ")
    assert world.flow.asked == []
    assert (await pay(till, body=BODY + b" " * (REQUEST_BODY_BYTES_MAX - len(BODY)))).status == 201


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_compressed_body_is_refused_unread(till: Till, coding: str) -> None:
    body = gzip.compress(BODY) if coding == "gzip" else b"x"
    reply = await till.send(
        "POST", "/v1/payments", body, key="k", headers={"Content-Encoding": coding}
    )
    assert (reply.status, reply.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"],
)
async def test_the_content_type_does_not_matter(till: Till, content_type: str) -> None:
    assert (await pay(till, headers={"Content-Type": content_type})).status == 201


async def test_reading_listing_and_cancelling(till: Till, world: World) -> None:
    made = (await pay(till)).json()
    read = await till.send("GET", f"/v1/payments/{made['id']}?wait=30")
    listed = await till.send(
        "GET", "/v1/payments?order_no=T08-0042&status=succeeded&limit=1&starting_after=pay_9"
    )
    canceled = await till.send(
        "POST", f"/v1/payments/{made['id']}/cancel", headers={"Prefer": "wait=2"}
    )
    assert read.json() == canceled.json() == made
    assert listed.json() == {"data": [made], "has_more": False}
    assert world.flow.asked[1:] == [
        ("payment", "pay_1", 30),
        (
            "payments",
            PaymentFilter(
                order_no="T08-0042",
                status=PaymentStatus.SUCCEEDED,
                since=world.clock.now() - timedelta(days=LIST_LOOK_BACK_DAYS),
                limit=1,
                starting_after="pay_9",
            ),
        ),
        ("cancel", "pay_1", 2),
    ]


async def test_cancelling_a_paid_payment_shows_it(till: Till, world: World) -> None:
    await pay(till)
    world.flow.refuse_with = AlreadyPaid(payment=world.flow.payments_by_key["idem-0001"])
    problem = (await till.send("POST", "/v1/payments/pay_1/cancel", b"{}")).json()
    assert (problem["status"], problem["payment"]["id"], problem["verdict"]["code"]) == (
        409,
        "pay_1",
        "already_paid",
    )
    assert problem["payment"]["verdict"] == problem["verdict"]
    assert problem["verdict"]["zh"].endswith("。未撤销，退回款项请使用退款")


NOT_THERE = ["pay_2", "x" * 65, "pay%2F1", "pay_%31%00", "%E5%8D%95", "..%2F..%2Fetc"]


@pytest.mark.parametrize("payment_id", NOT_THERE)
async def test_an_id_that_is_none_is_not_found(till: Till, payment_id: str) -> None:
    reply = await till.send("GET", f"/v1/payments/{payment_id}")
    assert (reply.status, reply.json()["code"]) == (404, "not_found")
    assert reply.json()["verdict"]["code"] == "fix_and_try"


async def test_a_read_takes_no_body(till: Till) -> None:
    reply = await till.send("GET", "/v1/payments", b"{}")
    assert (reply.status, reply.json()["code"]) == (400, "malformed")


async def test_metadata_comes_back_as_sent(till: Till) -> None:
    body = json.dumps(
        {"order_no": "A", "amount": 1, "currency": "CNY", "metadata": {"桌": "八 🍜", "a:b": '"'}}
    ).encode()
    assert (await pay(till, body=body)).json()["metadata"] == {"桌": "八 🍜", "a:b": '"'}
