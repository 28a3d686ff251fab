"""The public events of a merchant in commit order:
by (transaction, row), only below the oldest running transaction.

A row of a transaction that is still open may commit later with a smaller sequence number; a reader
that had passed it would never see it. Nothing is shown from the oldest running transaction on, so
nothing ever appears behind a cursor.
"""

from __future__ import annotations

import re

from gateway.domain.errors import FieldInvalid
from gateway.domain.resources import event_json
from gateway.flow.ports import EventPage
from gateway.storage.reader import Reader

FEED = """SELECT id, type, data, at, xid::text AS xid, seq FROM event
WHERE merchant_id = $1 AND public AND (xid, seq) > ($2::text::xid8, $3)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq LIMIT $4"""

_CURSOR = re.compile(r"([0-9]{1,19})-([0-9]{1,18})", re.ASCII)


class EventFeed(Reader):
    """See `gateway.flow.ports.Store`."""

    async def events(self, merchant_id: str, after: str | None, limit: int) -> EventPage:
        """One page; `next_cursor` stays where it was when there is nothing new."""
        xid, seq = position(after)
        rows = await self._fetch(FEED, merchant_id, xid, seq, limit + 1)
        page = rows[:limit]
        cursor = f"{page[-1]['xid']}-{page[-1]['seq']}" if page else after
        return EventPage(
            tuple(
                event_json(row["id"], row["type"], row["at"], row["data"].encode()) for row in page
            ),
            cursor,
            len(rows) > limit,
        )


def position(cursor: str | None) -> tuple[str, int]:
    """(transaction, row) of a cursor; the beginning for None. Raises `FieldInvalid`."""
    if cursor is None:
        return "0", 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise FieldInvalid("after is a next_cursor of this call, or absent", field="after")
    return found[1], int(found[2])
