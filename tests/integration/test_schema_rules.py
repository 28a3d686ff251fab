"""What the schema itself refuses, whatever a program says: each CHECK is tried, and so is every
guard that a table has like its neighbours. The lists come from the catalog: a rule that nobody
tries to break, and one that is gone, fail.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway.limits import AMOUNT_FEN_MAX
from tests.servers import superuser_of

AT, BYTES = "2026-11-21T04:00:00Z", "\\x" + "00" * 32
# A value for each type of a column that has to have one.
ANY = {
    "text": "x",
    "int4": 1,
    "int8": 1,
    "bool": True,
    "bytea": BYTES,
    "timestamptz": AT,
    "date": AT[:10],
    "json": [],
}
# What the rules of the table want besides.
GOOD: dict[str, dict[str, Any]] = {
    "attempt": {"status": "sent"}
    | dict.fromkeys(
        ("captured_amount", "received_amount", "reserved_amount", "returned_amount"), 0
    ),
    "audit": {"asked_as": "person"},
    "payment": {"status": "processing", "amount": 1000, "currency": "CNY"},
    "refund": {"status": "requested", "origin": "merchant", "due_at": AT},
    "supervisor": {"pin_hash": "$argon2id$x"},
    "webhook_endpoint": {"url": "x/hook", "origin": "x"},
}
PROPOSED = {"proposed_as": "paid", "proposed_by": "ann", "proposed_at": AT, "proposed_reason": "x"}
CLOSED = {"closed_at": AT, "closed_by": "ann", "reason": "x"}
OUT_OF_BOUNDS = [{"amount": 0}, {"amount": AMOUNT_FEN_MAX + 1}]
ENDED = {"status": "declined", "evidence": [{"proof": "P1"}]}
GONE = {"holds": False}
CAPTURED = {"status": "succeeded", "captured_amount": 5}


def each(column: str, *values: Any, **more: Any) -> list[dict[str, Any]]:
    return [{column: value, **more} for value in values]


def alone(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Each column of a row, without the others."""
    return [{column: value} for column, value in row.items()]


# By constraint: what it refuses, each of which no other constraint before it does.
REFUSED: dict[str, list[dict[str, Any]]] = {
    "case_check": [*alone(CLOSED), {"closed_at": AT, "closed_by": "ann"}],
    "closed_as_confirmed": [CLOSED | PROPOSED],
    "proposed_whole": alone(PROPOSED),
    "two_persons": [{"confirmed_by": "ann"}, PROPOSED | {"confirmed_by": "ann"}],
    "order_amount_check": OUT_OF_BOUNDS,
    "split_order_amount": OUT_OF_BOUNDS,
    "api_key_check": [{"terminal_id": "t"}, {"store_id": "s"}],
    "api_key_environment_check": each("environment", "other"),
    "api_key_refund_day_max_check": each("refund_day_max", -1),
    "api_key_refund_max_check": each("refund_max", -1),
    "a_no_needs_evidence": each("status", "declined", "not_sent", "reversed", evidence=[]),
    "a_no_needs_proof": [
        *each("status", "not_sent", "reversed", evidence=[{"proof": "P1"}]),
        *each("status", "declined", "reversed", evidence=[{"proof": "P0"}]),
        *each("status", "not_sent", "declined", evidence=[{"proof": "P2"}]),
    ],
    "attempt_captured_amount_check": each("captured_amount", -1),
    "attempt_received_amount_check": each("received_amount", -1),
    "attempt_reserved_amount_check": each("reserved_amount", -1),
    "attempt_returned_amount_check": each("returned_amount", -1),
    "attempt_status": each("status", "other"),
    "live_is_watched": each("status", "pending", "in_doubt", "cancelling", due_at=None),
    "money_is_known": [
        *each("status", "succeeded", "captured_late", "returned", captured_amount=0),
        *each("status", "sent", captured_amount=1),
    ],
    "refunds_within_capture": [CAPTURED | {"reserved_amount": 3, "returned_amount": 3}],
    "audit_asked_as_check": each("asked_as", "other"),
    "audit_chain_hash_check": each("hash", "\\x00"),
    "audit_chain_link_check": each("link", 0),
    "audit_chain_previous_check": each("previous", "\\x00"),
    "drained_for_a_reason": [{"drained_at": AT}, {"drained_reason": "x"}],
    "claim_first_n_check": each("first_n", 0),
    "claim_numbering": each("numbering", 0, 3),
    "cut_off_before_noon": each("begins_min", -1, 720),
    "delivery_took_ms_check": each("took_ms", -1),
    "delivery_try_check": each("try", 0),
    "journal_amount_check": each("amount", 0),
    "outbox_check": each("state", "delivered", "dead", leased_until=AT),
    "outbox_state_check": each("state", "other"),
    "outbox_tries_check": each("tries", -1),
    "override_amount_check": each("amount", 0),
    "override_is_whole": [{"overridden_at": AT}, {"overridden_by": "p"}],
    "overrides_another": [{"id": "p", "overrides": "p"}],
    "payment_amount_check": OUT_OF_BOUNDS,
    "payment_check": each("tendered", 999),
    "payment_check1": each("change", 99, 101, tendered=1100),
    "payment_check2": each("status", "failed", "expired", "canceled", failure=None),
    "payment_check3": each("status", "succeeded", paid_at=None),
    "payment_currency_check": each("currency", "USD"),
    "payment_days": each("days", 0, 3),
    "payment_numbering": each("numbering", 0, 3),
    "payment_status": each("status", "other"),
    "payment_tender_no_check": each("tender_no", 0, 100),
    "payment_version_check": each("version", 0),
    "failed_needs_evidence": each("status", "failed", evidence=[]),
    "open_is_watched": each("status", "requested", "processing", "in_doubt", due_at=None),
    "refund_amount_check": each("amount", 0),
    "refund_origin_check": each("origin", "other"),
    "refund_status": each("status", "other"),
    "refund_version_check": each("version", 0),
    "what_we_owe_never_fails": each("origin", "late", "surplus", status="failed", evidence=[{}]),
    "restored_check": each("lost_from", "infinity"),
    "restored_check1": [{"ended_by": "ann"}, {"ended_at": AT}],
    "rule_set_version_check": each("version", 0),
    "signature_used_check": [{"status": 200}, {"body": BYTES}],
    "signature_used_signature_check": each("signature", "\\x00"),
    "supervisor_failures_check": each("failures", -1),
    "supervisor_pin_hash_check": each("pin_hash", "482913"),
    "supervisor_try_failures_check": each("failures", 0),
    "webhook_endpoint_check": [{"enabled": False}, {"disabled_reason": "x"}],
    "webhook_endpoint_check1": each("url", "y/hook"),
    "webhook_endpoint_concurrency_check": each("concurrency", 0),
    "webhook_endpoint_event_types_check": each("event_types", []),
    "webhook_secret_number_check": each("number", 0),
}
# By unique index: the columns that no two rows share, and the rows of which that is true.
UNIQUE: dict[str, tuple[str, dict[str, Any]]] = {
    "case_open_about": ("object_id kind refund_id merchant_id", {"refund_id": "r"}),
    "attempt_live": ("payment_id merchant_id", {}),
    "attempt_out_trade_no_key": ("out_trade_no", ENDED),
    "attempt_payment_id_number_merchant_id_key": ("payment_id number merchant_id", ENDED),
    "audit_chain_hash_key": ("hash", {}),
    "audit_chain_previous_key": ("previous", {}),
    "channel_account_id_key": ("id", {}),
    "claim_by_merchant_holder": ("order_no tender_no merchant_id", {"numbering": 1}),
    "claim_by_merchant_key": ("idempotency_key merchant_id", {"numbering": 1}),
    "claim_by_merchant_number": ("order_no tender_no first_n merchant_id", GONE | {"numbering": 1}),
    "claim_holder": ("order_no tender_no store_id merchant_id", {"numbering": 2}),
    "claim_number": ("order_no tender_no first_n store_id merchant_id", GONE | {"numbering": 2}),
    "claim_payment_id_merchant_id_key": ("payment_id merchant_id", {}),
    "refund_key": ("idempotency_key store_id merchant_id", {"idempotency_key": "k"}),
    "refund_out_refund_no_key": ("out_refund_no", {}),
    "refund_refund_no_merchant_id_key": ("refund_no merchant_id", {}),
    "restored_stands": ("", {}),
    "rule_set_version": ("merchant_id store_id version", {"store_id": "s"}),
    "webhook_endpoint_id_key": ("id", {}),
    "webhook_endpoint_idempotency_key_merchant_id_key": (
        "idempotency_key merchant_id",
        {"idempotency_key": "k"},
    ),
    "webhook_secret_newest": ("endpoint_id merchant_id", {}),
    "claim_pkey": ("idempotency_key store_id merchant_id", {"numbering": 2}),
    "callback_pkey": ("account_id event_key", {}),
    "signature_used_pkey": ("signature key_id merchant_id", {}),
    "supervisor_try_pkey": ("merchant_id supervisor_id place", {}),
}
HISTORIES = {
    *("audit", "audit_chain", "channel_health_event", "delivery", "event", "journal", "override"),
    "rule_set",
}

CHECKS = """SELECT conname AS name, conrelid::regclass::text AS table, convalidated AS holds
FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"""
# Of what is made with an id of its own the primary key says nothing more.
INDEXES = """SELECT i.relname AS name, x.indrelid::regclass::text AS table
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indisunique AND i.relnamespace = 'public'::regnamespace
  AND (NOT x.indisprimary OR i.relname = ANY ($1))"""
NEEDED = """SELECT a.attname AS column, t.typname AS type
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''"""
TABLES_WITH = """SELECT attrelid::regclass::text AS table FROM pg_attribute
WHERE attname = $1 AND attrelid IN (
  SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
)"""


@pytest.fixture
async def anyone(database: str) -> AsyncIterator[Any]:
    """A person who may do anything."""
    connection = await asyncpg.connect(superuser_of(database))
    yield connection
    await connection.close()


async def test_each_check_refuses_what_it_is_there_for(anyone: Any) -> None:
    checks = {row["name"]: row["table"] for row in await anyone.fetch(CHECKS)}
    assert set(REFUSED) == set(checks)
    await anyone.execute("SET session_replication_role = replica")  # the CHECKs alone
    for name, table in checks.items():
        good = await good_row(anyone, table)
        assert await verdict_on(anyone, table, good) is None, f"{table}: {good}"
        for breach in REFUSED[name]:
            assert await verdict_on(anyone, table, good | breach) == name, f"{name}: {breach}"


async def test_each_check_holds_for_the_rows_from_before_it(anyone: Any) -> None:
    assert {row["name"] for row in await anyone.fetch(CHECKS) if not row["holds"]} == set()


async def test_each_unique_index_knows_its_columns(anyone: Any) -> None:
    """Two rows that share them all are refused by it; two that differ in one of them are not."""
    indexes = await anyone.fetch(INDEXES, list(UNIQUE))
    assert {row["name"] for row in indexes} == set(UNIQUE)
    await anyone.execute("SET session_replication_role = replica")
    for name, table in indexes:
        columns, terms = UNIQUE[name]
        one = await good_row(anyone, table) | terms
        key, fixed = columns.split(), {*terms, *GOOD.get(table, {})}
        twin = {
            column: value if column in key or column in fixed else other(value)
            for column, value in one.items()
        }
        assert await verdict_on(anyone, table, one, twin) == name, f"{name}: {twin}"
        for column in key:
            differs = twin | {column: other(twin[column])}
            assert await verdict_on(anyone, table, one, differs) is None, f"{name}: {differs}"


async def test_no_history_is_changed(anyone: Any) -> None:
    guarded = await anyone.fetch(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only'"
    )
    assert {table for (table,) in guarded} == HISTORIES
    for table in sorted(HISTORIES):
        column = (await anyone.fetch(NEEDED, table))[0]["column"]
        for act in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await anyone.execute(act)
            assert refused.value.sqlstate == "TG001", act


async def test_what_workers_keep_a_copy_of_is_stamped_when_it_changes(anyone: Any) -> None:
    """Else no worker would hear of it."""
    stamped = {row["table"] for row in await anyone.fetch(TABLES_WITH, "changed_xid")}
    assert stamped > {"api_key", "restored"}
    for table in sorted(stamped - HISTORIES):
        await anyone.execute("SET session_replication_role = replica")
        await put(anyone, table, await good_row(anyone, table))
        await anyone.execute("SET session_replication_role = origin")
        column = (await anyone.fetch(NEEDED, table))[0]["column"]
        ahead = await anyone.fetchval(
            f"WITH before AS (SELECT changed_xid FROM {table}) "
            f"UPDATE {table} t SET {column} = t.{column} FROM before b "
            f"RETURNING t.changed_xid > b.changed_xid"
        )
        assert ahead, table


async def good_row(connection: Any, table: str) -> dict[str, Any]:
    needed = await connection.fetch(NEEDED, table)
    return {row["column"]: ANY[row["type"]] for row in needed} | GOOD.get(table.strip('"'), {})


async def put(connection: Any, table: str, row: dict[str, Any]) -> None:
    columns = ", ".join(f'"{column}"' for column in row)
    await connection.execute(
        f"INSERT INTO {table} ({columns}) "
        f"SELECT {columns} FROM json_populate_record(NULL::{table}, $1)",
        json.dumps(row),
    )


def other(value: Any) -> Any:
    """Another value of its kind, where there is one that the CHECKs allow, too."""
    if value == BYTES:
        return "\\x" + "11" * 32
    if isinstance(value, str) and value != AT:
        return f"{value}/2"
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) else value


async def verdict_on(connection: Any, table: str, *rows: dict[str, Any]) -> str | None:
    """The name of the rule that refuses them; nothing stays."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        for row in rows:
            await put(connection, table, row)
    except (asyncpg.CheckViolationError, asyncpg.UniqueViolationError) as refused:
        return str(refused.constraint_name)
    else:
        return None
    finally:
        await transaction.rollback()
