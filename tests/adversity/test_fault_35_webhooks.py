"""Fault 35: the courier dies after sending, or stands still; the merchant is slow or broken for
days. Sent again with the same id.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gateway.cli.dev.children import start_child
from gateway.limits import WEBHOOK_STEPS_MS, WEBHOOK_TRIED_FOR_MS_MIN
from security.secret import Secret
from tests.adversity.house import House, accepted, house, until
from tests.adversity.test_fault_38_webhooks import DAY, HOUR, Town
from tests.sandbox_process import SandboxProcess
from tests.simulation.virtual_loop import VirtualLoop, on_virtual_time
from tests.webhook_receiver import WebhookReceiver, answering, dropping, held, webhook_receiver
from tests.world import Shop, shop

URL = "https://a.example/"
LOOK_MS = 30_000  # what falls due is found this much later: days are looked through in a second


def given_up() -> float:
    return (
        REGISTRY.get_sample_value("tillgate_webhook_deliveries_total", {"result": "given_up"})
        or 0.0
    )


# --- days, on virtual time


def test_fault_35_a_merchant_that_answers_500_for_three_days_is_parked_and_alerted():
    async def town(loop: VirtualLoop) -> None:
        here, counted = Town.on(loop, look_ms=LOOK_MS), given_up()
        here.merchants.outages[URL] = (3 * DAY, 500)
        letter = here.outbox.put(event_id="evt_1", endpoint_id="we_a", url=URL)
        with capture_logs() as logs:
            await here.lives(3 * DAY)
        assert here.outbox.state(letter) == "dead"
        assert here.outbox.results(letter) == ["postponed"] * len(WEBHOOK_STEPS_MS) + ["given_up"]
        moments = [at for at, *_ in here.merchants.sent]
        assert moments[-1] - moments[0] >= WEBHOOK_TRIED_FOR_MS_MIN / 1000, "it had more than a day"
        assert len(here.merchants.heard["evt_1"]) == 1, "the same bytes each time"
        assert [line["log_level"] for line in logs if line["event"] == "webhook_given_up"] == [
            "error"
        ]
        assert given_up() == counted + 1
        assert [(about, case.name) for about, case in here.outbox.cases] == [
            ("we_a", "webhook_given_up")
        ]
        assert "HTTP 500" in here.outbox.cases[0][1].evidence.words

    on_virtual_time(town)


def test_fault_35_a_slow_merchant_is_parked_and_its_neighbour_hears_everything():
    """One never answers in time for three days, events all the while; the other has each of its own
    within one look.
    """

    async def town(loop: VirtualLoop) -> None:
        here = Town.on(loop, look_ms=LOOK_MS)
        here.merchants.outages[URL] = (3 * DAY, None)
        letters = [
            here.outbox.put(event_id=f"evt_{n}", endpoint_id="we_a", url=URL) for n in range(30)
        ]
        running = asyncio.create_task(here.lives(3 * DAY))
        for n in range(70):
            mine = here.outbox.put(
                event_id=f"evt_b{n}", endpoint_id="we_b", url="https://b.example/"
            )
            await asyncio.sleep(HOUR)
            assert here.outbox.state(mine) == "delivered"
        await running
        assert {here.outbox.state(each) for each in letters} == {"dead"}
        assert len(here.outbox.cases) == 1, "one case, however many letters"
        assert "rests" in " ".join(heard.words for _, heard, _ in here.outbox.log), (
            "most of them were put off without a try"
        )

    on_virtual_time(town)


def test_fault_35_a_merchant_that_comes_back_within_a_day_misses_nothing():
    async def town(loop: VirtualLoop) -> None:
        for seed in range(3):
            here = Town.on(loop, seed=seed, look_ms=LOOK_MS)
            back = here.clock.monotonic() + 20 * HOUR
            here.merchants.outages[URL] = (back, random.Random(seed).choice([500, 404, 302, None]))
            letters = [
                here.outbox.put(event_id=f"evt_{n}", endpoint_id="we_a", url=URL) for n in range(20)
            ]
            await here.lives(40 * HOUR)
            assert {here.outbox.state(each) for each in letters} == {"delivered"}, f"seed {seed}"
            assert here.outbox.cases == []

    on_virtual_time(town)


# --- deaths, in real processes


async def endpoint(office: Any, receiver: WebhookReceiver, key: str) -> str:
    """The merchant tells us where it wants to be told; its secret is the receiver's from now on."""
    made = accepted(
        await office.call("POST", "/v1/webhook-endpoints", {"url": receiver.url}, key=key)
    )
    receiver.secret = Secret(made["secret"])
    return str(made["id"])


async def leases_end(dsn: str) -> None:
    """Thirty seconds pass in the outbox."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "UPDATE outbox SET leased_until = now() - interval '1 second' "
            "WHERE leased_until IS NOT NULL"
        )
    finally:
        await connection.close()


async def states(opened: House | Shop) -> list[str]:
    return [
        row["state"]
        for row in await opened.rows("SELECT state FROM outbox ORDER BY created_at, event_id")
    ]


async def all_delivered(opened: House | Shop) -> bool:
    return set(await states(opened)) == {"delivered"}


async def test_fault_35_courier_killed_after_sending_and_before_noting(
    database: str, sandbox: SandboxProcess, tmp_path: Path
):
    """The merchant booked it; we died before we knew.

    It comes again under the same id, and the merchant's view is the database's.
    """
    async with (
        webhook_receiver() as receiver,
        house(database, sandbox, tmp_path, TILLGATE_ALLOW_LOOPBACK_WEBHOOKS="yes") as opened,
    ):
        never = asyncio.Event()
        receiver.behaviour = held(never)
        await endpoint(opened.office, receiver, "hooks")
        paid = accepted(await opened.pay(1_200, method="cash", cash={"tendered": 2_000}))
        (first,) = await receiver.arrived(1)
        await opened.kill("work")
        assert await states(opened) == ["waiting"], "nobody noted it"
        receiver.behaviour = answering(200)
        await leases_end(database)
        await opened.start("work")
        await until(lambda: all_delivered(opened))
        assert (receiver.times, receiver.refused) == ({first.id: 2}, [])
        assert receiver.received[1].body == first.body
        assert (
            receiver.received[1].headers["webhook-timestamp"] >= first.headers["webhook-timestamp"]
        )
        assert receiver.newest() == {paid["id"]: accepted(await opened.office.payment(paid["id"]))}


async def test_fault_35_courier_frozen_past_its_lease(
    database: str, sandbox: SandboxProcess, tmp_path: Path
):
    """It stood still in the middle of a try; another courier delivered.

    Awake again, its late failure moves nothing.
    """
    async with (
        webhook_receiver() as receiver,
        house(database, sandbox, tmp_path, TILLGATE_ALLOW_LOOPBACK_WEBHOOKS="yes") as opened,
    ):
        late = asyncio.Event()
        receiver.behaviour = held(late, 500)
        await endpoint(opened.office, receiver, "hooks")
        accepted(await opened.pay(1_200, method="cash", cash={"tendered": 2_000}))
        await receiver.arrived(1)
        frozen = opened._children["work"].process
        frozen.send_signal(signal.SIGSTOP)
        try:
            receiver.behaviour = answering(200)
            await leases_end(database)
            arguments = ["gateway", "work", "--end-with-parent", str(os.getpid())]
            other = await start_child(
                "work_2", arguments, opened.environment, tmp_path / "work_2.log"
            )
            try:
                await until(lambda: all_delivered(opened))
            finally:
                await other.stop()
            late.set()
        finally:
            frozen.send_signal(signal.SIGCONT)
        # The try that was under way has ended, and what came of it was offered to the outbox.
        await opened.drain("work")
        assert await states(opened) == ["delivered"]
        log = await opened.rows("SELECT try, status FROM delivery ORDER BY try")
        assert [(row["try"], row["status"]) for row in log] == [(1, 500), (2, 200)], (
            "the log has both"
        )
        assert set(receiver.times.values()) == {2}
        assert receiver.refused == []


async def test_fault_35_the_view_of_a_clumsy_merchant_is_the_database(database: str):
    """Every second message fails at first in one of four ways,
    two of them after the merchant had booked it.
    """
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    ways = [
        answering(500),
        answering(302, Location="http://169.254.169.254/"),
        dropping,
        answering(200),
    ]
    seen: dict[str, int] = {}

    async def clumsy(request: web.Request) -> web.StreamResponse:
        event_id = request.headers["webhook-id"]
        seen[event_id] = seen.get(event_id, 0) + 1
        if seen[event_id] == 1 and len(seen) % 2:
            answer: web.StreamResponse = await chance.choice(ways)(request)
            return answer
        return web.Response()

    async with webhook_receiver() as receiver, shop(database) as opened:
        receiver.behaviour = clumsy
        await endpoint(opened.office, receiver, "hooks")
        for number in range(12):
            answer = await opened.pay(1_000 + number, method="cash", cash={"tendered": 2_000})
            if number % 3 == 0:
                body = {"refund_no": f"r-{number}", "amount": 100, "reason": "cold soup"}
                assert (
                    await opened.till.refund(answer.document["id"], body, f"refund-{number}")
                ).ok

        async def done() -> bool:
            await opened.rows(
                "UPDATE outbox SET due_at = now() WHERE state = 'waiting' AND leased_until IS NULL "
                "RETURNING 1"
            )  # time passes
            return await all_delivered(opened)

        try:
            await until(done)
        except TimeoutError:
            raise AssertionError(f"seed {seed}: {await states(opened)}") from None
        assert receiver.refused == [], f"seed {seed}"
        feed = accepted(await opened.office.call("GET", "/v1/events?limit=100"))["data"]
        assert {event["id"]: event for event in feed} == receiver.believed, f"seed {seed}"
        payments = {
            each["id"]: each for each in accepted(await opened.office.payments(limit=100))["data"]
        }
        refunds = {
            each["id"]: each
            for each in accepted(await opened.office.call("GET", "/v1/refunds?limit=100"))["data"]
        }
        view = receiver.newest()
        assert {key: each["status"] for key, each in view.items()} == {
            key: each["status"] for key, each in (payments | refunds).items()
        }
        assert max(receiver.times.values()) <= 3, f"seed {seed}"


async def test_fault_35_one_merchant_hangs_and_the_other_is_told(database: str):
    """Two endpoints of one merchant: everything reaches the second while the first still hangs."""
    async with webhook_receiver() as slow, webhook_receiver() as quick, shop(database) as opened:
        answer = asyncio.Event()
        slow.behaviour = held(answer)
        await endpoint(opened.office, slow, "slow")
        await endpoint(opened.office, quick, "quick")
        for number in range(8):
            assert (await opened.pay(1_000 + number, method="cash", cash={"tendered": 2_000})).ok
        await quick.has(lambda believed: len(believed) == 8)
        answered = "SELECT e.url FROM delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id"
        assert {row["url"] for row in await opened.rows(answered)} == {quick.url}
        assert len(slow.received) <= 4, "its own share"
        answer.set()
        await slow.has(lambda believed: len(believed) == 8)
        assert slow.believed == quick.believed
