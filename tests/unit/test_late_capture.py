"""Money after a no: which refund it makes, and whose money it is."""

import pytest

from gateway.domain import outcomes as o
from gateway.domain.late_money import late_refund
from gateway.domain.learning import learned
from gateway.domain.words import Origin
from tests.unit.paying import NOW, attempt, occasion, payment

YES = o.Succeeded(amount=1000, channel_trade_no="C1")


@pytest.mark.parametrize(
    ("status", "tried", "origin"),
    [
        ("failed", "declined", "late"),
        ("canceled", "reversed", "late"),
        ("succeeded", "reversed", "surplus"),
        ("in_doubt", "declined", "surplus"),
        ("paid_late", "reversed", "surplus"),
    ],
)
def test_money_after_a_no_is_refunded_in_the_same_change(status, tried, origin):
    """Of a payment with a second attempt that settled, or is live, the first attempt's yes never
    moves the payment.
    """
    second = {"succeeded": "succeeded", "in_doubt": "in_doubt", "paid_late": "captured_late"}.get(
        status
    )
    others = (
        (attempt(second, id="att_2", number=2, trade_number=2, out_trade_no="TT2"),)
        if second
        else ()
    )
    before = payment(status, attempt(tried), *others)
    change = learned(before, before.attempts[0], YES, occasion("query", asked_after_end=True))
    assert change is not None
    assert change.new_refund is not None
    refund, first = change.new_refund, change.payment.attempts[0]
    assert (refund.refund_no, refund.origin, refund.amount, refund.status, refund.attempt_id) == (
        f"{origin}.TT1",
        origin,
        1000,
        "requested",
        first.id,
    )
    assert refund.due_at == NOW
    assert (first.status, first.captured_amount, first.reserved_amount) == (
        "captured_late",
        1000,
        1000,
    )
    assert change.payment.status == ("paid_late" if origin == "late" else status)
    assert change.payment.late_refund == ("requested" if origin == "late" else before.late_refund)
    assert [event.type for event in change.events] == [
        f"payment.{'paid_late' if origin == 'late' else 'updated'}",
        "refund.requested",
    ]
    assert change.case is not None
    assert change.case.name == f"captured_{origin}"
    assert change.payment.attempts[1:] == before.attempts[1:]


def test_a_late_refund_has_the_same_numbers_whenever_it_is_drawn():
    first, second = (
        late_refund(payment(), attempt("captured_late"), Origin.LATE, occasion()) for _ in range(2)
    )
    assert (first.refund_no, first.out_refund_no) == (second.refund_no, second.out_refund_no)
    assert first.id != second.id
