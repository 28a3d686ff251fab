"""Connections to Postgres: how they are opened, and which errors mean "nothing was written" and
which "we cannot know".
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from gateway.limits import (
    LIST_CONNECTIONS_MAX,
    LIST_TIMEOUT_MS,
    READ_CONNECTIONS_MAX,
    STATEMENT_TIMEOUT_MS,
    STORE_ANSWER_TIMEOUT_MS,
    TRANSACTION_CONNECTIONS_MAX,
)

CONNECT_TIMEOUT_S = 2.0  # a local or same-zone server answers in milliseconds
ANSWER_TIMEOUT_S = STORE_ANSWER_TIMEOUT_MS / 1000

# Of every session of ours. Values as pg_settings shows them.
SETTINGS = {
    "application_name": "tillgate",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "lock_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
    "synchronous_commit": "on",
    # What a database or a role may have set otherwise must not change what our statements mean.
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    # An order is locked first and summed by the next statement, which has to see what was committed
    # while the lock was awaited.
    "default_transaction_isolation": "read committed",
    "jit": "off",  # our statements run in a millisecond; compiling them takes fifty
    # Every statement of ours has its index; a plan made while a table was new must not scan it for
    # ever.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",  # nor read it whole to find the handful of rows a statement is about
    "enable_mergejoin": "off",
}
_WRITING = SETTINGS | {
    # Planning the big statements anew costs more than running them.
    "plan_cache_mode": "force_generic_plan",
}

# The server is not there, or not yet: no statement was handed over.
UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ConnectionFailureError,
    asyncpg.AdminShutdownError,
    asyncpg.InternalClientError,
)
# The statement was handed over and the connection broke, or we stopped waiting: it may have been
# committed.
REPLY_LOST = (
    OSError,
    TimeoutError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.ConnectionFailureError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    # The last words of a killed server come at a moment the protocol does not know.
    asyncpg.InternalClientError,
)
# Rolled back by the server, which waited too long for a lock or for itself, or cannot write now
# (full disk, failed I/O, a standby): sending it again at once would end the same way.
GAVE_UP = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
)
# The session cannot write, whatever its server can by now: it is closed, never used again.
ONLY_READS = asyncpg.ReadOnlySQLTransactionError
# SQLSTATE classes of what the server refuses in itself: values, constraints, and what our own
# triggers raise.
REFUSED_CLASSES = frozenset({"22", "23", "TG"})
# Rolled back by the server, safe to send again.
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


def _given(settings: dict[str, str]) -> dict[str, Any]:
    """How every connection of ours is made.

    Only to a server that can write: what a standby says of a payment may be old, and a session that
    began while its server could only read stays so for as long as it lives.
    """
    return {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": ANSWER_TIMEOUT_S,
        "server_settings": settings,
        "target_session_attrs": "read-write",
    }


async def connect(
    dsn: str, *, writing: bool = False, prepares: bool = True
) -> asyncpg.Connection[Any]:
    """One connection with our settings, for readers or for the group writer.

    `prepares`: keeps what it has prepared. Raises one of `UNREACHABLE`.
    """
    given = _given(_WRITING if writing else SETTINGS)
    if not prepares:
        given["statement_cache_size"] = 0
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn, **given)
    return connection


async def _keep(_: Any) -> None:
    """No RESET on release: readers run single statements and change no session state;
    a reset is a round trip.
    """


async def _pool(dsn: str, size: int, settings: dict[str, str]) -> asyncpg.Pool[Any]:
    """Opens no connection until one is asked for: a worker starts while Postgres is down."""
    pool = asyncpg.create_pool(dsn, min_size=0, max_size=size, reset=_keep, **_given(settings))
    await pool
    return pool


async def read_pool(dsn: str) -> asyncpg.Pool[Any]:
    """The pool of the readers."""
    return await _pool(dsn, READ_CONNECTIONS_MAX, SETTINGS)


async def list_pool(dsn: str) -> asyncpg.Pool[Any]:
    """The pool of lists, apart from the readers': what may be slow is bounded here."""
    bound = {"statement_timeout": str(LIST_TIMEOUT_MS)}
    return await _pool(dsn, LIST_CONNECTIONS_MAX, SETTINGS | bound)


async def transaction_pool(dsn: str) -> asyncpg.Pool[Any]:
    """The pool of the few transactions of several statements.

    A connection that fails in one is terminated, never given back.
    """
    return await _pool(dsn, TRANSACTION_CONNECTIONS_MAX, _WRITING)


async def discard(connection: asyncpg.Connection[Any] | None) -> None:
    """Drop a connection whose state is unknown, without waiting for it."""
    if connection is not None and not connection.is_closed():
        connection.terminate()
        await asyncio.sleep(0)
