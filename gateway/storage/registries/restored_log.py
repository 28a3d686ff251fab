"""The durable switch of "restored" mode: one row a time that it stood.

Every worker sees it with its next directory refresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.audit import Act
from gateway.storage.registries.acts import Acting

BEGIN = """INSERT INTO restored (lost_from, begun_by) SELECT $1, $2 WHERE $1 <= now()
ON CONFLICT ((true)) WHERE ended_at IS NULL DO UPDATE
SET lost_from = least(restored.lost_from, excluded.lost_from), begun_at = now() RETURNING id"""
END = "UPDATE restored SET ended_at = now(), ended_by = $1 WHERE ended_at IS NULL RETURNING id"
LIST = (
    "SELECT lost_from, begun_by, begun_at, ended_by, ended_at FROM restored "
    "ORDER BY id DESC LIMIT 20"
)
LEFT = """SELECT
  (SELECT count(*) FROM attempt WHERE due_at IS NOT NULL) AS undecided,
  (SELECT count(*) FROM "case"
   WHERE closed_at IS NULL AND kind = 'callback_unknown_number') AS unknown_numbers"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredTime:
    """One time that the mode stood, or stands (`ended_at` None)."""

    lost_from: datetime
    begun_by: str
    begun_at: datetime
    ended_by: str | None
    ended_at: datetime | None


class RestoredLog(Acting):
    """For `tillgate restored`."""

    async def begin(self, lost_from: datetime, by: str) -> bool:
        """Safe to repeat: the earlier moment stays, the mode begins anew: the backup may be of a
        time when it stood.

        False for a moment in the future.
        """
        async with self._acting("restored mode") as connection:
            begun = await connection.fetchval(BEGIN, lost_from, by)
            if begun is None:
                return False
            said = {"lost_from": lost_from, "by": by}
            await self._record(
                connection, Act.RESTORED_BEGIN, f"restored/{begun}", merchant_id=None, after=said
            )
        return True

    async def end(self, by: str) -> bool:
        """False when it does not stand."""
        async with self._acting("restored mode") as connection:
            ended = await connection.fetchval(END, by)
            if ended is None:
                return False
            await self._record(
                connection,
                Act.RESTORED_END,
                f"restored/{ended}",
                merchant_id=None,
                after={"by": by},
            )
        return True

    async def times(self) -> list[RestoredTime]:
        """Newest first."""
        return [RestoredTime(**dict(row)) for row in await self._fetch(LIST)]

    async def left(self) -> tuple[int, int]:
        """(attempts still undecided, open cases about callbacks whose number the books do not
        know).
        """
        row = await self._row(LEFT)
        assert row is not None
        return int(row["undecided"]), int(row["unknown_numbers"])
