"""A till hears of every change of its payment, whatever the request does between starting the road
and waiting for its word.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain.errors import Overloaded
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_FINAL
from gateway.flow.learn.in_flight import InFlight
from gateway.limits import PAYMENTS_IN_FLIGHT_MAX
from tests.unit.paying import payment

SENT = payment("processing", version=1)
PAID = replace(SENT, status="succeeded", version=2)


class Books:
    """What another worker wrote."""

    def __init__(self) -> None:
        self.latest: list[Payment] = []
        self.asked: list[Sequence[tuple[str, str, int]]] = []

    async def newer(self, known: Sequence[tuple[str, str, int]]) -> Sequence[Payment]:
        self.asked.append(known)
        had = {payment_id: version for _, payment_id, version in known}
        return [each for each in self.latest if had.get(each.id, each.version) < each.version]


def flight(books: Books | None = None) -> InFlight:
    store: Any = books or Books()
    return InFlight(store)


def ended(now: Payment) -> bool:
    return now.status in PAYMENT_FINAL


async def test_a_change_between_the_start_of_the_road_and_the_wait_is_heard():
    """The road settles while the request still does something else, as releasing a claim."""
    in_flight = flight()

    async def road() -> None:
        in_flight.wake(PAID)

    with in_flight.waiter() as waiter:
        waiter.await_changes(SENT.merchant_id, SENT.id)
        in_flight.carry(road(), name="pay")
        await in_flight.close()
        assert await waiter.until(ended, SENT, 0) == PAID, "heard, without a moment of waiting"


async def test_a_change_while_the_payment_is_read_is_heard():
    in_flight = flight()
    with in_flight.waiter() as waiter:
        waiter.await_changes(SENT.merchant_id, SENT.id)
        in_flight.wake(PAID)  # committed after the read had its snapshot
        assert await waiter.until(ended, SENT, 0) == PAID


async def test_a_change_while_it_waits_wakes_it():
    in_flight = flight()
    with in_flight.waiter() as waiter:
        waiting = asyncio.create_task(waiter.until(ended, SENT, 60))
        await asyncio.sleep(0)
        in_flight.wake(replace(SENT, status="awaiting_payer", version=2))
        await asyncio.sleep(0)
        assert not waiting.done()
        in_flight.wake(replace(PAID, version=3))
        assert (await waiting).version == 3


async def test_another_workers_change_is_seen_by_the_watch():
    books = Books()
    in_flight = flight(books)
    with in_flight.waiter() as waiter:
        waiting = asyncio.create_task(waiter.until(ended, SENT, 60))
        await asyncio.sleep(0)
        books.latest = [PAID]
        assert await waiting == PAID
    assert books.asked[0] == [(SENT.merchant_id, SENT.id, 1)]


async def test_old_news_changes_nothing():
    in_flight = flight()
    with in_flight.waiter() as waiter:
        waiter.await_changes(SENT.merchant_id, SENT.id)
        in_flight.wake(PAID)
        in_flight.wake(SENT)
        assert await waiter.until(ended, SENT, 0) == PAID


async def test_a_draining_worker_answers_with_what_there_is():
    in_flight = flight()
    with in_flight.waiter() as waiter:
        waiting = asyncio.create_task(waiter.until(ended, SENT, 60))
        await asyncio.sleep(0)
        in_flight.let_go()
        assert await waiting == SENT
    with in_flight.waiter() as late:
        assert await late.until(ended, SENT, 60) == SENT


async def test_a_waiter_is_forgotten_with_its_request():
    in_flight = flight()
    with in_flight.waiter() as waiter:
        waiter.await_changes(SENT.merchant_id, SENT.id)
    assert not in_flight._waiters


@pytest.mark.parametrize("requests", [0, 1, PAYMENTS_IN_FLIGHT_MAX])
async def test_a_worker_takes_so_many_payments_and_no_more(requests: int) -> None:
    """Requests that are being taken and roads under way share the places."""
    in_flight, end = flight(), asyncio.Event()
    with contextlib.ExitStack() as taken:
        for _ in range(requests):
            taken.enter_context(in_flight.admitted())
        for _ in range(PAYMENTS_IN_FLIGHT_MAX - requests):
            in_flight.carry(end.wait(), name="pay")
        with pytest.raises(Overloaded), in_flight.admitted():
            raise AssertionError("there was no place")
    end.set()
    await in_flight.close()
    with in_flight.admitted():
        assert in_flight.places_taken == 1
