"""The public events of a merchant in commit order:
by (transaction, row), only below the oldest running transaction.

A row of a transaction that is still open may commit later with a smaller sequence number; a reader
that had passed it would never see it. Nothing is shown from the oldest running transaction on, so
nothing ever appears behind a cursor.

A cursor names the history it was issued in. Books that were restored from a backup count their
transactions from an earlier number again: a follower with an older cursor would wait for a place
that other events have taken by then. It is told so, and begins anew.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

from gateway.domain.errors import CursorAhead, FieldInvalid
from gateway.domain.resources import event_json
from gateway.flow.ports import EventPage
from gateway.storage.reader import Reader

# One row at least: the first line says which history this is, and whether the cursor is of it.
# `transaction` is another name than the column's on purpose: ORDER BY takes an output column first,
# and as text "1000" comes before "999".
FEED = """
SELECT history.number AS history, history.is_ahead,
  e.id, e.type, e.data, e.at, e.xid::text AS transaction, e.seq
FROM (
  SELECT
    coalesce((SELECT max(extract(epoch FROM begun_at)) FROM restored), 0)::bigint AS number,
    $2::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) AS is_ahead
) history
LEFT JOIN LATERAL (
  SELECT id, type, data, at, xid, seq FROM event
  WHERE merchant_id = $1 AND public AND (xid, seq) > ($2::text::xid8, $3)
    AND xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY xid, seq LIMIT $4
) e ON true
ORDER BY e.xid, e.seq"""

# The server shows a transaction's age only to who is its role; what waits for it, to all. One that
# was prepared for a commit in two phases has no session any more, and is waited for all the same.
WAITS = """SELECT greatest(
  (SELECT max(clock_timestamp() - xact_start) FROM pg_stat_activity WHERE backend_xid IS NOT NULL),
  (SELECT max(clock_timestamp() - prepared) FROM pg_prepared_xacts),
  (SELECT clock_timestamp() - e.at FROM event e
   WHERE e.xid >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, e.seq LIMIT 1)
) AS age"""

_CURSOR = re.compile(r"(?:([0-9]{1,12})-)?([0-9]{1,19})-([0-9]{1,18})", re.ASCII)


class Cursor(NamedTuple):
    """A place in the log; `history` 0: books that never were restored from a backup."""

    history: int
    transaction: str
    row: int

    def __str__(self) -> str:
        place = f"{self.transaction}-{self.row}"
        return f"{self.history}-{place}" if self.history else place


BEGINNING = Cursor(0, "0", 0)


class EventFeed(Reader):
    """See `gateway.flow.ports.Store`."""

    async def events(self, merchant_id: str, after: str | None, limit: int) -> EventPage:
        """One page; `next_cursor` stays where it was when there is nothing new."""
        asked = position(after)
        rows = await self._fetch(FEED, merchant_id, asked.transaction, asked.row, limit + 1)
        history = rows[0]["history"]
        if after is not None and (rows[0]["is_ahead"] or asked.history != history):
            raise CursorAhead(field="after")
        rows = [row for row in rows if row["id"] is not None]
        page = rows[:limit]
        cursor = str(Cursor(history, page[-1]["transaction"], page[-1]["seq"])) if page else after
        return EventPage(
            tuple(
                event_json(row["id"], row["type"], row["at"], row["data"].encode()) for row in page
            ),
            cursor,
            len(rows) > limit,
        )

    async def waits(self) -> timedelta:
        """The age of the oldest transaction that the feed waits for: as far as this role may see
        it, or of the oldest event that stands behind it. Zero: there is none.
        """
        row = await self._row(WAITS)
        age: timedelta | None = row["age"] if row is not None else None
        return age or timedelta(0)


def position(cursor: str | None) -> Cursor:
    """The place a cursor names; the beginning for None. Raises `FieldInvalid`."""
    if cursor is None:
        return BEGINNING
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise FieldInvalid("after is a next_cursor of this call, or absent", field="after")
    return Cursor(int(found[1] or 0), found[2], int(found[3]))
