"""The outbox as couriers use it: leases, their fence, rotation,
dead letters and how they come back.
"""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.webhooks.endpoints import DeliveryFilter
from gateway.webhooks.outbox import Delivery
from tests.contract.drawn import MERCHANT, NOW
from tests.integration.outbox_world import OTHER_MERCHANT, OutboxWorld, heard, outbox_world

LONG_MS = 60_000
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
async def world(database):
    async with outbox_world(database) as opened:
        yield opened


async def one(world: OutboxWorld, lease_ms: int = LONG_MS) -> Delivery:
    (delivery,) = await world.outbox.take(10, lease_ms, 9)
    return delivery


async def test_a_delivery_carries_all_that_a_courier_needs(world: OutboxWorld):
    endpoint, secret = await world.issued()
    event = await world.paid("A1")
    delivery = await one(world)
    assert (delivery.merchant_id, delivery.endpoint_id, delivery.event_id) == (
        MERCHANT,
        endpoint,
        event,
    )
    assert (delivery.type, delivery.url, delivery.tries, delivery.created_at) == (
        "payment.succeeded",
        "https://shop.example/hook",
        1,
        NOW,
    )
    stored = await world.rows("SELECT data::text AS data FROM event WHERE id = $1", event)
    assert delivery.data == stored[0]["data"].encode()
    assert [each.reveal() for each in delivery.secrets] == [secret.reveal()]
    assert "whsec_" not in repr(delivery)


async def test_what_is_leased_is_not_taken_twice(world: OutboxWorld):
    await world.endpoint()
    await world.paid("A1")
    delivery = await one(world)
    assert list(await world.outbox.take(10, LONG_MS, 9)) == []
    assert await world.outbox.delivered(delivery, heard())
    assert not await world.outbox.delivered(delivery, heard())
    assert list(await world.outbox.take(10, LONG_MS, 9)) == []
    assert await world.state(delivery) == "delivered"


async def test_a_frozen_courier_cannot_undo_what_its_successor_noted(world: OutboxWorld):
    endpoint = await world.endpoint()
    await world.paid("A1")
    frozen = await one(world, lease_ms=0)  # its lease ends at once
    successor = await one(world)
    assert (frozen.tries, successor.tries) == (1, 2)
    assert not await world.outbox.delivered(frozen, heard(words="woke up"))
    assert await world.outbox.given_up(successor, heard(500, "broken"))
    for late in (world.outbox.delivered, world.outbox.given_up, world.outbox.disabled):
        assert not await late(frozen, heard(410))
    assert not await world.outbox.postponed(frozen, heard(), 0)
    assert await world.state(successor) == "dead"
    assert (await world.desk.endpoint(MERCHANT, endpoint)).enabled
    (delivery,), _ = await world.desk.deliveries(MERCHANT, endpoint, DeliveryFilter(limit=5))
    assert [(each.number, each.status, each.words) for each in delivery.answers] == [
        (2, 500, "broken"),
        (1, 200, "woke up"),
    ]


async def test_the_fence_holds_after_a_resend_too(world: OutboxWorld):
    endpoint = await world.endpoint()
    event = await world.paid("A1")
    frozen = await one(world, lease_ms=0)
    await world.outbox.given_up(await one(world), heard(500))
    await world.desk.resend(MERCHANT, endpoint, event, None)
    again = await one(world)
    assert again.tries == 3
    assert again.first_due_at > frozen.first_due_at
    assert not await world.outbox.given_up(frozen, heard(500))
    assert await world.outbox.delivered(again, heard())


async def test_postponed_is_due_when_the_database_says_so(world: OutboxWorld):
    await world.endpoint()
    await world.paid("A1")
    assert await world.outbox.postponed(await one(world), heard(None, "timeout"), LONG_MS)
    assert list(await world.outbox.take(10, LONG_MS, 9)) == []
    await world.rows("UPDATE outbox SET due_at = now()")
    assert await world.outbox.postponed(await one(world), heard(503), 0)
    assert (await one(world)).tries == 3


async def test_a_slow_endpoint_takes_only_its_share(world: OutboxWorld):
    """Thirty wait for the slow one first; the other's single one is taken in the same breath."""
    slow, narrow = (
        await world.endpoint(concurrency=3),
        await world.endpoint("https://n.example/", concurrency=1),
    )
    for n in range(30):
        await world.paid(f"A{n}")
    quick = await world.endpoint("https://q.example/", merchant=OTHER_MERCHANT)
    await world.paid("B1", merchant=OTHER_MERCHANT)

    async def taken(limit: int = 50, per_endpoint: int = 9) -> dict[str, int]:
        found = await world.outbox.take(limit, LONG_MS, per_endpoint)
        return {
            name: sum(each.endpoint_id == name for each in found) for name in (slow, narrow, quick)
        }

    assert await taken(per_endpoint=2) == {slow: 2, narrow: 1, quick: 1}
    assert await taken() == {slow: 1, narrow: 0, quick: 0}
    assert await taken() == {slow: 0, narrow: 0, quick: 0}


async def test_a_merchant_with_many_endpoints_takes_only_its_share(world: OutboxWorld):
    """Each of its endpoints keeps to its own bound; together they would take every slot."""
    for n in range(4):
        await world.endpoint(f"https://slow{n}.example/", concurrency=9)
    for n in range(9):
        await world.paid(f"A{n}")
    await world.endpoint("https://q.example/", merchant=OTHER_MERCHANT)
    for n in range(3):
        await world.paid(f"B{n}", merchant=OTHER_MERCHANT)

    async def taken(limit: int) -> list[str]:
        found = await world.outbox.take(limit, LONG_MS, 9, per_merchant=10)
        return sorted(each.merchant_id for each in found)

    assert await taken(2) == [MERCHANT, OTHER_MERCHANT], "they take turns"
    assert await taken(7) == [MERCHANT] * 5 + [OTHER_MERCHANT] * 2
    assert await taken(50) == [MERCHANT] * 4, "ten of one merchant and no more"
    await world.paid("B9", merchant=OTHER_MERCHANT)
    assert await taken(50) == [OTHER_MERCHANT]


async def test_two_couriers_together_keep_to_the_share(world: OutboxWorld):
    await world.endpoint(concurrency=3)
    for n in range(20):
        await world.paid(f"A{n}")
    found = await asyncio.gather(*(world.outbox.take(10, LONG_MS, 9) for _ in range(6)))
    taken = [each.event_id for batch in found for each in batch]
    assert len(taken) == len(set(taken)) == 3


async def test_the_oldest_goes_first(world: OutboxWorld):
    await world.endpoint(concurrency=9)
    events = [await world.paid(f"A{n}") for n in range(5)]
    assert [each.event_id for each in await world.outbox.take(3, LONG_MS, 9)] == events[:3]


async def test_a_rotation_signs_with_both_for_a_day(world: OutboxWorld):
    endpoint, first = await world.issued()
    second = await world.desk.rotate(MERCHANT, endpoint)
    third = await world.desk.rotate(MERCHANT, endpoint)  # the answer to the second was lost
    fourth = await world.desk.rotate(MERCHANT, endpoint)
    assert second.secret
    assert third.secret
    assert fourth.secret
    assert fourth.endpoint.rotating_until is not None
    hours = (fourth.endpoint.rotating_until - fourth.endpoint.created_at).total_seconds() / 3600
    assert 23.9 < hours < 24.1

    async def signing(order_no: str) -> list[str]:
        await world.paid(order_no)
        return [each.reveal() for each in (await one(world)).secrets]

    assert await signing("A1") == [
        fourth.secret.reveal(),
        third.secret.reveal(),
        second.secret.reveal(),
    ]
    await world.rows("UPDATE webhook_secret SET ends_at = now() WHERE ends_at IS NOT NULL")
    assert await signing("A2") == [fourth.secret.reveal()]
    assert (await world.desk.endpoint(MERCHANT, endpoint)).rotating_until is None
    stored = b"".join(
        row["sealed"] for row in await world.rows("SELECT sealed FROM webhook_secret")
    )
    assert first.reveal().encode() not in stored


async def test_gone_disables_and_buries_what_waits(world: OutboxWorld):
    endpoint = await world.endpoint(concurrency=2)
    for n in range(4):
        await world.paid(f"A{n}")
    mine, leased = await world.outbox.take(2, LONG_MS, 9)
    assert await world.outbox.disabled(mine, heard(410, "gone"))
    shown = await world.desk.endpoint(MERCHANT, endpoint)
    assert (shown.enabled, shown.disabled_reason) == (False, "gone")
    assert await world.outbox.delivered(leased, heard())  # was under way, and counts
    states = await world.rows("SELECT state, count(*) AS n FROM outbox GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in states] == [("dead", 3), ("delivered", 1)]
    await world.desk.enable(MERCHANT, endpoint)
    assert list(await world.outbox.take(9, LONG_MS, 9)) == []
    assert await world.desk.resend(MERCHANT, endpoint, None, LONG_AGO) == 3
    assert len(await world.outbox.take(9, LONG_MS, 9)) == 2


async def test_a_payments_own_address_that_is_gone_disables_nothing(world: OutboxWorld):
    endpoint = await world.endpoint()
    await world.paid("A1", notify_url="https://shop.example/till/7")
    await world.paid("A2")
    found = {each.url: each for each in await world.outbox.take(9, LONG_MS, 9)}
    assert await world.outbox.disabled(found["https://shop.example/till/7"], heard(410))
    assert (await world.desk.endpoint(MERCHANT, endpoint)).enabled
    assert await world.state(found["https://shop.example/till/7"]) == "dead"
    assert await world.outbox.delivered(found["https://shop.example/hook"], heard())


async def test_resend_by_event_by_time_and_never_twice_at_once(world: OutboxWorld):
    endpoint = await world.endpoint(concurrency=9)
    events = [await world.paid(f"A{n}") for n in range(3)]
    for delivery in await world.outbox.take(9, LONG_MS, 9):
        await (world.outbox.delivered if delivery.event_id == events[0] else world.outbox.given_up)(
            delivery, heard()
        )
    assert await world.desk.resend(MERCHANT, endpoint, events[0], None) == 1
    under_way = await one(world)
    assert (under_way.event_id, under_way.tries) == (events[0], 2)
    await world.desk.resend(MERCHANT, endpoint, events[0], None)
    assert list(await world.outbox.take(9, LONG_MS, 9)) == []
    assert await world.desk.resend(MERCHANT, endpoint, None, datetime(2100, 1, 1, tzinfo=UTC)) == 0
    assert await world.desk.resend(MERCHANT, endpoint, None, NOW) == 2
    assert {each.event_id for each in await world.outbox.take(9, LONG_MS, 9)} == set(events[1:])


async def test_deliveries_newest_first_in_pages(world: OutboxWorld):
    endpoint = await world.endpoint(concurrency=9)
    for n in range(5):
        await world.paid(f"A{n}")
    first = (await world.outbox.take(1, LONG_MS, 9))[0]
    await world.outbox.delivered(first, heard())
    seen: list[str] = []
    more, after = True, None
    while more:
        page, more = await world.desk.deliveries(
            MERCHANT, endpoint, DeliveryFilter(limit=2, starting_after=after)
        )
        seen += [each.event_id for each in page]
        after = seen[-1]
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)  # all of one moment: then by id
    for wanted, count in (
        (DeliveryFilter(limit=9, state="waiting"), 4),
        (DeliveryFilter(limit=9, event_id=first.event_id), 1),
    ):
        assert len((await world.desk.deliveries(MERCHANT, endpoint, wanted))[0]) == count


async def test_the_log_is_append_only(world: OutboxWorld):
    await world.endpoint()
    await world.paid("A1")
    await world.outbox.delivered(await one(world), heard())
    for change in ("UPDATE delivery SET status = 500", "DELETE FROM delivery", "TRUNCATE delivery"):
        with pytest.raises(Exception, match="append-only"):
            await world.rows(change)
