"""Who is refused is written down, counted, and held against the right one."""

import asyncio
from typing import Any

import pytest
import structlog.testing
from prometheus_client import REGISTRY

from gateway.domain.errors import NoSuchObject
from gateway.edge_limits import (
    LISTS_OF_A_KEY_MAX,
    POLLS_OF_A_KEY_MAX,
    RATE_CREATE,
    RATE_LIST,
    RATE_SERVER_FACTOR,
    RATE_STRANGER,
    REFUSAL_KINDS_MAX,
    REFUSALS_TOLD_EVERY_S,
)
from gateway.http.peers import Peers, network_of
from gateway.limits import CALLBACK_BODY_BYTES_MAX
from gateway.settings import LOOPBACK
from gateway.telemetry import refusals
from gateway.telemetry.refusals import Refusals
from tests.fakes.flow import World, new_world
from tests.unit.http.conftest import Till, serving

LISTS = "/v1/payments"
UNKNOWN = {"Authorization": f'TILLGATE-HMAC-SHA256 key="tk_none",ts=1795219200,sig="{"A" * 43}="'}
FORGED = {"Authorization": f'TILLGATE-HMAC-SHA256 key="tk_1",ts=1795219200,sig="{"A" * 43}="'}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture(autouse=True)
def _new_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test tells its first refusal."""
    monkeypatch.setattr(refusals.REFUSALS, "_seen", {})


# --- rates


async def test_a_key_has_its_rate_and_is_told_when_to_come_back(till: Till, world: World) -> None:
    for _ in range(RATE_LIST.burst):
        assert (await till.send("GET", LISTS)).status == 200
    refused = await till.send("GET", LISTS)
    assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["detail_zh"] == "请求过于频繁，请稍后重试"
    assert (await till.send("GET", LISTS, key_id="mk_1")).status == 200
    assert (await till.send("GET", f"{LISTS}/pay_1")).status == 404, "another kind"
    world.clock.move(1 / RATE_LIST.per_s)
    assert (await till.send("GET", LISTS)).status == 200


async def test_a_payment_that_comes_too_often_may_be_tried_again(till: Till, world: World) -> None:
    body = b'{"order_no":"A","amount":1,"currency":"CNY","method":"cash"}'
    statuses = [
        (await till.send("POST", LISTS, body, key="k")).status for _ in range(RATE_CREATE.burst + 1)
    ]
    assert (statuses[0], statuses[-2], statuses[-1]) == (201, 200, 429)
    refused = (await till.send("POST", LISTS, body, key="k")).json()
    assert refused["verdict"]["code"] == "try_again"


async def test_a_merchants_server_asks_for_all_its_tills(till: Till) -> None:
    many = RATE_LIST.burst * 2
    assert many < RATE_LIST.burst * RATE_SERVER_FACTOR
    statuses = {(await till.send("GET", LISTS, key_id="mk_1")).status for _ in range(many)}
    assert statuses == {200}


async def test_a_forged_signature_uses_up_nothing_of_the_key(till: Till) -> None:
    for _ in range(RATE_LIST.burst * 2):
        assert (await till.plain("GET", LISTS, headers=FORGED)).status == 401
    assert (await till.send("GET", LISTS)).status == 200


@pytest.mark.parametrize("headers", [{}, UNKNOWN, FORGED], ids=["nothing", "unknown", "forged"])
async def test_a_peer_without_a_proof_has_its_rate_and_tills_beside_it_go_on(
    till: Till, headers: dict[str, str]
) -> None:
    for _ in range(RATE_STRANGER.burst):
        assert (await till.plain("GET", LISTS, headers=headers)).status == 401
    refused = await till.plain("GET", LISTS, headers=headers)
    assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
    assert (await till.plain("GET", "/docs")).status == 429
    assert (await till.plain("GET", "/healthz")).status == 200
    assert (await till.plain("GET", "/readyz")).status == 200
    assert (await till.send("GET", LISTS)).status == 200, "at the same address"


async def test_refused_callbacks_stop_being_read(till: Till, world: World) -> None:
    world.flow.callback_answer = world.flow.callback_answer.__class__(
        status=401, content_type="text/plain", body=b"refused"
    )
    for _ in range(RATE_STRANGER.burst):
        assert (await till.plain("POST", "/callbacks/acct_1", b"x")).status == 401
    taken = len(world.callbacks.taken)
    refused = await till.plain("POST", "/callbacks/acct_1", b"x" * (CALLBACK_BODY_BYTES_MAX + 1))
    assert refused.status == 429, "before its body is looked at"
    assert len(world.callbacks.taken) == taken == RATE_STRANGER.burst


async def test_genuine_callbacks_have_no_rate(till: Till, world: World) -> None:
    statuses = {
        (await till.plain("POST", "/callbacks/acct_1", b"x")).status
        for _ in range(RATE_STRANGER.burst + 50)
    }
    assert statuses == {200}


async def test_behind_our_proxy_each_client_has_a_rate_of_its_own() -> None:
    world = new_world(Peers(LOOPBACK))
    async with serving(world) as till:
        for _ in range(RATE_STRANGER.burst):
            await till.plain("GET", LISTS, headers={"X-Forwarded-For": "203.0.113.9"})
        for chain, status in (
            ("203.0.113.9", 429),
            ("198.51.100.1, 203.0.113.9", 429),
            ("203.0.113.9, 198.51.100.1", 401),
            ("198.51.100.2", 401),
        ):
            reply = await till.plain("GET", LISTS, headers={"X-Forwarded-For": chain})
            assert reply.status == status, chain


# --- polls


async def test_a_key_holds_so_many_polls(till: Till, world: World) -> None:
    release, full = asyncio.Event(), asyncio.Event()

    async def waits(*_: Any) -> None:
        if world.deps.door._polls["mk_1"] == POLLS_OF_A_KEY_MAX:
            full.set()
        await release.wait()
        raise NoSuchObject

    world.deps.lookup.payment = waits  # type: ignore[method-assign, assignment]
    poll = f"{LISTS}/pay_1?wait=30"
    async with asyncio.timeout(20), asyncio.TaskGroup() as polls:
        for _ in range(POLLS_OF_A_KEY_MAX):
            polls.create_task(till.send("GET", poll, key_id="mk_1"))
        await full.wait()
        refused = await till.send("GET", poll, key_id="mk_1")
        assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
        release.set()
    assert (world.deps.door._polls, world.deps.door._polls_held) == ({}, 0)


async def test_a_key_does_not_take_the_lists_connections_for_itself(
    till: Till, world: World
) -> None:
    release, full, ordinary = asyncio.Event(), asyncio.Event(), world.deps.lookup.payments

    async def walks(*_: Any) -> Any:
        if world.deps.door._lists["mk_1"] == LISTS_OF_A_KEY_MAX:
            full.set()
        await release.wait()
        return [], False

    world.deps.lookup.payments = walks  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(20), asyncio.TaskGroup() as walking:
        for _ in range(LISTS_OF_A_KEY_MAX):
            walking.create_task(till.send("GET", LISTS, key_id="mk_1"))
        await full.wait()
        world.deps.lookup.payments = ordinary  # type: ignore[method-assign]
        for path in (LISTS, "/v1/refunds", "/v1/events"):
            refused = await till.send("GET", path, key_id="mk_1")
            assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
            assert refused.headers["Retry-After"] == "1"
        assert (await till.send("GET", f"{LISTS}/pay_1", key_id="mk_1")).status == 404
        assert (await till.send("GET", LISTS)).status == 200, "another key"
        release.set()
    assert world.deps.door._lists == {}
    assert (await till.send("GET", LISTS, key_id="mk_1")).status == 200


# --- the security log


async def test_the_first_refusal_of_a_key_is_told_and_counted(till: Till) -> None:
    before = counted("tillgate_key_refusals_total", code="signature_invalid")
    with structlog.testing.capture_logs() as logged:
        for _ in range(5):
            await till.plain("GET", LISTS, headers=FORGED)
    assert [each for each in logged if each["event"] == "key_refused"] == [
        {
            "event": "key_refused",
            "key": "tk_1",
            "peer": "127.0.0.1",
            "code": "signature_invalid",
            "log_level": "warning",
        }
    ]
    assert counted("tillgate_key_refusals_total", code="signature_invalid") == before + 5


@pytest.mark.parametrize(
    ("key_id", "method", "target", "code"),
    [
        ("mk_revoked", "GET", LISTS, "key_revoked"),
        ("mk_reader", "POST", f"{LISTS}/pay_1/cancel", "not_permitted"),
    ],
)
async def test_what_a_thief_would_hear_is_told(
    till: Till, key_id: str, method: str, target: str, code: str
) -> None:
    with structlog.testing.capture_logs() as logged:
        await till.send(method, target, key_id=key_id)
    assert [(each["key"], each["code"]) for each in logged] == [(key_id, code)]


async def test_a_key_that_does_not_exist_is_never_written_down(till: Till) -> None:
    with structlog.testing.capture_logs() as logged:
        await till.plain("GET", LISTS, headers=UNKNOWN)
    assert [each["event"] for each in logged] == ["stranger_refused"]
    assert "tk_none" not in str(logged)


async def test_an_ordinary_refusal_is_not_told(till: Till) -> None:
    with structlog.testing.capture_logs() as logged:
        await till.send("GET", f"{LISTS}/pay_9")
        await till.send("GET", f"{LISTS}?status=none")
    assert logged == []


async def test_what_is_no_http_is_told_without_its_bytes(till: Till) -> None:
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            answer = await till.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX-Secret: \x00hidden\r\n\r\n")
    assert [(each["event"], each["peer"]) for each in logged] == [("not_http", "127.0.0.1")]
    assert b"hidden" not in answer
    assert "hidden" not in str(logged)


class Lines:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def warning(self, **fields: Any) -> None:
        self.told.append(fields)


def test_refusals_are_told_once_and_then_counted_by_the_minute() -> None:
    lines, now = Lines(), [0.0]
    book = Refusals(lines, lambda: now[0])
    for _ in range(1_000):
        book.note("key_refused", key="k", code="signature_invalid")
    book.note("key_refused", key="k", code="key_revoked")
    book.tell()
    assert [line["code"] for line in lines.told] == ["signature_invalid", "key_revoked"]
    now[0] = REFUSALS_TOLD_EVERY_S
    book.tell()
    assert lines.told[2:] == [
        {
            "event": "key_refused",
            "key": "k",
            "code": "signature_invalid",
            "again": 999,
            "within_s": REFUSALS_TOLD_EVERY_S,
        }
    ]
    now[0] *= 2
    book.tell()
    book.note("key_refused", key="k", code="signature_invalid")
    assert "again" not in lines.told[-1], "after a quiet minute it is a first one"
    assert len(lines.told) == 4


def test_an_attacker_cannot_invent_lines_without_end() -> None:
    lines = Lines()
    book = Refusals(lines, lambda: 0.0)
    for n in range(REFUSAL_KINDS_MAX * 3):
        book.note("stranger_refused", peer=f"peer-{n}", code="signature_invalid")
    assert len(lines.told) == REFUSAL_KINDS_MAX + 1
    assert lines.told[-1] == {"event": "stranger_refused", "others": "yes"}
    book.tell(at_once=True)
    assert lines.told[-1]["again"] == 2 * REFUSAL_KINDS_MAX - 1


# --- peers


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::1", "::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", None),
        ("unknown", None),
        ("203.0.113.9:80", None),
        ("1" * 5_000, None),
    ],
)
def test_one_subscriber_is_one_peer(text: str, network: str | None) -> None:
    assert network_of(text) == network
