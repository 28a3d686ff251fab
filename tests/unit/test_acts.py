"""What the sweeper and a till do to a payment, without any channel's word."""

import pytest

from gateway.domain.acts import cancel_requested, cancel_sent, taken
from gateway.domain.states import IllegalTransition
from tests.unit.paying import NOW, attempt, occasion, payment


@pytest.mark.parametrize(
    ("status", "tried"),
    [("processing", "sent"), ("awaiting_payer", "pending"), ("in_doubt", "in_doubt")],
)
def test_a_cancel_is_written_before_it_leaves(status, tried):
    change = cancel_sent(payment(status, attempt(tried)), attempt(tried), occasion("sweeper"))
    assert (change.payment.status, change.payment.current.status) == ("in_doubt", "cancelling")


@pytest.mark.parametrize("tried", ["succeeded", "declined", "reversed", "captured_late"])
def test_what_has_ended_is_not_cancelled(tried):
    status = {"succeeded": "succeeded", "captured_late": "paid_late"}.get(tried, "failed")
    with pytest.raises(IllegalTransition):
        cancel_sent(payment(status, attempt(tried)), attempt(tried), occasion("sweeper"))


def test_a_takeover_raises_epoch_and_version():
    change = taken(payment(), attempt(), occasion("sweeper"))
    a = change.payment.current
    assert (change.payment.status, change.payment.version, a.status, a.epoch) == (
        "in_doubt",
        4,
        "in_doubt",
        2,
    )


def test_a_wish_to_cancel_moves_no_status_and_is_no_public_event():
    change = cancel_requested(payment("awaiting_payer"), occasion("till"), by="key_1")
    assert (change.payment.status, change.payment.cancel_requested_at, change.payment.version) == (
        "awaiting_payer",
        NOW,
        4,
    )
    assert [(event.type, event.public) for event in change.events] == [("payment.updated", False)]
