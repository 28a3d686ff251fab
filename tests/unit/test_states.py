"""The three tables, a cell a line; and what is made of them: the database's triggers, the page."""

import itertools
from pathlib import Path

import pytest

from gateway.domain import states as s
from gateway.storage.schema.transition_sql import transition_sql
from tests.tidy.states_page import states_page

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "gateway/storage/schema/migrations"

ILLEGAL = None
CELLS = [
    ("(new)", "sent", "processing"),
    ("(new)", "confirmed", "succeeded"),
    ("(new)", "exhausted", "failed"),
    ("processing", "sent", "processing"),
    ("processing", "payer_needed", "awaiting_payer"),
    ("processing", "confirmed", "succeeded"),
    ("processing", "exhausted", "failed"),
    ("processing", "lost_sight", "in_doubt"),
    ("processing", "cancel_sent", "in_doubt"),
    ("processing", "expired", "expired"),
    ("processing", "canceled", "canceled"),
    ("awaiting_payer", "sent", "processing"),
    ("awaiting_payer", "payer_needed", "awaiting_payer"),
    ("awaiting_payer", "confirmed", "succeeded"),
    ("awaiting_payer", "exhausted", "failed"),
    ("awaiting_payer", "lost_sight", "in_doubt"),
    ("awaiting_payer", "cancel_sent", "in_doubt"),
    ("awaiting_payer", "expired", "expired"),
    ("awaiting_payer", "canceled", "canceled"),
    ("in_doubt", "sent", "processing"),
    ("in_doubt", "payer_needed", "awaiting_payer"),
    ("in_doubt", "confirmed", "succeeded"),
    ("in_doubt", "exhausted", "failed"),
    ("in_doubt", "lost_sight", "in_doubt"),
    ("in_doubt", "cancel_sent", "in_doubt"),
    ("in_doubt", "expired", "expired"),
    ("in_doubt", "canceled", "canceled"),
    ("succeeded", "payer_needed", "succeeded"),
    ("succeeded", "confirmed", "succeeded"),
    ("succeeded", "lost_sight", "succeeded"),
    *((ended, "payer_needed", ended) for ended in ("failed", "expired", "canceled", "paid_late")),
    *(
        (ended, "confirmed", "paid_late")
        for ended in ("failed", "expired", "canceled", "paid_late")
    ),
    *((ended, "exhausted", ended) for ended in ("failed", "expired", "canceled", "paid_late")),
    *((ended, "lost_sight", ended) for ended in ("failed", "expired", "canceled", "paid_late")),
    *((ended, "expired", ended) for ended in ("failed", "expired", "canceled", "paid_late")),
    *((ended, "canceled", ended) for ended in ("failed", "expired", "canceled", "paid_late")),
]
PAYMENT_STATES = [
    "(new)",
    "processing",
    "awaiting_payer",
    "in_doubt",
    "succeeded",
    "failed",
    "expired",
    "canceled",
    "paid_late",
]
PAYMENT_EVENTS = [
    "sent",
    "payer_needed",
    "confirmed",
    "exhausted",
    "lost_sight",
    "cancel_sent",
    "expired",
    "canceled",
]

ATTEMPT = {
    "sent": "pending in_doubt cancelling succeeded declined not_sent reversed",
    "pending": "in_doubt cancelling succeeded declined reversed",
    "in_doubt": "pending cancelling succeeded declined reversed captured_late",
    "cancelling": "reversed succeeded captured_late",
    "declined": "captured_late",
    "not_sent": "captured_late",
    "reversed": "captured_late",
    "captured_late": "returned",
    "succeeded": "",
    "returned": "",
}
REFUND = {
    "requested": "processing in_doubt succeeded failed needs_action",
    "processing": "in_doubt succeeded failed needs_action",
    "in_doubt": "processing succeeded failed needs_action",
    "needs_action": "processing succeeded failed",
    "succeeded": "",
    "failed": "",
}


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(PAYMENT_STATES, PAYMENT_EVENTS))
)
def test_payment_cell(state: s.State, event: s.PaymentEvent):
    to = {(row, column): cell for row, column, cell in CELLS}.get((state, event), ILLEGAL)
    if to is ILLEGAL:
        with pytest.raises(s.IllegalTransition) as refused:
            s.next_state(state, event)
        assert (refused.value.machine, refused.value.state, refused.value.event) == (
            "payment",
            state,
            event,
        )
    else:
        assert s.next_state(state, event) == to


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(PAYMENT_STATES, PAYMENT_EVENTS))
)
def test_overridden_payment_cell(state: s.State, event: s.PaymentEvent):
    """As any other payment's, but it leaves `in_doubt` only to end, and a yes is late money."""
    to = {(row, column): cell for row, column, cell in CELLS}.get((state, event), ILLEGAL)
    if (state, event) == ("in_doubt", "confirmed"):
        to = "paid_late"
    goes_on = to in ("processing", "awaiting_payer") or (to == "succeeded" and state != "succeeded")
    if to is ILLEGAL or (goes_on and (state, event) != ("awaiting_payer", "payer_needed")):
        with pytest.raises(s.IllegalTransition):
            s.next_state(state, event, overridden=True)
    else:
        assert s.next_state(state, event, overridden=True) == to


def test_only_one_move_is_an_overridden_payments_alone():
    assert [(old, to) for old, to, overridden in s.payment_moves() if overridden] == [
        ("in_doubt", "paid_late")
    ]


def test_no_state_and_no_event_is_missing_here():
    assert list(s.PAYMENT) == PAYMENT_STATES
    assert {event for cells in s.PAYMENT.values() for event in cells} == set(PAYMENT_EVENTS)
    assert set(s.ATTEMPT_STATES) == set(ATTEMPT)
    assert set(s.REFUND_STATES) == set(REFUND)


@pytest.mark.parametrize(
    ("machine", "table", "expected"),
    [("attempt", s.ATTEMPT, ATTEMPT), ("refund", s.REFUND, REFUND)],
)
def test_what_may_become_what(machine, table, expected):
    for state, to in itertools.product(expected, expected):
        if to == state or to in expected[state].split():
            assert s.check_move(machine, table, state, to) == to
        else:
            with pytest.raises(s.IllegalTransition):
                s.check_move(machine, table, state, to)


@pytest.mark.parametrize(
    ("group", "members"),
    [
        (s.PAYMENT_UNCHARGED, "failed expired canceled"),
        (s.PAYMENT_FINAL, "failed expired canceled succeeded paid_late"),
        (s.PAYMENT_HOLDING, "processing awaiting_payer in_doubt succeeded"),
        (s.ATTEMPT_LIVE, "sent pending in_doubt cancelling"),
        (s.ATTEMPT_UNCHARGED, "declined not_sent reversed"),
        (s.REFUND_OPEN, "requested processing in_doubt needs_action"),
    ],
)
def test_groups(group, members):
    assert group == set(members.split())


def test_the_newest_migration_of_the_tables_is_these_tables():
    newest = max(MIGRATIONS.glob("*_transitions.sql"))
    _, below = newest.read_text(encoding="utf-8").split("\n", 1)  # the first line says who wrote it
    assert below == transition_sql().split("\n", 1)[1], (
        "a changed table is a new migration: "
        "python -m gateway.storage.schema.transition_sql "
        "> gateway/storage/schema/migrations/NNNN_transitions.sql"
    )


def test_the_page_is_written_from_the_tables():
    assert (ROOT / "docs/states.md").read_text(encoding="utf-8") == states_page(), (
        "run: python -m tests.tidy.states_page > docs/states.md"
    )
