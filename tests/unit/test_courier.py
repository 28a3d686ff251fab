"""The courier's loop on a real line to a real receiver, with an outbox in memory and real time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gateway.clock import Clock, SystemClock, SystemIds
from gateway.domain.case import CaseKind
from gateway.domain.errors import StoreUnavailable
from gateway.limits import (
    WEBHOOK_STEPS_MS,
    WEBHOOK_WORDS_CHARS_MAX,
    WEBHOOKS_PER_MERCHANT_MAX,
)
from gateway.webhooks.courier import Courier
from gateway.webhooks.delivery import body_of
from gateway.webhooks.line import WebhookLine
from gateway.webhooks.outbox import Delivery, TryResult
from security.secret import Secret
from security.webhook_signature import new_secret
from tests.adversity.house import until
from tests.fakes.outbox import SECRET, FakeOutbox, HandClock
from tests.webhook_receiver import (
    WebhookReceiver,
    answering,
    dropping,
    held,
    webhook_receiver,
    without_end,
)


@contextlib.asynccontextmanager
async def running(
    outbox: FakeOutbox, *, timeout_ms: int = 10_000, clock: Clock | None = None
) -> AsyncIterator[asyncio.Event]:
    """A courier until the event is set, or the block ends."""
    line = WebhookLine(allow_loopback=True, timeout_ms=timeout_ms)
    courier = Courier(
        outbox=outbox,
        line=line,
        cases=outbox,
        clock=clock or SystemClock(),
        ids=SystemIds(),
        chance=random.Random(1),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(courier.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await running
        await line.aclose()


async def noted(outbox: FakeOutbox, count: int = 1) -> None:
    async def enough() -> bool:
        return len(outbox.log) >= count

    await until(enough)


def put(
    outbox: FakeOutbox, receiver: WebhookReceiver, number: int = 1, **changed: object
) -> Delivery:
    return outbox.put(event_id=f"evt_{number}", url=receiver.url, **changed)


async def test_delivered_once_signed_and_byte_exact():
    outbox = FakeOutbox(SystemClock())
    async with webhook_receiver(SECRET) as receiver:
        delivery = put(outbox, receiver)
        async with running(outbox):
            await noted(outbox)
    (message,) = receiver.received
    assert outbox.state(delivery) == "delivered"
    assert message.body == body_of(delivery)
    assert (message.id, message.headers["content-type"], receiver.refused) == (
        "evt_1",
        "application/json",
        [],
    )
    assert list(receiver.believed) == ["evt_1"]


async def test_both_secrets_sign_while_one_rotates():
    old, new = new_secret(), new_secret()
    outbox = FakeOutbox(SystemClock())
    async with webhook_receiver(old) as behind, webhook_receiver(new) as ahead:
        put(outbox, behind, 1, secrets=(new, old))
        put(outbox, ahead, 2, secrets=(new, old))
        async with running(outbox):
            await noted(outbox, 2)
        assert (behind.refused, ahead.refused) == ([], [])
        assert (len(behind.believed), len(ahead.believed)) == (1, 1)


@pytest.mark.parametrize(
    ("behaviour", "status", "words", "result"),
    [
        (answering(204), 204, "", "delivered"),
        (answering(200, "谢谢\x00\n ok"), 200, "谢谢   ok", "delivered"),
        (answering(200, "x" * 10_000), 200, "x" * WEBHOOK_WORDS_CHARS_MAX, "delivered"),
        (without_end(200), 200, "x" * WEBHOOK_WORDS_CHARS_MAX, "delivered"),
        (
            answering(200, "?", Content_Encoding="gzip"),
            200,
            "(an encoded body, not read)",
            "delivered",
        ),
        (answering(500, "no database"), 500, "no database", "postponed"),
        (answering(404), 404, "", "postponed"),
        (answering(410), 410, "", "disabled"),
        (answering(302, Location="http://127.0.0.1:1/"), 302, "", "postponed"),
        (dropping, None, "connection broken", "postponed"),
    ],
)
async def test_answers(behaviour: object, status: int | None, words: str, result: str):
    outbox = FakeOutbox(SystemClock())
    async with webhook_receiver() as receiver:
        receiver.behaviour = behaviour  # type: ignore[assignment]
        put(outbox, receiver)
        async with running(outbox):
            await noted(outbox)
    (_, heard, noted_as) = outbox.log[0]
    assert (heard.status, heard.words, noted_as) == (status, words, result)
    assert len(receiver.received) == 1, "nobody below the outbox sends again"


async def test_a_person_hears_of_what_is_given_up():
    outbox = FakeOutbox(SystemClock())
    async with webhook_receiver() as receiver:
        receiver.behaviour = answering(500)
        delivery = put(outbox, receiver)
        (row,) = outbox.rows.values()
        began = delivery.first_due_at - timedelta(days=30)
        row.delivery = replace(delivery, first_due_at=began, tries=len(WEBHOOK_STEPS_MS))
        async with running(outbox):
            await noted(outbox)
    assert outbox.results(delivery) == ["given_up"]
    assert [(about, case.kind) for about, case in outbox.cases] == [
        (delivery.endpoint_id, CaseKind.WEBHOOK_GIVEN_UP)
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/hooks",
        "https://no-such-host.invalid/hooks",
        "http://169.254.169.254/latest",
        "nonsense",
    ],
)
async def test_no_answer(url: str):
    outbox = FakeOutbox(SystemClock())
    delivery = outbox.put(url=url)
    async with running(outbox, timeout_ms=3_000):
        await noted(outbox)
    assert (outbox.log[0][1].status, outbox.state(delivery)) == (None, "waiting")


async def test_a_secret_that_cannot_sign_is_a_failed_try():
    outbox = FakeOutbox(SystemClock())
    async with webhook_receiver() as receiver:
        put(outbox, receiver, secrets=(Secret("whsec_short"),))
        with capture_logs() as logs:
            async with running(outbox):
                await noted(outbox)
    assert (outbox.log[0][2], receiver.received) == ("postponed", [])
    assert "rotate" in outbox.log[0][1].words
    assert [line["event"] for line in logs] == ["webhook_secret_unfit"]


async def test_one_that_hangs_delays_nobody():
    """A queue for an endpoint that hangs, behind it one event for each of twenty others: those
    arrive while the first still hangs.
    """
    outbox, answer = FakeOutbox(SystemClock()), asyncio.Event()
    async with webhook_receiver() as slow, webhook_receiver() as quick:
        slow.behaviour = held(answer)
        for number in range(120):
            put(outbox, slow, number, endpoint_id="we_slow")
        others = [
            put(outbox, quick, 1_000 + number, endpoint_id=f"we_{number}") for number in range(20)
        ]
        async with running(outbox, timeout_ms=60_000):
            await quick.arrived(20)
            await noted(outbox, 20)
            assert [outbox.results(each) for each in others] == [["delivered"]] * 20
            assert {event_id for event_id, _, _ in outbox.log} == {
                each.event_id for each in others
            }, "none of the slow one has ended"
            assert len(slow.received) <= 16, "and it has taken no more than its own share"
            answer.set()
            await noted(outbox, 140)
    assert set(slow.times.values()) == {1}


async def test_stopping_lets_tries_end():
    outbox, answer = FakeOutbox(SystemClock()), asyncio.Event()
    async with webhook_receiver() as receiver:
        receiver.behaviour = held(answer)
        first = put(outbox, receiver)
        async with running(outbox) as stop:
            await receiver.arrived(1)
            stop.set()
            later = put(outbox, receiver, 2)
            asyncio.get_running_loop().call_later(0.05, answer.set)
    assert (outbox.state(first), outbox.state(later)) == ("delivered", "waiting")
    assert len(receiver.received) == 1


class _AwayAtFirst(FakeOutbox):
    """Cannot be asked three times, and loses the note of the first try."""

    askings = 0

    async def take(
        self,
        limit: int,
        lease_ms: int,
        per_endpoint: int,
        per_merchant: int = WEBHOOKS_PER_MERCHANT_MAX,
    ):
        type(self).askings += 1
        if type(self).askings <= 3:
            raise StoreUnavailable
        # Leases that end at once: what was not noted is due again.
        return await super().take(limit, 0, per_endpoint, per_merchant)

    async def delivered(self, delivery: Delivery, heard: TryResult) -> bool:
        if delivery.tries == 1:
            raise StoreUnavailable
        return await super().delivered(delivery, heard)


async def test_an_absent_store_is_told_once_and_what_was_not_noted_is_sent_again():
    outbox = _AwayAtFirst(SystemClock())
    async with webhook_receiver(SECRET) as receiver:
        delivery = put(outbox, receiver)
        with capture_logs() as logs:
            async with running(outbox):
                await noted(outbox)
    assert outbox.state(delivery) == "delivered"
    assert receiver.times["evt_1"] >= 2
    assert list(receiver.believed) == ["evt_1"]
    assert [line["event"] for line in logs][:3] == [
        "webhooks_postponed",
        "webhooks_resumed",
        "webhook_not_noted",
    ]


class _StandsStill(FakeOutbox):
    """Between the lease and the try this process is stopped for as long as the lease lasts."""

    async def take(
        self,
        limit: int,
        lease_ms: int,
        per_endpoint: int,
        per_merchant: int = WEBHOOKS_PER_MERCHANT_MAX,
    ):
        taken = await super().take(limit, lease_ms, per_endpoint, per_merchant)
        if taken:
            assert isinstance(self.clock, HandClock)
            self.clock.advance(lease_ms / 1000)
        return taken


async def test_a_courier_that_stood_still_past_its_lease_sends_nothing():
    clock = HandClock()
    outbox = _StandsStill(clock)
    before = (
        REGISTRY.get_sample_value("tillgate_webhook_deliveries_total", {"result": "lease_lost"})
        or 0
    )

    async def woke_up() -> bool:
        return (
            REGISTRY.get_sample_value("tillgate_webhook_deliveries_total", {"result": "lease_lost"})
            or 0
        ) > before

    async with webhook_receiver() as receiver:
        delivery = put(outbox, receiver)
        async with running(outbox, clock=clock):
            await until(woke_up)
        assert (receiver.received, outbox.log, outbox.state(delivery)) == ([], [], "waiting")
