"""The group writer's queue: it has a bound, and what a caller left before it was sent is not
written.
"""

import asyncio
import contextlib

import asyncpg
import pytest

from gateway.domain.errors import Overloaded
from gateway.limits import WRITER_QUEUE_RECORDS_MAX
from gateway.storage.books.group_writer import GroupWriter
from gateway.storage.postgres import OPENINGS
from tests.contract.drawn import drawn_payment, opening_of

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


async def test_the_queue_has_a_bound() -> None:
    """No lane has begun, so that everything waits."""
    writer, opening = GroupWriter(NOWHERE, OPENINGS), opening_of(drawn_payment())
    waiting = [asyncio.create_task(writer.write(opening)) for _ in range(WRITER_QUEUE_RECORDS_MAX)]
    await asyncio.sleep(0)  # each has put its record into the queue
    with pytest.raises(Overloaded):
        await writer.write(opening)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await writer.close()


async def test_what_its_caller_left_before_it_was_sent_is_not_written(database: str) -> None:
    writer = GroupWriter(database, OPENINGS)
    stays, leaves = (opening_of(drawn_payment(f"O{n}")) for n in range(2))
    left = asyncio.create_task(writer.write(leaves))
    await asyncio.sleep(0)  # its record is in the queue
    left.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await left
    writer.start()
    assert await writer.write(stays) is not None
    await writer.close()
    reader = await asyncpg.connect(database)
    rows = await reader.fetch("SELECT id FROM payment")
    assert [row["id"] for row in rows] == [stays.payment.id]
    await reader.close()
