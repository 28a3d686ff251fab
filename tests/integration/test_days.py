"""A store's days: changed by people, agreed on by every worker, kept by old rows."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.domain.words import DayRule, Numbering
from gateway.storage.books.heart import DAYS_BY_SUCCESS, NUMBERING_BY_STORE
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.cut_offs import CutOffs
from tests.integration.registry_world import directory, registries
from tests.integration.test_older_refunds import as_before
from tests.world import TESTER, shop

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def store(database: str) -> Any:
    async with registries(database) as world:
        await world.people.create_merchant("Noodle House", "mer_1")
        for store in ("sto_1", "sto_2"):
            await world.people.create_store("mer_1", store, store)
        yield CutOffs(world.pool, asked_by=TESTER)


async def test_a_cut_off_counts_from_the_next_day_on_in_every_worker(
    store: CutOffs, database: str
) -> None:
    snapshot = directory(database)
    await snapshot.refresh()

    def day(at: datetime, of: str = "sto_1") -> date:
        return date.fromisoformat(snapshot.days().business_date("mer_1", of, at))

    now = datetime.now(UTC)
    before = day(now)
    since = await store.begin("mer_1", "sto_1", 4 * HOUR)
    await snapshot.refresh()
    assert before + DAY <= since <= day(datetime.now(UTC)) + DAY  # midnight may pass meanwhile
    begins = datetime(since.year, since.month, since.day, tzinfo=UTC) - 8 * HOUR
    assert [day(begins + after) for after in (timedelta(0), 3.99 * HOUR, 4 * HOUR)] == [
        since - DAY,
        since - DAY,
        since,
    ]
    assert day(begins - timedelta(seconds=1)) == since - DAY  # the day under way, to its old end
    assert day(begins, "sto_2") == since
    await snapshot.close()


async def test_changed_twice_in_a_day_the_second_counts(store: CutOffs, database: str) -> None:
    since = await store.begin("mer_1", "sto_1", 4 * HOUR)
    assert await store.begin("mer_1", "sto_1", 5 * HOUR) in (since, since + DAY)
    snapshot = directory(database)
    await snapshot.refresh()
    of_store = snapshot.days().cut_offs["mer_1", "sto_1"]
    assert of_store[-1].begins == 5 * HOUR
    assert list(of_store) == (await store.of_stores("mer_1"))["sto_1"]
    # A worker that is at it reads the change as one that starts.
    await store.begin("mer_1", "sto_1", timedelta(0))
    await snapshot.refresh()
    assert snapshot.days().cut_offs["mer_1", "sto_1"][-1].begins == timedelta(0)
    await snapshot.close()


@pytest.mark.parametrize(
    ("store_id", "begins", "refusal"),
    [
        ("sto_1", 12 * HOUR, "before 12:00"),
        ("sto_1", -HOUR, "00:00 or later"),
        ("sto_9", HOUR, "there is no store sto_9"),
    ],
)
async def test_a_cut_off_that_cannot_be_is_refused(
    store: CutOffs, store_id: str, begins: timedelta, refusal: str
) -> None:
    with pytest.raises(RegistryError, match=refusal):
        await store.begin("mer_1", store_id, begins)
    assert await store.of_stores("mer_1") == {}


async def test_days_follow_the_success_once_every_worker_knows_how(database: str) -> None:
    connection = await asyncpg.connect(database)
    snapshot = directory(database)

    async def rules(*known: str) -> tuple[Numbering, DayRule]:
        await connection.execute(
            "INSERT INTO worker (id, beat_at, knows) VALUES ('w1', clock_timestamp(), $1) "
            "ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, knows = excluded.knows",
            known,
        )
        await snapshot.refresh()
        return snapshot.numbering(), snapshot.days().rule

    assert snapshot.days().rule == DayRule.BY_OPENING  # nothing is known yet
    assert await rules() == (Numbering.BY_MERCHANT, DayRule.BY_OPENING)
    assert await rules(NUMBERING_BY_STORE) == (Numbering.BY_STORE, DayRule.BY_OPENING)
    both = (NUMBERING_BY_STORE, DAYS_BY_SUCCESS)
    assert await rules(*both) == (Numbering.BY_STORE, DayRule.BY_SUCCESS)
    await connection.execute("UPDATE worker SET knows = NULL")
    await connection.execute("UPDATE worker SET beat_at = clock_timestamp() - interval '1 day'")
    await snapshot.refresh()
    assert snapshot.days().rule == DayRule.BY_SUCCESS  # that one is gone
    await snapshot.close()
    await connection.close()


async def test_a_payment_and_its_refund_tell_their_days(database: str, redis_url: str) -> None:
    async with shop(database, redis_url=redis_url) as counter:
        paid = (await counter.pay(1000, method="cash")).document
        assert paid["channel_date"] is None  # there is no bill of cash
        [row] = await counter.rows("SELECT days FROM payment")
        assert row["days"] == DayRule.BY_SUCCESS
        back = (
            await counter.office.refund(
                paid["id"], {"refund_no": "r1", "amount": 400, "reason": "cold"}, "k1"
            )
        ).document
        today = paid["business_date"]
        assert back["business_date"] in (today, str(date.fromisoformat(today) + DAY))
        assert back["channel_date"] is None
        # A refund of an older worker has no day of its own: its days began at midnight.
        await as_before(counter, paid)
        older = (await counter.office.refund_state("ref_old")).document
        made = datetime.fromisoformat(older["created_at"])
        assert older["business_date"] == (made + 8 * HOUR).date().isoformat()


async def test_two_who_change_it_at_once_are_one_after_the_other(store: CutOffs) -> None:
    hours = [n * HOUR for n in range(1, 9)]
    await asyncio.gather(*(store.begin("mer_1", "sto_1", each) for each in hours))
    [*_, last] = (await store.of_stores("mer_1"))["sto_1"]
    assert last.begins in hours
