"""Columns and their types, once: the statements of the group writer and the readers are built
from these tuples.

A record travels as the JSON of its own struct, whose fields have the columns' names
(`json_to_recordset`).
"""

from __future__ import annotations

from typing import NamedTuple


class Columns(NamedTuple):
    names: tuple[str, ...]
    types: tuple[str, ...]

    def listed(self, prefix: str = "") -> str:
        """`a, b, c` or `p.a, p.b, p.c`."""
        return ", ".join(prefix + name for name in self.names)

    def recordset(self, parameter: int, alias: str, *more: str) -> str:
        """`json_to_recordset($n) AS alias(a text, ...)`; `more` are its further columns."""
        return f"json_to_recordset(${parameter}::json) AS {alias}({self.typed(*more)})"

    def typed(self, *more: str) -> str:
        """`a text, b int`, and `more`."""
        return ", ".join(
            [*(f"{name} {kind}" for name, kind in zip(self.names, self.types, strict=True)), *more]
        )

    def assigned(self, source: str, skip: frozenset[str]) -> str:
        """`a = source.a, ...` for an UPDATE, without the columns in `skip`."""
        return ", ".join(f"{name} = {source}.{name}" for name in self.names if name not in skip)


def columns(text: str) -> Columns:
    """Lines of `name type`."""
    pairs = [line.split() for line in text.strip().splitlines()]
    return Columns(tuple(name for name, _ in pairs), tuple(kind for _, kind in pairs))


def joined(*groups: Columns) -> Columns:
    return Columns(
        tuple(n for g in groups for n in g.names), tuple(t for g in groups for t in g.types)
    )


CLAIM = columns("""
merchant_id     text
store_id        text
payment_id      text
idempotency_key text
order_no        text
tender_no       int
first_n         int
holds           boolean
fingerprint     text
created_at      timestamptz
numbering       int
""")

PAYMENT_FIXED = columns("""
merchant_id   text
id            text
store_id      text
terminal_id   text
asked_by      text
operator_id   text
order_no      text
tender_no     int
amount        bigint
currency      text
channel       text
flow          text
description   text
metadata      json
tendered      bigint
change        bigint
days          int
created_at    timestamptz
numbering     int
expires_at    timestamptz
notify_url    text
overrides     text
""")

PAYMENT_MOVING = columns("""
version             int
status              text
qr_code             text
business_date       date
channel_date        date
paid_at             timestamptz
payer_masked        text
discounts           json
failure             json
cancel_requested_at timestamptz
cancel_requested_by text
frozen_at           timestamptz
frozen_by           text
late_refund         text
overridden_at       timestamptz
overridden_by       text
""")

ATTEMPT_FIXED = columns("""
id              text
number          int
trade_number    int
channel         text
channel_account text
out_trade_no    text
why             text
worker_id       text
sent_at         timestamptz
send_by         timestamptz
not_after       timestamptz
""")

ATTEMPT_MOVING = columns("""
status           text
epoch            int
due_at           timestamptz
queries          int
not_founds       int
cancels          int
silences         int
last_cancel      text
payer_asked_at   timestamptz
channel_trade_no text
captured_amount  bigint
received_amount  bigint
reserved_amount  bigint
returned_amount  bigint
surplus          boolean
evidence         json
""")

REFUND_FIXED = columns("""
merchant_id     text
id              text
payment_id      text
store_id        text
attempt_id      text
channel         text
channel_account text
refund_no       text
out_refund_no   text
amount          bigint
currency        text
origin          text
reason          text
operator_id     text
terminal_id     text
asked_by        text
idempotency_key text
day_limit       bigint
business_date   date
created_at      timestamptz
""")

REFUND_MOVING = columns("""
version           int
status            text
channel_refund_no text
failure_code      text
channel_code      text
refunded_at       timestamptz
channel_date      date
due_at            timestamptz
stopped_at        timestamptz
tries             int
silences          int
heard             int
evidence          json
""")

EVENT = columns("""
merchant_id text
payment_id  text
id          text
object_id   text
version     int
type        text
public      boolean
data        json
at          timestamptz
notify_url  text
""")

POSTING = columns("""
merchant_id text
payment_id  text
posting_id  text
account     text
amount      bigint
at          timestamptz
""")

CASE = columns("""
merchant_id text
payment_id  text
id          text
kind        text
attempt_id  text
refund_id   text
evidence    json
at          timestamptz
""")

PAYMENT = joined(PAYMENT_FIXED, PAYMENT_MOVING)
ATTEMPT = joined(ATTEMPT_FIXED, ATTEMPT_MOVING)
REFUND = joined(REFUND_FIXED, REFUND_MOVING)
