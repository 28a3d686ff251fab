"""After a restore: one attempt has ended, and a channel knows a later one that the books lost."""

from gateway.domain import outcomes as o
from gateway.domain.case import CaseKind
from gateway.domain.learning import learned
from gateway.domain.relearned import gone_on
from tests.unit.paying import NOW, attempt, later, occasion, payment

CLOSED = o.Closed(was_charged=False)
FOUND = attempt("in_doubt", id="att_2", number=2, trade_number=2, out_trade_no="TT2")


def test_the_end_of_one_attempt_is_not_the_end_of_its_payment():
    was = payment(
        "awaiting_payer",
        attempt("pending"),
        flow="qr",
        qr_code="https://qr",
        cancel_requested_at=later(-3),
    )
    end = learned(was, was.current, CLOSED, occasion("query"))
    assert end is not None
    assert end.payment.status == "canceled"
    change = gone_on(was, end, FOUND, occasion("restored"))
    now = change.payment
    assert (now.status, now.version, now.failure) == ("in_doubt", was.version + 1, None)
    assert now.attempts == (*end.payment.attempts, FOUND)
    assert [a.status for a in now.attempts] == ["reversed", "in_doubt"]
    assert change.new_attempt is FOUND
    assert now.qr_code is None, "the code on display was the ended attempt's"
    assert now.cancel_requested_at == later(-3), "the till's wish holds for the payment"
    assert [(e.type, e.public, e.at) for e in change.events] == [("payment.in_doubt", True, NOW)]


def test_a_person_who_let_it_go_on_is_heard():
    """The finding that ended the attempt thawed the payment; a case of the end comes along."""
    was = payment("in_doubt", attempt("in_doubt"), frozen_at=later(-9), frozen_by="att_1")
    thawed = payment("in_doubt", attempt("in_doubt"))
    end = learned(thawed, thawed.current, CLOSED, occasion("case"))
    assert end is not None
    change = gone_on(was, end, FOUND, occasion("restored"))
    assert (change.payment.frozen_at, change.payment.frozen_by) == (None, None)
    assert change.case is end.case


def test_the_case_of_the_end_is_opened_with_it():
    was = payment("in_doubt", attempt("in_doubt"), frozen_at=later(-9), frozen_by="att_1")
    other = o.Mismatch(field="amount", expected="1000", got="1")
    end = learned(was, was.current, other, occasion("query"))
    assert end is not None
    change = gone_on(was, end, FOUND, occasion("restored"))
    assert change.case is not None
    assert (change.case.kind, change.payment.frozen_by) == (CaseKind.MISMATCH, "att_1")
