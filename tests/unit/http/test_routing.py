"""Paths and methods nobody has, operations, callbacks, refunds and events over a real socket."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from adapters.channel import CallbackAnswer
from gateway.http.operations import exposition
from gateway.limits import CALLBACK_BODY_BYTES_MAX
from tests.fakes.flow import World
from tests.unit.http.conftest import Reply, Till, serving

UNMATCHED = [
    ("GET", "/", 404, None),
    ("GET", "/v1/payment", 404, None),
    ("POST", "/v1/payments/", 404, None),
    ("POST", "//v1/payments", 404, None),
    ("POST", "/v1//payments", 404, None),
    ("POST", "/V1/payments", 404, None),
    ("GET", "/v1/payments/pay_1/refunds/ref_1", 404, None),
    ("GET", "/docs/", 404, None),
    ("GET", "/%2e%2e/healthz", 404, None),
    ("PUT", "/v1/payments", 405, "GET, HEAD, OPTIONS, POST"),
    ("DELETE", "/v1/payments/pay_1", 405, "GET, HEAD, OPTIONS"),
    ("GET", "/v1/payments/pay_1/cancel", 405, "OPTIONS, POST"),
    ("GET", "/callbacks/acct_1", 405, "OPTIONS, POST"),
    ("POST", "/healthz", 405, "GET, HEAD, OPTIONS"),
    ("OPTIONS", "/v1/payments", 204, "GET, HEAD, OPTIONS, POST"),
    ("OPTIONS", "/nowhere", 404, None),
    ("PURGE", "/nowhere", 404, None),
]


@pytest.mark.parametrize(("method", "path", "status", "allow"), UNMATCHED)
async def test_what_no_route_takes(
    till: Till, method: str, path: str, status: int, allow: str | None
) -> None:
    reply = await till.plain(method, path)
    assert (reply.status, reply.headers.get("Allow")) == (status, allow)
    assert reply.headers["X-Request-Id"]
    if status >= 400:
        problem = reply.json()
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == ("not_found" if status == 404 else "method_not_allowed")


async def test_the_server_tells_nothing_about_itself(till: Till) -> None:
    reply = await till.plain("GET", "/healthz")
    assert reply.headers["Server"] == "tillgate"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_expect_is_answered_or_ignored(till: Till) -> None:
    waiting = await till.raw(
        b"POST /callbacks/acct_1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Length: 2\r\n\r\n"
    )
    odd = await till.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n")
    assert waiting.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert odd.startswith(b"HTTP/1.1 200 ")


async def test_a_connection_that_breaks_within_the_body_harms_nobody(
    till: Till, world: World
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", till.port)
    writer.write(b"POST /callbacks/acct_1 HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\nabc")
    await writer.drain()
    writer.close()
    assert (await till.plain("GET", "/healthz")).status == 200
    assert world.callbacks.taken == []


async def test_broken_framing_is_a_bad_request_and_tells_nothing(till: Till, world: World) -> None:
    start = b"POST /callbacks/acct_1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    at_once = await till.raw(start + b"zz\r\nabc\r\n")
    both = await till.raw(
        b"POST /callbacks/acct_1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nabc"
    )
    for answer in (at_once, both):
        assert answer.split(b" ")[1] == b"400"
        assert b"Traceback" not in answer
    assert world.callbacks.taken == []


async def test_health_and_readiness(till: Till, world: World) -> None:
    assert (await till.plain("GET", "/healthz")).json() == {"status": "alive"}
    ready, detail = await till.plain("GET", "/readyz"), await till.probe("/readyz")
    assert (ready.status, ready.json()) == (200, {"ready": True})
    assert (detail.status, detail.json()) == (200, {"ready": True, "checks": {"postgres": "ok"}})
    world.ready = False
    ready, detail = await till.plain("GET", "/readyz"), await till.probe("/readyz")
    assert (ready.status, ready.json()) == (503, {"ready": False})
    assert (detail.status, detail.json()) == (
        503,
        {"ready": False, "checks": {"postgres": "unreachable"}},
    )
    assert (await till.plain("GET", "/healthz")).status == 200


async def test_a_worker_that_leaves_is_not_ready(world: World) -> None:
    leaving = asyncio.Event()
    async with serving(world, leaving=leaving) as till:
        assert (await till.plain("GET", "/readyz")).status == 200
        leaving.set()
        ready, detail = await till.plain("GET", "/readyz"), await till.probe("/readyz")
    assert (ready.status, ready.json()) == (503, {"ready": False})
    assert (detail.status, detail.json()["checks"]["draining"]) == (503, "yes")


async def test_metrics_are_for_operators_by_route_template_and_never_by_path(till: Till) -> None:
    await till.send("GET", "/v1/payments/pay_secretid")
    await till.plain("GET", "/nowhere/secretpath")
    assert (await till.plain("GET", "/metrics")).status == 404
    reply = await till.probe("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert (
        b'tillgate_http_requests_total{route="/v1/payments/{payment_id}",status="404"}'
        in reply.body
    )
    assert b'tillgate_http_request_seconds_count{route="(unmatched)"}' in reply.body
    assert b"secretid" not in reply.body
    assert b"secretpath" not in reply.body


async def test_metrics_of_all_workers_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "from gateway.telemetry.metrics import REQUESTS\n"
        "REQUESTS.labels('/healthz', '200').inc(3)\n"
        "import os; os._exit(0)\n"
    )
    for _ in range(2):
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        )
        assert await worker.wait() == 0
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert b'tillgate_http_requests_total{route="/healthz",status="200"} 6.0' in exposition()


CALLBACK_ANSWERS = [
    CallbackAnswer(status=200, content_type="text/plain", body=b"success"),
    CallbackAnswer(status=200, content_type="text/html; charset=GBK", body="成功".encode("gbk")),
    CallbackAnswer(status=401, content_type="application/json", body=b'{"code":"FAIL"}'),
    CallbackAnswer(status=204, content_type="application/json", body=b""),
]


@pytest.mark.parametrize(
    "answer", CALLBACK_ANSWERS, ids=lambda answer: f"{answer.status} {answer.content_type}"
)
async def test_a_callback_goes_in_and_its_answer_out_as_they_are(
    till: Till, world: World, answer: CallbackAnswer
) -> None:
    world.flow.callback_answer = answer
    body = b"\x00\xff not=json&a=%2B"
    reply = await till.plain("POST", "/callbacks/acct_1", body, {"Wechatpay-Signature": "s"})
    headers, taken = world.callbacks.taken[0]
    assert (reply.status, reply.body) == (answer.status, answer.body)
    assert (taken, headers["WECHATPAY-SIGNATURE"], headers.get("wechatpay-signature")) == (
        body,
        "s",
        "s",
    )
    if answer.status != 204:
        assert reply.headers["Content-Type"] == answer.content_type


async def test_a_callback_for_a_foreign_account_or_too_long_is_refused(
    till: Till, world: World
) -> None:
    assert (await till.plain("POST", "/callbacks/acct_2", b"x")).json()["code"] == "not_found"
    assert (
        await till.plain("POST", "/callbacks/acct_1", b"x" * (CALLBACK_BODY_BYTES_MAX + 1))
    ).json()["code"] == "too_large"
    assert (
        await till.plain("POST", "/callbacks/acct_1", b"x", {"Content-Encoding": "gzip"})
    ).json()["code"] == "malformed"
    assert world.callbacks.taken == []


async def test_refunds_are_made_once_and_found(till: Till) -> None:
    async def refund() -> Reply:
        return await till.send(
            "POST", "/v1/payments/pay_1/refunds", b'{"refund_no":"R1","amount":500}', key="r"
        )

    first, again = await refund(), await refund()
    assert (first.status, again.status, again.headers["Idempotency-Replayed"]) == (201, 200, "true")
    assert first.headers["Location"] == "/v1/refunds/ref_1"
    made = first.json()
    assert (await till.send("GET", "/v1/refunds/ref_1")).json() == made
    for path in ("/v1/payments/pay_1/refunds", "/v1/refunds?refund_no=R1&status=processing"):
        assert (await till.send("GET", path)).json() == {"data": [made], "has_more": False}


async def test_a_refund_needs_a_key_and_a_right_body(till: Till) -> None:
    missing = await till.send(
        "POST", "/v1/payments/pay_1/refunds", b'{"refund_no":"R1","amount":500}'
    )
    wrong = await till.send(
        "POST", "/v1/payments/pay_1/refunds", b'{"refund_no":"R1","amount":5.5}', key="r"
    )
    assert (missing.status, missing.json()["code"], missing.json()["verdict"]["code"]) == (
        400,
        "idempotency_key_missing",
        "fix_and_try",
    )
    assert (wrong.status, wrong.json()["code"], wrong.json()["field"]) == (
        422,
        "amount_invalid",
        "amount",
    )


async def test_events_go_out_as_they_were_stored(till: Till, world: World) -> None:
    empty = await till.send("GET", "/v1/events", key_id="mk_1")
    assert empty.json() == {"data": [], "next_cursor": None, "has_more": False}
    world.flow.event_rows = (b'{"id": "evt_1"}', b'{"id":"evt_2" }')
    reply = await till.send("GET", "/v1/events?after=5.7&limit=2", key_id="mk_1")
    assert b'[{"id": "evt_1"},{"id":"evt_2" }]' in reply.body
    assert reply.json()["next_cursor"] == 'c"1'
    assert world.flow.asked[-1] == ("events", "5.7", 2)
