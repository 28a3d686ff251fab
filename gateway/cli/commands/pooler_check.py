"""Whether PostgreSQL itself answers, or a pooler that hands its sessions from client to client.

Services set their sessions once and prepare their statements once. Behind a pooler in
transaction or statement mode neither stays: statements miss what was prepared, timeouts are gone.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import msgspec

from gateway.cli.commands.finding import Diagnosis, Level
from gateway.storage.connections import REPLY_LOST, SETTINGS, UNREACHABLE, connect

# Names of settings are spelt with capitals by the server; `setting` is in the unit we give it in.
SESSION = """SELECT pg_backend_pid() AS session,
  (SELECT json_object_agg(lower(name), setting) FROM pg_settings WHERE lower(name) = ANY($1))::text
  AS settings"""
ADVICE: Final = (
    "give TILLGATE_DATABASE_URL the address of PostgreSQL itself; "
    "docs/settings.md says what a pooler breaks"
)


async def look_for_pooler(dsn: str) -> Diagnosis | None:
    """None: nothing answers, and the look at the schema will say so."""
    try:
        first = await connect(dsn, prepares=False)
        try:
            second = await connect(dsn, prepares=False)
            try:
                return await _compare(first, second)
            finally:
                second.terminate()
        finally:
            first.terminate()
    except (*UNREACHABLE, *REPLY_LOST, asyncpg.PostgresError) as error:
        # A setting at the start; or, in statement mode, a transaction, which ends the session.
        for each in (error, error.__cause__):
            if isinstance(each, asyncpg.ProtocolViolationError):
                return _found(f"refuses what our sessions need ({each})")
        return None


async def _compare(first: Any, second: Any) -> Diagnosis:
    """`second` keeps its session while `first` is asked twice: a direct line always answers from
    its own one.
    """
    async with first.transaction():
        own = await _ask(first)
    async with second.transaction():
        others = await _ask(second)
        async with first.transaction():
            again = await _ask(first)
    if others["session"] == own["session"] or again["session"] != own["session"]:
        return _found("gives each transaction another session (transaction or statement mode)")
    if lost := _lost(own["settings"]):
        return _found(f"drops our session settings ({', '.join(lost)})")
    return Diagnosis(Level.GOOD, "pooler", "none: each session is its client's own")


async def _ask(connection: Any) -> asyncpg.Record:
    row: asyncpg.Record = await connection.fetchrow(SESSION, list(SETTINGS))
    return row


def _lost(settings: str) -> list[str]:
    found = msgspec.json.decode(settings, type=dict[str, str])
    return sorted(name for name, value in SETTINGS.items() if found.get(name) != value)


def _found(what: str) -> Diagnosis:
    return Diagnosis(
        Level.WRONG, "pooler", f"one stands in front of PostgreSQL and {what}: {ADVICE}"
    )
