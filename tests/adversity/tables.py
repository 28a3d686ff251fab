"""A digest of every row of every table: what must not change is compared whole, not by the columns
a test thinks of.
"""

from __future__ import annotations

import asyncpg

VOLATILE = frozenset(
    {
        "worker",  # heartbeats
        "api_key_use",  # written off the road, by the clock
        "schema_migration",  # the runner's own notes
        # What a worker saw of a channel is written up to HEALTH_CHANGES_INTERVAL_MS later.
        "channel_health_event",
    }
)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


async def digests(dsn: str) -> dict[str, str]:
    """Table name -> number of rows and MD5 over their sorted texts, in one snapshot."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = [
                row["tablename"]
                for row in await connection.fetch(TABLES)
                if row["tablename"] not in VOLATILE
            ]
            return {name: await connection.fetchval(_digest_of(name)) for name in names}
    finally:
        await connection.close()


def _digest_of(table: str) -> str:
    rows = f'(SELECT t::text AS line FROM "{table}" t) rows'
    return (
        f"SELECT count(*) || ' ' || coalesce(md5(string_agg(line, E'\\n' ORDER BY line)), '') "
        f"FROM {rows}"
    )
