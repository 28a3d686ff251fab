"""What `tillgate doctor` looks at.

A check changes nothing, is bounded in time, and says what to do when it finds something.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError

from gateway.cli.binding import descriptors_allowed
from gateway.cli.commands.account_checks import examine_accounts
from gateway.cli.commands.finding import Diagnosis, Level
from gateway.cli.commands.pooler_check import look_for_pooler
from gateway.cli.commands.safety_checks import look_at_safety
from gateway.domain.errors import StoreUnavailable
from gateway.edge_limits import CONNECTIONS_MAX, DESCRIPTORS_MAX
from gateway.http.connections import connections_within
from gateway.limits import HEARTBEAT_LEASE_MS
from gateway.settings import Settings
from gateway.storage.books.event_feed import WAITS
from gateway.storage.connections import REPLY_LOST, UNREACHABLE, connect
from gateway.storage.redis.guarded import WritesRefused, try_write
from gateway.storage.schema.migrate import MigrationError, pending

REDIS_S: Final = 2.0
# Signatures allow 300 s; NTP keeps milliseconds, so a second is already a sign.
SKEW_MAX: Final = timedelta(seconds=1)
WRITE_AGE_MAX: Final = timedelta(seconds=30)  # ours end within milliseconds
OVERDUE: Final = timedelta(minutes=2)  # the sweeper comes several times a second

STATE = """SELECT clock_timestamp() AS now, current_setting('server_version') AS version,
 current_setting('fsync') AS fsync,
 (SELECT count(*) FROM worker WHERE beat_at > clock_timestamp() - $2::interval) AS workers,
 (SELECT count(*) FROM attempt WHERE due_at < clock_timestamp() - $1::interval) AS overdue,
 (SELECT count(*) FROM "case" WHERE closed_at IS NULL) AS cases,
 (SELECT count(*) FROM attempt WHERE due_at IS NOT NULL AND NOT starts_with(out_trade_no, $3))
  + (SELECT count(*) FROM refund WHERE due_at IS NOT NULL AND NOT starts_with(out_refund_no, $3))
  AS elsewhere"""


async def examine(settings: Settings) -> list[Diagnosis]:
    """Everything behind the settings. Without a migrated database the rest cannot be looked at."""
    found = [
        _master_keys(settings),
        _public_url(settings),
        _descriptors(descriptors_allowed()),
        await _redis(settings),
    ]
    pooler = await look_for_pooler(settings.needed_database_url().reveal())
    if pooler is not None:
        found.append(pooler)
        if pooler.level is Level.WRONG:
            return found
    schema = await _schema(settings)
    found.append(schema)
    if schema.level is Level.WRONG:
        return found
    try:
        found += await _database(settings)
        found += await look_at_safety(settings)
        return found + await examine_accounts(settings)
    except asyncpg.TargetServerAttributeNotMatched:
        text = (
            "only reads (a standby, or default_transaction_read_only is on): every payment is "
            "refused; point TILLGATE_DATABASE_URL at the primary, or let it write"
        )
        return [*found, Diagnosis(Level.WRONG, "postgres", text)]
    except (StoreUnavailable, *UNREACHABLE, *REPLY_LOST) as error:
        return [
            *found,
            Diagnosis(Level.WRONG, "postgres", f"went away while being looked at: {error!r}"),
        ]


def _master_keys(settings: Settings) -> Diagnosis:
    keys = settings.needed_master_keys()
    versions = ", ".join(f"v{version}" for version in keys.versions)
    return Diagnosis(Level.GOOD, "master keys", f"{versions}; v{keys.current_version} is current")


def _public_url(settings: Settings) -> Diagnosis:
    if settings.public_url is None:
        return Diagnosis(
            Level.WARNING,
            "callbacks",
            "TILLGATE_PUBLIC_URL is not set: "
            "no callbacks are asked for, queries decide alone (slower)",
        )
    return Diagnosis(
        Level.GOOD, "callbacks", f"asked for at {settings.public_url}/callbacks/<account>"
    )


def _descriptors(allowed: int) -> Diagnosis:
    """Of this process: a service manager may allow the service more, or less."""
    connections = connections_within(allowed)
    if connections < CONNECTIONS_MAX:
        return Diagnosis(
            Level.WARNING,
            "descriptors",
            f"{allowed} file descriptors are allowed: a worker keeps {connections} connections; "
            f"raise the hard limit (`LimitNOFILE={DESCRIPTORS_MAX}`) where the service is started",
        )
    return Diagnosis(Level.GOOD, "descriptors", f"{allowed} allowed, {connections} connections")


async def _redis(settings: Settings) -> Diagnosis:
    if settings.redis_url is None:
        return Diagnosis(
            Level.WARNING,
            "redis",
            "TILLGATE_REDIS_URL is not set: slower under double taps, and still right",
        )
    client = redis.asyncio.Redis.from_url(
        settings.redis_url.reveal(), socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S
    )
    try:
        await try_write(client)
    except WritesRefused as refusal:
        return Diagnosis(
            Level.WARNING,
            "redis",
            f"answers and refuses writes ({refusal}): payments go on without it; "
            f"give it memory or disk, or point TILLGATE_REDIS_URL at the primary",
        )
    except (RedisError, OSError) as error:
        return Diagnosis(
            Level.WARNING,
            "redis",
            f"does not answer ({type(error).__name__}): payments go on without it; "
            f"start it, or check its URL",
        )
    finally:
        await client.aclose()
    return Diagnosis(Level.GOOD, "redis", "answers and takes writes")


async def _schema(settings: Settings) -> Diagnosis:
    try:
        missing = await pending(settings.needed_database_url().reveal())
    except MigrationError as error:
        return Diagnosis(Level.WRONG, "postgres", str(error))
    if missing:
        return Diagnosis(
            Level.WRONG,
            "schema",
            f"{len(missing)} migrations are missing ({missing[0]} …): run `tillgate migrate`",
        )
    return Diagnosis(Level.GOOD, "schema", "up to date")


async def _database(settings: Settings) -> list[Diagnosis]:
    connection = await connect(settings.needed_database_url().reveal())
    try:
        before = datetime.now(UTC)
        state = await connection.fetchrow(
            STATE, OVERDUE, timedelta(milliseconds=HEARTBEAT_LEASE_MS), settings.environment
        )
        after = datetime.now(UTC)
        waits = await connection.fetchval(WAITS)
    finally:
        await connection.close()
    assert state is not None
    return [
        Diagnosis(Level.GOOD, "postgres", f"version {state['version']}")
        if state["fsync"] == "on"
        else Diagnosis(
            Level.WRONG,
            "postgres",
            "runs with fsync=off: an acknowledged payment would not survive a power cut; "
            "turn it on",
        ),
        _clock(state["now"], before, after),
        *_numbers(state["elsewhere"], settings.environment),
        *_activity(state, waits),
    ]


def _clock(theirs: datetime, before: datetime, after: datetime) -> Diagnosis:
    """The database answered some time between `before` and `after`, so only what lies outside of
    that is skew.
    """
    skew = max(before - theirs, theirs - after, timedelta(0))
    if skew > SKEW_MAX:
        return Diagnosis(
            Level.WRONG,
            "clock",
            f"differs from the database's by {skew.total_seconds():.1f} s: "
            f"synchronise both hosts by NTP",
        )
    return Diagnosis(Level.GOOD, "clock", "agrees with the database's")


def _numbers(elsewhere: int, environment: str) -> list[Diagnosis]:
    """An open payment that is opened once more gets the number of its first attempt again: that
    keeps it from being charged twice, and only under the same environment.
    """
    if not elsewhere:
        return []
    text = (
        f"{elsewhere} open payments and refunds have numbers that do not begin with {environment}: "
        f"TILLGATE_ENVIRONMENT was changed; set it back until they have ended"
    )
    return [Diagnosis(Level.WRONG, "environment", text)]


def _activity(state: asyncpg.Record, waits: timedelta | None) -> list[Diagnosis]:
    workers = Diagnosis(Level.GOOD, "workers", f"{state['workers']} alive")
    if not state["workers"]:
        workers = Diagnosis(
            Level.WARNING, "workers", "none alive: start `tillgate serve` and `tillgate work`"
        )
    found = [workers]
    if waits is not None and waits > WRITE_AGE_MAX:
        text = (
            f"a transaction that writes has been open for {waits.total_seconds():.0f} s or longer: "
            f"events and webhooks wait for it; end it (as a superuser: pg_stat_activity, "
            f"backend_xid; pg_prepared_xacts)"
        )
        found.append(Diagnosis(Level.WRONG, "events", text))
    if state["overdue"]:
        text = (
            f"{state['overdue']} undecided payments wait for a query: "
            f"is `tillgate work` running, and are the channels reachable?"
        )
        found.append(Diagnosis(Level.WRONG, "sweeper", text))
    if state["cases"]:
        found.append(
            Diagnosis(
                Level.WARNING, "cases", f"{state['cases']} wait for a person: `tillgate case list`"
            )
        )
    return found
