"""What every store gives its sweepers:
leases, shared by channel account, and visits brought forward.
"""

import asyncio
import itertools
from datetime import timedelta

import asyncpg
import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.acts import taken
from gateway.domain.change import Change, payment_event
from gateway.flow.due import DueAttempt, DueRefund, Places
from gateway.flow.ports import Applied, Stale
from gateway.limits import CALL_TIMEOUT_MS, HEARTBEAT_LEASE_MS, SWEEP_LEASE_MS
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import (
    ACCOUNT,
    MERCHANT,
    NO,
    WORKER,
    YES,
    Books,
    after,
    asked_for,
    later,
    occasion,
    opened,
    refund_change,
    settled,
    watched,
)
from tests.store_clock import ServerClock


async def take(books: Books, at: float, limit: int = 10) -> list[DueAttempt]:
    await books.clock.stand_at(later(at))
    return await take_now(books, limit)


async def take_now(books: Books, limit: int) -> list[DueAttempt]:
    found = await books.store.take_due_attempts(
        Places(limit, limit), SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS
    )
    return sorted(found, key=lambda due: due.payment_id)


async def take_refunds(books: Books, at: float) -> list[DueRefund]:
    await books.clock.stand_at(later(at))
    return list(await books.store.take_due_refunds(Places(10, 10), SWEEP_LEASE_MS))


def due(*payments) -> list[DueAttempt]:
    return sorted(
        (DueAttempt(p.merchant_id, p.id, p.current.out_trade_no, ACCOUNT) for p in payments),
        key=lambda each: each.payment_id,
    )


SEND_BY_S = 2.0
CALL_S = CALL_TIMEOUT_MS / 1000


@pytest.mark.parametrize(
    ("beat_at", "at", "visited"),
    [
        (None, SEND_BY_S - 0.001, False),  # not due yet, though nobody carries it
        (None, SEND_BY_S, True),  # no such worker
        (1.9, SEND_BY_S, False),  # its worker lives and may still be calling
        (SEND_BY_S + CALL_S - 0.1, SEND_BY_S + CALL_S, False),
        # No call can be running any more, however alive the worker is.
        (SEND_BY_S + CALL_S, SEND_BY_S + CALL_S + 0.001, True),
        (1.0, 1.0 + HEARTBEAT_LEASE_MS / 1000 - 0.001, False),
        (1.0, 1.0 + HEARTBEAT_LEASE_MS / 1000, True),  # silent for too long
    ],
)
async def test_a_sent_attempt_belongs_to_its_worker(books, beat_at, at, visited):
    payment = await opened(books)
    if beat_at is not None:
        for moment in (later(0), later(beat_at)):
            await books.clock.stand_at(moment)
            assert await books.store.beat(WORKER) == moment
    assert await take(books, at) == (due(payment) if visited else [])


async def test_a_lease_moves_the_visit_and_nothing_else(books):
    payment = await opened(books)
    assert await take(books, 3) == due(payment)
    assert await take(books, 3) == []
    leased = await books.store.payment(MERCHANT, payment.id)
    until = later(3) + timedelta(milliseconds=SWEEP_LEASE_MS)
    assert leased == replace(payment, attempts=(replace(payment.current, due_at=until),))
    assert len(await books.log()) == 1
    assert await take(books, 3 + SWEEP_LEASE_MS / 1000) == due(payment)


async def test_only_what_is_due_and_undecided_is_taken(books):
    pending, young, paid, no = [await opened(books, order_no=f"O{n}") for n in range(4)]
    await books.store.apply(after(pending, o.Pending(), at=later(0)))  # visited again at 3
    await books.store.apply(after(young, o.Pending(), at=later(60)))
    await books.store.apply(after(paid, YES))
    await books.store.apply(after(no, NO))
    assert await take(books, 3) == due(pending)
    assert await take(books, 10_000) == due(pending, young)


async def test_two_takers_share(books):
    """Each visit is one taker's.

    Those that look at the same moment may leave something for the next look, never take it twice.
    """
    payments = [await opened(books, order_no=f"O{n}") for n in range(9)]
    taken: list[DueAttempt] = []
    await books.clock.stand_at(later(3))
    while len(taken) < len(payments):
        shares = await asyncio.gather(*(take_now(books, limit=3) for _ in range(4)))
        assert max(len(share) for share in shares) in range(1, 4)
        taken += itertools.chain(*shares)
    assert sorted(taken, key=lambda each: each.payment_id) == due(*payments)


async def test_a_taker_does_not_wait_for_what_another_one_holds(database):
    """It leaves those rows, and takes the others while they are still held."""
    clock, store = await ServerClock.of(database), await PostgresStore.connected(database)
    books = Books(store, clock)
    held, free = [await opened(books, order_no=f"O{n}") for n in range(2)]
    other = await asyncpg.connect(database)
    async with other.transaction():
        await other.execute("SELECT FROM attempt WHERE payment_id = $1 FOR UPDATE", held.id)
        assert await take(books, 3) == due(free)
    assert await take(books, 3) == due(held)
    for each in (other, store, clock):
        await each.close()


async def test_the_longest_due_come_first(books):
    payments = [await opened(books, order_no=f"O{n}", created_at=later(-n)) for n in range(3)]
    assert [await take(books, 30, limit=1) for _ in range(3)] == [
        due(payments[2]),
        due(payments[1]),
        due(payments[0]),
    ]


async def test_due_refunds_are_leased(books):
    payments = [await settled(books, order_no=f"O{n}") for n in range(2)]
    # Due 10 s later.
    made = [refund_change(p, f"r{n}", 10, at=later(20 * n)) for n, p in enumerate(payments)]
    for change in made:
        await books.store.apply(change)
    wanted = [DueRefund(MERCHANT, payments[0].id, asked_for(made[0]).id, ACCOUNT)]
    assert await take_refunds(books, 9) == []
    assert await take_refunds(books, 10) == wanted
    assert await take_refunds(books, 10) == []
    leased = await books.store.refund(MERCHANT, asked_for(made[0]).id)
    assert leased == replace(
        asked_for(made[0]), due_at=later(10) + timedelta(milliseconds=SWEEP_LEASE_MS)
    )
    assert len(await take_refunds(books, 60)) == 2


async def test_whoever_was_taken_over_is_stale(books):
    payment = await opened(books)
    assert await take(books, 3) == due(payment)
    over = watched(taken(payment, payment.current, occasion("sweeper", later(3))), later(3))
    assert await books.store.apply(over) == Applied()
    assert await books.store.apply(after(payment, NO, at=later(4))) == Stale()
    assert (await books.store.payment(MERCHANT, payment.id)).current.epoch == 2


async def test_an_account_that_hangs_leaves_places_to_the_others(books):
    """Its own are the longest due, and many; one place of it is taken already."""
    hanging = [
        await opened(
            books, order_no=f"A{n}", created_at=later(-60), attempt={"channel_account": "acct_a"}
        )
        for n in range(9)
    ]
    healthy = [
        await opened(books, order_no=f"B{n}", attempt={"channel_account": "acct_b"})
        for n in range(2)
    ]
    await books.clock.stand_at(later(9))
    found = await books.store.take_due_attempts(
        Places(8, 3, {"acct_a": 1}), SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS
    )
    taken_of = [due.account_id for due in found]
    assert sorted(taken_of) == ["acct_a", "acct_a", "acct_b", "acct_b"]
    assert {due.payment_id for due in found} <= {p.id for p in (*hanging, *healthy)}
    again = await books.store.take_due_attempts(
        Places(8, 3, {"acct_a": 3}), SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS
    )
    assert list(again) == []


async def test_by_its_own_clock_the_store_sees_what_is_due_now(books):
    """The test does not set it: a row of 2026 is as due as the store's clock says."""
    now = await books.store.beat(WORKER)
    # send_by in a second.
    payment = await opened(books, created_at=now - timedelta(seconds=1), order_no="soon")
    places = Places(10, 10)
    assert (
        list(await books.store.take_due_attempts(places, SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS)) == []
    )
    late = await opened(
        books,
        created_at=now - timedelta(seconds=60),
        order_no="late",
        attempt={"worker_id": "wrk_dead"},
    )
    found = await books.store.take_due_attempts(places, SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS)
    assert [due.payment_id for due in found] == [late.id] != [payment.id]


@pytest.mark.parametrize(
    ("status", "visit_at", "looked_at", "due"),
    [
        ("in_doubt", None, 100, True),  # nobody has visited since it was sent at 0
        ("in_doubt", None, 14, False),  # sent less than the pace ago
        ("in_doubt", 50, 100, True),
        ("in_doubt", 90, 100, False),  # visited less than the pace ago, or the visit is under way
        ("cancelling", 50, 100, True),
        ("pending", 50, 100, True),
        ("sent", None, 100, False),  # its worker's
        ("succeeded", None, 100, False),
    ],
)
async def test_a_look_brings_the_next_visit_forward(books, status, visit_at, looked_at, due):
    payment = await opened(books)
    if visit_at is not None:
        await take(books, visit_at)
    attempt = replace(payment.current, status=status, due_at=later(3_600), epoch=2)
    if status == "succeeded":
        attempt = replace(attempt, due_at=None, captured_amount=1000, received_amount=1000)
    if status != "sent":
        await put(books, payment, attempt)
    await books.clock.stand_at(later(looked_at))
    await books.store.hasten(MERCHANT, payment.id, 15_000)
    seen = (await books.store.payment(MERCHANT, payment.id)).current.due_at
    assert (seen == later(looked_at)) is due
    await books.store.hasten("other", payment.id, 15_000)


async def put(books: Books, payment, attempt) -> None:
    """The attempt as given."""
    status, paid_at = (
        ("succeeded", later(0)) if attempt.status == "succeeded" else ("in_doubt", None)
    )
    stands = replace(
        payment, version=payment.version + 1, status=status, paid_at=paid_at, attempts=(attempt,)
    )
    event = payment_event(stands, was=payment.status, at=later(0))
    assert await books.store.apply(Change(payment=stands, events=(event,))) == Applied()
