"""Webhooks from the till's tap to the merchant's server, in one process on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from security.secret import Secret
from tests.adversity.house import accepted, until
from tests.adversity.test_fault_35_webhooks import all_delivered, endpoint, states
from tests.webhook_receiver import WebhookReceiver, answering, webhook_receiver
from tests.world import Shop, shop


@pytest.fixture
async def noodles(database: str) -> AsyncIterator[Shop]:
    async with shop(database) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as opened:
        yield opened


async def tap(opened: Shop, **body: Any) -> dict[str, object]:
    return accepted(await opened.pay(1_200, method="cash", cash={"tendered": 2_000}, **body))


async def told(receiver: WebhookReceiver, count: int) -> None:
    await receiver.has(lambda believed: len(believed) >= count)
    assert receiver.refused == []


async def test_what_is_sent_is_the_feed_byte_for_byte(noodles: Shop, receiver: WebhookReceiver):
    await endpoint(noodles.office, receiver, "hooks")
    payment = await tap(noodles)
    await told(receiver, 1)
    feed = accepted(await noodles.office.call("GET", "/v1/events"))["data"]
    assert [message.document for message in receiver.received] == feed
    assert receiver.newest() == {payment["id"]: payment}


async def test_a_rotation_loses_no_event(noodles: Shop):
    """One server still has the old secret, one has the new one already: both believe everything."""
    async with webhook_receiver() as behind:
        endpoint_id = await endpoint(noodles.office, behind, "hooks")
        await tap(noodles)
        await told(behind, 1)
        rotated = accepted(
            await noodles.office.call("POST", f"/v1/webhook-endpoints/{endpoint_id}/rotate-secret")
        )
        assert Secret(rotated["secret"]) != behind.secret
        await tap(noodles)
        await told(behind, 2)
        behind.secret = Secret(rotated["secret"])
        await tap(noodles)
        await told(behind, 3)
        assert [len(each.headers["webhook-signature"].split(" ")) for each in behind.received] == [
            1,
            2,
            2,
        ]


async def test_gone_disables_the_endpoint_and_a_resend_brings_its_letters_back(
    noodles: Shop, receiver: WebhookReceiver
):
    endpoint_id = await endpoint(noodles.office, receiver, "hooks")
    receiver.behaviour = answering(410)
    await tap(noodles)
    path = f"/v1/webhook-endpoints/{endpoint_id}"

    async def disabled() -> bool:
        shown = accepted(await noodles.office.call("GET", path))
        return (shown["status"], shown["disabled_reason"]) == ("disabled", "gone")

    await until(disabled)
    assert await states(noodles) == ["dead"]
    await tap(noodles)
    assert await states(noodles) == ["dead"], "nothing more is queued for it"
    receiver.behaviour = answering(200)
    accepted(await noodles.office.call("POST", f"{path}/enable"))
    event_id = receiver.received[0].id
    accepted(await noodles.office.call("POST", f"{path}/resend", {"event_id": event_id}))
    await until(lambda: all_delivered(noodles))
    assert receiver.times == {event_id: 2}


async def test_a_payment_of_its_own_address(noodles: Shop, receiver: WebhookReceiver):
    """`notify_url` takes the endpoint's place for this payment, signed with its secret."""
    await endpoint(noodles.office, receiver, "hooks")
    url = f"{receiver.base_url}/orders/42?table=8"

    async def taken() -> bool:
        """Once the directory's next refresh has shown the endpoint to this worker."""
        return (
            await noodles.pay(1_200, method="cash", cash={"tendered": 2_000}, notify_url=url)
        ).status == 201

    await until(taken)
    await tap(noodles)
    await told(receiver, 2)
    assert sorted(each.path for each in receiver.received) == ["/hooks", "/orders/42"]
