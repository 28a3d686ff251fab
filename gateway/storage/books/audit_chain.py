"""The audit chain in PostgreSQL: `tillgate work` makes it longer, people verify it.

It covers the event log and the registries' acts in commit order, below the oldest transaction that
still runs: nothing can appear there any more. No two links can stand on the same one, so several
processes may build it: the later of two is refused and looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

import asyncpg

from gateway.limits import AUDIT_LINK_ROWS, AUDIT_LINKS_READ
from gateway.storage.reader import Reader
from security.audit_chain import (
    BEGINNING,
    GENESIS,
    ChainedRow,
    Harm,
    Head,
    Link,
    Log,
    Place,
    digest_of,
    first_difference,
    is_whole,
    linked,
    recorded,
)

LAST_OF_ALL: Final = 2**63 - 1  # no row has a number above it

_LINK = "link, previous, rows, hash, at"
NEWEST = f"SELECT {_LINK} FROM audit_chain ORDER BY link DESC LIMIT 1"
NUMBERED = f"SELECT {_LINK} FROM audit_chain WHERE link = $1"
AFTER = f"SELECT {_LINK} FROM audit_chain WHERE link > $1 ORDER BY link LIMIT {AUDIT_LINKS_READ}"
EXTEND = """INSERT INTO audit_chain (link, previous, rows, hash) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING link"""
HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS transaction"

# Every column that says something, in the order of the table: the digest is over them.
EVENTS = """SELECT e.xid::text AS transaction, e.seq AS number,
  e.merchant_id, e.id, e.object_id, e.version, e.type, e.public::text AS public,
  e.data::text AS data, e.at
FROM event e WHERE (e.xid, e.seq) > ($1::text::xid8, $2::bigint)
  AND (e.xid, e.seq) <= ($3::text::xid8, $4::bigint)
ORDER BY e.xid, e.seq LIMIT $5"""
ACTS = """SELECT a.xid::text AS transaction, a.seq AS number,
  a.at, a.merchant_id, a.asked_as, a.asked_by, a.act, a.object,
  a.before::text AS before, a.after::text AS after
FROM audit a WHERE (a.xid, a.seq) > ($1::text::xid8, $2::bigint)
  AND (a.xid, a.seq) <= ($3::text::xid8, $4::bigint)
ORDER BY a.xid, a.seq LIMIT $5"""
# Of what no link covers yet, a transaction that stays open included.
OLDEST_LEFT = """SELECT clock_timestamp() - min(left_over.at) AS age FROM (
  (SELECT e.at FROM event e WHERE (e.xid, e.seq) > ($1::text::xid8, $2::bigint)
   ORDER BY e.xid, e.seq LIMIT 1)
  UNION ALL
  (SELECT a.at FROM audit a WHERE (a.xid, a.seq) > ($1::text::xid8, $3::bigint)
   ORDER BY a.xid, a.seq LIMIT 1)
) left_over"""
# A row of a transaction that this server has not reached: no service can have written it.
FROM_NOWHERE = """SELECT e.xid::text AS transaction, e.seq AS number, e.id FROM event e
WHERE e.xid >= pg_snapshot_xmax(pg_current_snapshot()) ORDER BY e.xid, e.seq LIMIT 1"""

# The row at a place, or the last one before it.
NAMES: Final = {
    Log.EVENT: (
        "event",
        """SELECT e.id || ' (' || e.object_id || ', version ' || e.version || ')' AS name
FROM event e WHERE (e.xid, e.seq) <= ($1::text::xid8, $2::bigint)
ORDER BY e.xid DESC, e.seq DESC LIMIT 1""",
    ),
    Log.ACT: (
        "act",
        """SELECT a.act || ' of ' || a.object || ' by ' || a.asked_by AS name
FROM audit a WHERE (a.xid, a.seq) <= ($1::text::xid8, $2::bigint)
ORDER BY a.xid DESC, a.seq DESC LIMIT 1""",
    ),
}


class Kept(NamedTuple):
    """A head that was written down elsewhere."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """Every link looked at is as it was made, and so are the rows it covers."""

    links: int
    rows: int
    head: Head | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing that is not as it was: which link, and in words what."""

    link: int
    words: str


class ChainAhead(RuntimeError):
    """The chain covers transactions that this server has not reached: the books were moved to it by
    a dump, which loses the order of commits. Restore a physical backup instead.
    """


class AuditChain(Reader):
    """Reads short statements over the pool it is given."""

    async def extend(self) -> bool:
        """The next link, if there are rows for one. True: there may be more.

        Raises `StoreUnavailable` and `ChainAhead`.
        """
        newest = await self._newest()
        number, previous, start = (0, GENESIS, BEGINNING) if newest is None else _end(newest)
        horizon = await self._horizon()
        if horizon <= start.transaction:
            raise ChainAhead
        # All of the transactions before the horizon, and nothing of it.
        rows = await self._rows(start, Place(horizon, Log.ACT, -1), AUDIT_LINK_ROWS)
        if not rows:
            return False
        link = linked(number + 1, previous, rows)
        await self._row(EXTEND, link.number, link.previous, link.rows, link.hash)
        return True

    async def lag(self) -> timedelta:
        """The age of the oldest row that no link covers yet; zero when there is none."""
        newest = await self._newest()
        start = BEGINNING if newest is None else _link(newest).last
        numbers = (_number(start, log) for log in (Log.EVENT, Log.ACT))
        row = await self._row(OLDEST_LEFT, str(start.transaction), *numbers)
        age: timedelta | None = row["age"] if row is not None else None
        return age or timedelta(0)

    async def head(self) -> Head | None:
        """None while the chain is empty."""
        newest = await self._newest()
        return None if newest is None else Head(newest["link"], newest["hash"], newest["at"])

    async def verify(
        self, kept: Sequence[Kept] = (), *, newest_links: int | None = None
    ) -> Verified | Broken:
        """Make every digest and every link again, from the first on or for the newest few, and
        compare: the first difference. `kept`: heads from elsewhere that must still be in the chain.
        """
        head = await self.head()
        for each in kept:
            row = await self._row(NUMBERED, each.number)
            if row is None:
                return Broken(each.number, "it was kept elsewhere, and is in the chain no more")
            if row["hash"] != each.hash:
                return Broken(each.number, "its hash is not the one that was kept elsewhere")
        begin = 0 if newest_links is None or head is None else max(0, head.number - newest_links)
        number, previous, start = 0, GENESIS, BEGINNING
        if begin:
            row = await self._row(NUMBERED, begin)
            if row is None:
                return Broken(begin, "it is missing")
            number, previous, start = _end(row)
        count = 0
        while links := await self._fetch(AFTER, number):
            for row in links:
                link = _link(row)
                if words := await self._harm(link, number, previous, start):
                    return Broken(link.number, words)
                number, previous, start = _end(row)
                count += len(recorded(link))
        if (row := await self._row(FROM_NOWHERE)) is not None:
            words = (
                f"{row['id']} is of a transaction that this server never reached: it was invented, "
                f"or the books were moved here by a dump"
            )
            return Broken(number + 1, words)
        return Verified(number - begin, count, head)

    async def _harm(self, link: Link, number: int, previous: bytes, start: Place) -> str | None:
        if link.number != number + 1:
            return f"link {number + 1} is missing before it"
        if link.previous != previous:
            return f"it does not stand on link {number}"
        if not is_whole(link):
            return "its hash is not that of its rows: the chain itself was changed"
        found = await self._rows(start, link.last, None)
        difference = first_difference(recorded(link), found)
        if difference is None:
            return None
        return await self._in_words(difference.harm, difference.row.place)

    async def _in_words(self, harm: Harm, place: Place) -> str:
        """A row that is gone is named by the one before it, which may be gone with it."""
        kind, sql = NAMES[place.log]
        row = await self._row(sql, str(place.transaction), place.number)
        name = "the first one" if row is None else row["name"]
        where = f"at {place.transaction}-{place.number}"
        if harm is Harm.DROPPED:
            return f"the {kind} {where} was dropped; before it stands {name}"
        return f"the {kind} {name} {where} was {harm}"

    async def _newest(self) -> asyncpg.Record | None:
        return await self._row(NEWEST)

    async def _horizon(self) -> int:
        row = await self._row(HORIZON)
        assert row is not None
        return int(row["transaction"])

    async def _rows(self, after: Place, until: Place, limit: int | None) -> list[ChainedRow]:
        """Of both logs, in order."""
        found: list[ChainedRow] = []
        for log, sql in ((Log.EVENT, EVENTS), (Log.ACT, ACTS)):
            bounds = ((str(place.transaction), _number(place, log)) for place in (after, until))
            arguments = [each for bound in bounds for each in bound]
            found += [_chained(log, row) for row in await self._fetch(sql, *arguments, limit)]
        return sorted(found)[:limit]


def _number(place: Place, log: Log) -> int:
    """The last number of `log` up to `place`: within a transaction acts stand before events."""
    if place.log is log:
        return place.number
    return LAST_OF_ALL if log < place.log else -1


def _link(row: asyncpg.Record) -> Link:
    return Link(row["link"], row["previous"], row["rows"], row["hash"])


def _end(row: asyncpg.Record) -> tuple[int, bytes, Place]:
    """What the next link begins with."""
    link = _link(row)
    return link.number, link.hash, link.last


def _chained(log: Log, row: asyncpg.Record) -> ChainedRow:
    transaction, number, *fields = row
    return ChainedRow(Place(int(transaction), log, number), digest_of(fields))
