"""The two books that an audit compares, read whole: the gateway's database in one snapshot, and the
channel sandbox's own ledger.

Rows are plain dictionaries, so that a test can bend one and see the audit notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg

Row = dict[str, Any]
LEDGER_PAGE_ROWS = 5_000  # the sandbox's own maximum

PAYMENTS = """SELECT merchant_id, store_id, id, version, status, order_no, tender_no, amount,
  channel, frozen_at IS NOT NULL AS frozen
FROM payment ORDER BY merchant_id, id"""
ATTEMPTS = """SELECT merchant_id, id, payment_id, trade_number, channel, channel_account,
  out_trade_no, status, sent_at, captured_amount, reserved_amount, returned_amount,
  evidence::text AS evidence
FROM attempt ORDER BY merchant_id, payment_id, number"""
REFUNDS = """SELECT merchant_id, id, payment_id, attempt_id, version, status, out_refund_no, amount
FROM refund ORDER BY merchant_id, id"""
CLAIMS = (
    "SELECT merchant_id, store_id, idempotency_key, payment_id, order_no, tender_no, holds "
    "FROM claim ORDER BY merchant_id, payment_id"
)
EVENTS = """SELECT merchant_id, object_id, version, type, public,
  data->>'object' AS object, data->>'status' AS status, (data->>'version')::int AS data_version,
  CASE data->>'object' WHEN 'payment' THEN (
    SELECT json_object_agg(a->>'id', a->>'status') FROM json_array_elements(data->'attempts') a
  ) END::text AS attempts
FROM event ORDER BY merchant_id, object_id, version, seq"""
JOURNAL = "SELECT merchant_id, posting_id, account, amount FROM journal ORDER BY merchant_id, seq"
CALLBACKS = (
    "SELECT account_id, out_trade_no, applied_at IS NOT NULL AS applied FROM callback "
    "ORDER BY received_at"
)
ACCOUNTS = "SELECT id, channel FROM channel_account"


@dataclass(slots=True)
class Books:
    """What the gateway believes, at one moment.

    One list a table; the fields are the columns selected above.
    """

    payments: list[Row]
    attempts: list[Row]
    refunds: list[Row]
    claims: list[Row]
    events: list[Row]
    journal: list[Row]
    callbacks: list[Row]
    accounts: list[Row]


async def read_books(dsn: str) -> Books:
    """All tables in one repeatable-read snapshot. Raises asyncpg's and the system's errors."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            tables = [
                [dict(row) for row in await connection.fetch(sql)]
                for sql in (
                    PAYMENTS,
                    ATTEMPTS,
                    REFUNDS,
                    CLAIMS,
                    EVENTS,
                    JOURNAL,
                    CALLBACKS,
                    ACCOUNTS,
                )
            ]
    finally:
        await connection.close()
    books = Books(*tables)
    for attempt in books.attempts:
        attempt["evidence"] = json.loads(attempt["evidence"] or "[]")
    for event in books.events:
        event["attempts"] = json.loads(event["attempts"] or "{}")
    return books


async def read_ledger(sandbox_url: str) -> list[Row]:
    """Every trade of every account, as `GET /_control/ledger` shows it. Raises aiohttp's errors."""
    rows: list[Row] = []
    cursor: str | None = "0"
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        while cursor is not None:
            query = {"cursor": cursor, "limit": str(LEDGER_PAGE_ROWS)}
            async with session.get(f"{sandbox_url}/_control/ledger", params=query) as answer:
                page = await answer.json()
            rows += page["data"]
            cursor = page["next_cursor"]
    return rows


def of_accounts(ledger: Iterable[Row], books: Books) -> list[Row]:
    """The trades at the gateway's own accounts: a sandbox may serve several gateways."""
    ours = {(account["channel"], account["id"]) for account in books.accounts}
    return [trade for trade in ledger if (trade["channel"], trade["account"]) in ours]
