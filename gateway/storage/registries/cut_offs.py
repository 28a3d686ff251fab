"""When the business days of stores begin."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from gateway.domain.audit import Act
from gateway.domain.days import CUT_OFF_BEFORE, MIDNIGHT, CutOff, Days
from gateway.storage.registries.acts import Acting, RegistryError

MINUTE: Final = timedelta(minutes=1)
# The lock on the store's row: one change of its days after the other.
NOW = """SELECT clock_timestamp() FROM store WHERE merchant_id = $1 AND id = $2
FOR NO KEY UPDATE"""
KNOWN = """SELECT store_id, since, begins_min FROM cut_off
WHERE merchant_id = $1 AND ($2::text IS NULL OR store_id = $2) ORDER BY since"""
# Changed twice in a day, the second time counts.
BEGIN = """INSERT INTO cut_off (merchant_id, store_id, since, begins_min) VALUES ($1, $2, $3, $4)
ON CONFLICT (store_id, since, merchant_id) DO UPDATE SET begins_min = excluded.begins_min"""


class CutOffs(Acting):
    """They are added to, never taken away: old payments lie in the days of their time."""

    async def begin(self, merchant_id: str, store_id: str, begins: timedelta) -> date:
        """From the next business day on, the store's days begin `begins` after midnight: from which
        day on. The one under way ends as it was meant to.
        """
        if not MIDNIGHT <= begins < CUT_OFF_BEFORE:
            raise RegistryError("a business day begins at 00:00 or later, and before 12:00")
        about = f"store {store_id} of merchant {merchant_id}"
        async with self._acting(about) as connection:
            now = await connection.fetchval(NOW, merchant_id, store_id)
            if now is None:
                raise RegistryError(f"there is no {about}")
            known = [
                CutOff(row["since"], row["begins_min"] * MINUTE)
                for row in await connection.fetch(KNOWN, merchant_id, store_id)
            ]
            days = Days(cut_offs={(merchant_id, store_id): known})
            today = date.fromisoformat(days.business_date(merchant_id, store_id, now))
            since = today + timedelta(days=1)
            await connection.execute(BEGIN, merchant_id, store_id, since, begins // MINUTE)
            await self._record(
                connection,
                Act.STORE_CUTOFF,
                store_id,
                merchant_id=merchant_id,
                after={"begins": time_of_day(begins), "since": since.isoformat()},
            )
        return since

    async def of_stores(self, merchant_id: str) -> dict[str, list[CutOff]]:
        """By store, oldest first; a store whose days begin at midnight may be in it not."""
        found: dict[str, list[CutOff]] = {}
        for row in await self._fetch(KNOWN, merchant_id, None):
            each = CutOff(row["since"], row["begins_min"] * MINUTE)
            found.setdefault(row["store_id"], []).append(each)
        return found


def time_of_day(begins: timedelta) -> str:
    """`HH:MM`."""
    hours, minutes = divmod(begins // MINUTE, 60)
    return f"{hours:02}:{minutes:02}"
