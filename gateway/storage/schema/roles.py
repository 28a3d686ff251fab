"""Two roles of PostgreSQL: the owner, who migrates, and the app, as whom services connect.

Their names are what the addresses say: TILLGATE_MIGRATE_DATABASE_URL names the owner,
TILLGATE_DATABASE_URL the app. The app owns nothing. `RIGHTS` is everything it may do: history is
written and read, never changed, and of the registries only what a command changes. So a statement
that slips in through the service cannot move a key to another merchant, cut the event log, switch
a trigger off or run a program on the database's host.

With one address for both there is one role and nothing to grant; `tillgate doctor` says what to do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from security.secret import Secret

APP_ROLE: Final = "tillgate_app"  # of `tillgate dev`, and the one that the pages name

# By table. Columns stand where a right holds for these alone: what the database fills itself
# (places in the log) and what no command changes (whose a key is) are left out.
RIGHTS: Final[Mapping[str, str]] = {
    "merchant": "SELECT, INSERT, UPDATE (name, disabled_at)",
    "store": "SELECT, INSERT, UPDATE (name, disabled_at, overrides_allowed)",
    "cut_off": "SELECT, INSERT, UPDATE (begins_min)",
    "terminal": "SELECT, INSERT, UPDATE (name, disabled_at)",
    "api_key": "SELECT, INSERT, UPDATE (sealed, revoked_at, refund_max, refund_day_max)",
    "api_key_use": "SELECT, INSERT, UPDATE (used_at)",
    "channel_account": "SELECT, INSERT, "
    "UPDATE (sealed, enabled, priority, drained_at, drained_reason)",
    "webhook_endpoint": "SELECT, INSERT, UPDATE (url, origin, enabled, disabled_reason)",
    "webhook_secret": "SELECT, INSERT, UPDATE (sealed, ends_at), DELETE",
    "supervisor": "SELECT, INSERT, UPDATE (pin_hash, failures, disabled_at)",
    "supervisor_try": "SELECT, INSERT, UPDATE (failures, again_at), DELETE",
    "rule_set": "SELECT, INSERT",
    "claim": "SELECT, INSERT, UPDATE (holds)",
    "payment": "SELECT, INSERT, UPDATE",
    "attempt": "SELECT, INSERT, UPDATE",
    "refund": "SELECT, INSERT, UPDATE",
    "order": "SELECT, INSERT, UPDATE (amount)",
    "split_order": "SELECT, INSERT, UPDATE (amount)",
    "override": "SELECT, INSERT",
    "event": "SELECT, INSERT (merchant_id, id, object_id, version, type, public, data, at)",
    "journal": "SELECT, INSERT (merchant_id, posting_id, account, amount, at)",
    "outbox": "SELECT, INSERT, UPDATE",
    "delivery": "SELECT, INSERT",
    "callback": "SELECT, INSERT, UPDATE (received_at, applied_at)",
    "case": "SELECT, INSERT, UPDATE (closed_at, closed_by, reason, proposed_as, proposed_by, "
    "proposed_at, proposed_reason, confirmed_by)",
    # Of signatures that have acted: kept for minutes.
    "signature_used": "SELECT, INSERT, UPDATE (status, body), DELETE",
    "channel_health_event": "SELECT, INSERT",
    "worker": "SELECT, INSERT, UPDATE",
    "audit": "SELECT, INSERT (merchant_id, asked_as, asked_by, act, object, before, after)",
    "audit_chain": "SELECT, INSERT (link, previous, rows, hash)",
    "restored": "SELECT, INSERT, UPDATE (lost_from, begun_at, ended_by, ended_at)",
    "schema_migration": "SELECT",
}

APPEND_ONLY: Final = frozenset(
    table for table, rights in RIGHTS.items() if "INSERT" in rights and "UPDATE" not in rights
)
"""History: written and read, never changed; triggers guard it from its owner, too."""

# A temporary table named like one of ours would stand before it in every trigger.
_DATABASE: Final = """DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;"""

_TABLES: Final = """SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1"""
_GRANTED: Final = """SELECT c.relname AS name, x.privilege_type AS right, '' AS column
FROM pg_class c CROSS JOIN aclexplode(c.relacl) x
WHERE c.relnamespace = 'public'::regnamespace AND x.grantee = $1::text::regrole
UNION ALL
SELECT c.relname, x.privilege_type, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
CROSS JOIN aclexplode(a.attacl) x
WHERE c.relnamespace = 'public'::regnamespace AND x.grantee = $1::text::regrole"""
_MAY_MAKE_ROLES: Final = (
    "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
)

_SCRAM_ROUNDS: Final = 4_096  # PostgreSQL's own number

Right = tuple[str, str]  # (a privilege, of which column; empty: the whole table)


class RolesError(RuntimeError):
    """The app's role could not be made or given its rights; the text says what to run."""


@dataclass(frozen=True, slots=True)
class AppRole:
    """As whom services connect. `password` None: the server knows them otherwise (peer, trust)."""

    name: str
    password: Secret | None = None


def app_role(owner_dsn: str, app_dsn: str) -> AppRole | None:
    """The role of `app_dsn`; None when both addresses name the same one."""
    role = _role_of(app_dsn)
    return None if role.name == _role_of(owner_dsn).name else role


def _role_of(dsn: str) -> AppRole:
    """As libpq reads it: before the @, else a parameter, else the variable, else the person."""
    parts = urlsplit(dsn)
    given = parse_qs(parts.query)
    name = unquote(parts.username or "") or given.get("user", [""])[0]
    password = unquote(parts.password or "") or given.get("password", [""])[0]
    return AppRole(
        name or os.environ.get("PGUSER") or os.environ.get("USER", ""),
        Secret(password) if password else None,
    )


async def equip(connection: asyncpg.Connection[Any], role: AppRole) -> list[str]:
    """Make the role when it does not exist, and bring its rights to `RIGHTS`: the tables whose
    rights were changed. A role that exists keeps its password.

    Raises `RolesError`. Safe to repeat; the caller sees to it that one at a time does it.
    """
    await _make(connection, role)
    try:
        async with connection.transaction():
            await connection.execute(_DATABASE)
            changed = await _differing(connection, role.name)
            for table in changed:
                for statement in _statements(table, role.name):
                    await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise RolesError(
            f"the rights of {role.name} could not be set ({error}): let the role that owns the "
            f"tables migrate (TILLGATE_MIGRATE_DATABASE_URL)"
        ) from error
    return changed


async def misplaced_rights(connection: asyncpg.Connection[Any], name: str) -> list[str]:
    """The tables on which `name` was granted more or less than `RIGHTS` says."""
    return await _differing(connection, name)


async def _make(connection: asyncpg.Connection[Any], role: AppRole) -> None:
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role.name):
        return
    if not await connection.fetchval(_MAY_MAKE_ROLES):
        raise RolesError(
            f"the role {role.name} of TILLGATE_DATABASE_URL does not exist, and this one may not "
            f"make it. As a superuser: CREATE ROLE {_quoted(role.name)} LOGIN PASSWORD '…'; then "
            f"run `tillgate migrate` again"
        )
    secret = f" PASSWORD '{_verifier(role.password, os.urandom(16))}'" if role.password else ""
    try:
        await connection.execute(f"CREATE ROLE {_quoted(role.name)} LOGIN{secret}")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # a database beside this one was migrated at the same moment


async def _differing(connection: asyncpg.Connection[Any], name: str) -> list[str]:
    present: dict[str, set[Right]] = {}
    for row in await connection.fetch(_GRANTED, _quoted(name)):
        present.setdefault(row["name"], set()).add((row["right"], row["column"]))
    tables = [row["name"] for row in await connection.fetch(_TABLES)]
    return [table for table in tables if present.get(table, set()) != _wanted(table)]


def _wanted(table: str) -> set[Right]:
    """The rights of a table that stands in no line are none."""
    found: set[Right] = set()
    for right, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", RIGHTS.get(table, "")):
        found |= {(right, column) for column in (columns.split(", ") if columns else [""])}
    return found


def _statements(table: str, name: str) -> list[str]:
    """REVOKE on the table takes the rights on its columns back too."""
    taken = f"REVOKE ALL ON TABLE {_quoted(table)} FROM {_quoted(name)}"
    if table not in RIGHTS:
        return [taken]
    return [taken, f"GRANT {RIGHTS[table]} ON TABLE {_quoted(table)} TO {_quoted(name)}"]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _verifier(password: Secret, salt: bytes) -> str:
    """What PostgreSQL would store (RFC 5803), so that the password itself stands in no statement
    and in no log of the server.

    Characters beyond ASCII would have to be prepared (RFC 4013): then the server does it all.
    """
    text = password.reveal()
    if not text.isascii():
        return text.replace("'", "''")
    salted = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{parts[0]}${parts[1]}:{parts[2]}"
