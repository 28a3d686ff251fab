"""What `tillgate doctor` looks at so that the books can be believed: who services are in the
database, that history cannot be changed, that it was not, and the lines over which all of it goes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from gateway.cli.commands.finding import Diagnosis, Level
from gateway.limits import AUDIT_DOCTOR_LINKS, AUDIT_LAG_S_MAX, CERTIFICATE_DAYS_LEFT_MIN
from gateway.settings import Settings
from gateway.storage.books.audit_chain import AuditChain, Broken
from gateway.storage.connections import read_pool
from gateway.storage.registries.accounts import AccountListing
from gateway.storage.schema.roles import APP_ROLE, APPEND_ONLY, misplaced_rights
from security.lines import unsafe_lines

ROLE = """SELECT current_user AS name, r.rolsuper AS is_superuser,
  EXISTS (
    SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
    AND pg_has_role(current_user, c.relowner, 'MEMBER')
  ) AS is_owner,
  has_database_privilege(current_database(), 'TEMPORARY')
    OR has_schema_privilege('public', 'CREATE') AS makes_tables
FROM pg_roles r WHERE r.rolname = current_user"""
# Enabled always: in a session that replays another server's changes, too.
GUARDED = """SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname = 'append_only' AND t.tgenabled = 'A'"""
DISABLED = """SELECT c.relname || '.' || t.tgname AS name
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal AND t.tgenabled IN ('D', 'R')
ORDER BY 1"""
OWN_ROLE: Final = (
    f"give the services a role of their own: keep this address as TILLGATE_MIGRATE_DATABASE_URL, "
    f"write postgresql://{APP_ROLE}:<a new password>@… into TILLGATE_DATABASE_URL, and run "
    f"`tillgate migrate`, which makes the role; docs/audit.md"
)


def look_at_certificates(account: AccountListing, now: datetime) -> list[Diagnosis]:
    """The day one expires, every answer of the channel is a stranger's."""
    found = []
    for name, until in account.usable_until.items():
        days = (until - now) // timedelta(days=1)
        if days < CERTIFICATE_DAYS_LEFT_MIN:
            when = "has expired" if until <= now else f"expires in {days} days"
            text = (
                f"{name} {when} ({until:%Y-%m-%d}): take a new one from the channel's console and "
                f"run `tillgate account rotate`"
            )
            level = Level.WRONG if until <= now else Level.WARNING
            found.append(Diagnosis(level, account.id, text))
    return found


async def look_at_safety(settings: Settings) -> list[Diagnosis]:
    """Raises what a lost database raises."""
    pool = await read_pool(settings.needed_database_url().reveal())
    try:
        async with pool.acquire() as connection:
            found = [await _role(connection), *await _history(connection)]
        return [*_lines(settings), *found, *await _chain(AuditChain(pool))]
    finally:
        await pool.close()


def _lines(settings: Settings) -> list[Diagnosis]:
    if settings.unsafe_lines == "accept":
        return []
    return [
        Diagnosis(Level.WARNING, "lines", words)
        for words in unsafe_lines(settings.database_url, settings.redis_url)
    ]


async def _role(connection: Any) -> Diagnosis:
    role: asyncpg.Record = await connection.fetchrow(ROLE)
    name = role["name"]
    if role["is_superuser"] or role["is_owner"]:
        what = "may do anything in it" if role["is_superuser"] else "owns its tables"
        text = f"services reach the database as {name}, who {what}, history included: {OWN_ROLE}"
        return Diagnosis(Level.WARNING, "role", text)
    if tables := await misplaced_rights(connection, name):
        text = (
            f"the rights of {name} are not as they should be on {', '.join(tables)}: "
            f"run `tillgate migrate`"
        )
        return Diagnosis(Level.WRONG, "role", text)
    if role["makes_tables"]:
        text = f"{name} may make tables, which could stand before ours: run `tillgate migrate`"
        return Diagnosis(Level.WARNING, "role", text)
    return Diagnosis(Level.GOOD, "role", f"{name} owns nothing and changes no history")


async def _history(connection: Any) -> list[Diagnosis]:
    guarded = {row["relname"] for row in await connection.fetch(GUARDED)}
    off = [row["name"] for row in await connection.fetch(DISABLED)]
    off += [f"{table}.append_only" for table in sorted(APPEND_ONLY - guarded)]
    if not off:
        return [Diagnosis(Level.GOOD, "history", f"{len(APPEND_ONLY)} tables are append-only")]
    text = (
        f"triggers that guard the books are off: {', '.join(dict.fromkeys(off))}; find out who did "
        f"it, run `tillgate audit verify`, then turn each on: ALTER TABLE … ENABLE ALWAYS TRIGGER …"
    )
    return [Diagnosis(Level.WRONG, "history", text)]


async def _chain(chain: AuditChain) -> list[Diagnosis]:
    result = await chain.verify(newest_links=AUDIT_DOCTOR_LINKS)
    if isinstance(result, Broken):
        text = (
            f"broken at link {result.link}: {result.words}. What stands in the books there was "
            f"changed: `tillgate audit verify` looks at all of it; docs/audit.md"
        )
        return [Diagnosis(Level.WRONG, "audit chain", text)]
    behind = (await chain.lag()).total_seconds()
    if behind > AUDIT_LAG_S_MAX:
        text = (
            f"is {behind:.0f} s behind: is `tillgate work` running? A transaction that stays open "
            f"holds it up, too"
        )
        return [Diagnosis(Level.WARNING, "audit chain", text)]
    if result.head is None:
        return [Diagnosis(Level.GOOD, "audit chain", "empty: `tillgate work` makes it")]
    text = (
        f"the newest {result.rows} events and acts are as they were written; "
        f"link {result.head.number}"
    )
    return [Diagnosis(Level.GOOD, "audit chain", text)]
