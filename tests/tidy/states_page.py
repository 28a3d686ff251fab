"""docs/states.md, from the tables of `states`: `python -m tests.tidy.states_page` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TypeVar

from gateway.domain.states import (
    ATTEMPT,
    ATTEMPT_STATES,
    NEW,
    OVERRIDDEN,
    PAYMENT,
    PAYMENT_STATES,
    REFUND,
    REFUND_STATES,
    STAY,
    State,
    payment_moves,
)
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.verdicts import verdict_of
from tests.unit.paying import attempt, payment

S = TypeVar("S", AttemptStatus, RefundStatus)

HEAD = """\
# States

<!-- Written by `python -m tests.tidy.states_page` from gateway/domain/states.py;
a test compares the two. -->

Three small machines. The database's triggers are generated from the same tables
(`python -m gateway.storage.schema.transition_sql`), so PostgreSQL refuses what is not in them.
Every change raises `version` by one and writes an event row.
"""

PAYMENT_HEAD = """
## Payment

What the till asked for. There is no "created": a row exists only once it is durable as sent.

"""

PAYMENT_MEANING = {
    "processing": "durable and sent",
    "awaiting_payer": "the customer types a password, or a QR code is shown",
    "in_doubt": "the answer is unknown, or a cancel is under way",
    "succeeded": "paid",
    "failed": "proven not charged",
    "expired": "proven not charged: the customer did not act in time",
    "canceled": "proven not charged: the till asked for it",
    "paid_late": (
        "money came after we had said no, or after an override; "
        "it is given back by a refund of the same write"
    ),
}

TABLE_HEAD = """
An empty cell is illegal: it raises, changes nothing, is counted and opens a case. `=` keeps the
status: what else changes is still one durable write, with `version` + 1 and no public event.
`expired` and `canceled` come only after the channel proved it.

"""

EVENTS_MEANING = """
`sent`: an attempt is durable · `payer_needed`: the channel waits for the customer ·
`confirmed`: the live or settling attempt said yes · `exhausted`: a proven no ·
`lost_sight`: a pay or cancel call without a usable answer ·
`cancel_sent`: a cancel is about to leave.

*Overridden*: a supervisor let another tender of the order open while this payment was `in_doubt`.
It stays `in_doubt` until it ends, and it can no longer become `succeeded`: a yes makes it
`paid_late`.
"""

ATTEMPT_HEAD = """
## Attempt

One try on one channel account, under one channel order number. `declined`, `not_sent` and
`reversed` need stored evidence; `cancelling` is durable before a cancel leaves, and a yes meanwhile
is kept as evidence only, because the cancel may still take the money back. From `in_doubt` or
`cancelling` straight to `captured_late` goes only the attempt of an overridden payment.

"""

ATTEMPT_MEANING = {
    "sent": "durable; its request may leave until `send_by`",
    "pending": "the channel has it and waits",
    "in_doubt": "the answer is unknown",
    "cancelling": "a cancel was sent or is about to be",
    "declined": "a signed refusal of its only send (P1)",
    "not_sent": "no byte of it left (P0)",
    "reversed": "closed, revoked, cancelled, or never arrived (P2, P3, P4)",
    "captured_late": "it captured after all; the refund is under way",
    "succeeded": "it captured",
    "returned": "the late capture was given back whole",
}

REFUND_HEAD = """
## Refund

Its number is fixed before anything is sent, and kept for every repeat. `failed` is said only on
proof that no money moved; a refund of money that came late or twice (origin `late`, `surplus`)
never fails, it waits for a person.

"""

REFUND_MEANING = {
    "requested": "durable, its amount reserved",
    "processing": "the channel accepted it; the money is on its way",
    "in_doubt": "the answer is unknown: asked about, and sent again under the same number",
    "needs_action": (
        "the channel refused it for now; a person must mend something. Its reservation stands"
    ),
    "succeeded": "the money went back",
    "failed": "proven that no money moved",
}


def states_page() -> str:
    """The whole page."""
    return "".join(
        (
            HEAD,
            PAYMENT_HEAD,
            _rows(
                ("status", "means", "verdict"),
                [(f"`{s}`", PAYMENT_MEANING[s], _verdict(s)) for s in PAYMENT_STATES],
            ),
            TABLE_HEAD,
            _payment_table(),
            EVENTS_MEANING,
            _diagram(_payment_moves()),
            ATTEMPT_HEAD,
            _reach(ATTEMPT_STATES, ATTEMPT, ATTEMPT_MEANING),
            _diagram((state, to) for state in ATTEMPT for to in sorted(ATTEMPT[state])),
            REFUND_HEAD,
            _reach(REFUND_STATES, REFUND, REFUND_MEANING),
            _diagram((state, to) for state in REFUND for to in sorted(REFUND[state])),
        )
    )


def _verdict(status: PaymentStatus) -> str:
    """Every verdict that a payment of this status may have, by what became of its money."""
    if status is PaymentStatus.SUCCEEDED:
        settled = [
            attempt("succeeded", returned_amount=returned, reserved_amount=reserved)
            for returned, reserved in ((0, 0), (0, 1000), (1000, 0))
        ]
        possible = [payment(status, each) for each in settled]
    elif status is PaymentStatus.PAID_LATE:
        refunds = (RefundStatus.REQUESTED, RefundStatus.SUCCEEDED, RefundStatus.NEEDS_ACTION)
        possible = [payment(status, late_refund=refund) for refund in refunds]
    else:
        possible = [payment(status)]
    return ", ".join(f"`{verdict_of(each).code}`" for each in possible)


def _payment_table() -> str:
    events = list(PAYMENT[PaymentStatus.PROCESSING])
    assert all(event in events for cells in PAYMENT.values() for event in cells), (
        "the first full row names every event"
    )
    rows = [
        (NEW if state == NEW else f"`{state}`", *(_cells(state, event) for event in events))
        for state in PAYMENT
    ]
    return _rows(("status \\ event", *(f"`{event}`" for event in events)), rows)


def _cell(to: str | None) -> str:
    if to is None:
        return ""
    return STAY if to == STAY else f"`{to}`"


def _cells(state: State, event: str) -> str:
    """The cell, and what an overridden payment has there."""
    plain, overridden = PAYMENT[state].get(event), OVERRIDDEN[state].get(event)
    return (
        _cell(plain) if overridden is None else f"{_cell(plain)}; overridden: {_cell(overridden)}"
    )


def _payment_moves() -> Iterable[tuple[str, str]]:
    for state, to, _ in payment_moves():
        yield "[*]" if state == NEW else state, to


def _reach(states: Iterable[S], table: Mapping[S, frozenset[S]], meaning: Mapping[str, str]) -> str:
    rows = [
        (
            f"`{s}`",
            meaning[s],
            " ".join(f"`{to}`" for to in sorted(table.get(s, ()))) or "(the end)",
        )
        for s in states
    ]
    return _rows(("status", "means", "may become"), rows)


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _diagram(moves: Iterable[tuple[str, str]]) -> str:
    arrows = "".join(f"    {state} --> {to}\n" for state, to in moves)
    return f"\n```mermaid\nstateDiagram-v2\n{arrows}```\n"


if __name__ == "__main__":
    sys.stdout.write(states_page())
