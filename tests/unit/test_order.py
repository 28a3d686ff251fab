"""An order of several tenders, a line a case: what counts, and which tender may open.

And what an override does to a payment.
"""

import pytest
from msgspec.structs import replace

from gateway.domain import order as o
from gateway.domain import outcomes
from gateway.domain.acts import cancel_sent, overridden
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.learning import learned
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Payment
from gateway.domain.states import IllegalTransition
from gateway.domain.words import Source
from tests.unit.paying import NOW, attempt, occasion, payment, said

YES = outcomes.Succeeded(amount=1000, channel_trade_no="C1")


def tender(
    status: str, amount: int = 1000, tender_no: int = 1, returned: int = 0, **fields
) -> Payment:
    kinds = {"succeeded": "succeeded", "failed": "reversed", "paid_late": "captured_late"}
    tried = attempt(kinds.get(status, "in_doubt"), captured_amount=amount, returned_amount=returned)
    return payment(
        status, tried, id=f"pay_{tender_no}", tender_no=tender_no, amount=amount, **fields
    )


def named(paid: Payment) -> Payment:
    return overridden(paid, by="pay_9", words="ann: queue", occasion=occasion("supervisor")).payment


@pytest.mark.parametrize(
    ("held", "counts"),
    [
        (tender("processing"), 1000),
        (tender("awaiting_payer"), 1000),
        (tender("in_doubt"), 1000),
        (tender("succeeded"), 1000),
        (tender("succeeded", returned=400), 600),
        (tender("succeeded", returned=1000), 0),
        (tender("failed"), 0),
        (tender("paid_late"), 0),
        (named(tender("in_doubt")), 0),
    ],
    ids=lambda case: (
        f"{case.status}-{case.settling.returned_amount if case.settling else 0}"
        if isinstance(case, Payment)
        else str(case)
    ),
)
def test_what_counts(held, counts):
    assert o.counts(held) == counts


def test_money_of_a_surplus_that_went_back_gives_no_room():
    surplus = attempt("returned", id="att_0", returned_amount=1000)
    assert o.counts(payment("succeeded", surplus, attempt("succeeded"))) == 1000


FREE = None
DOUBT = tender("in_doubt", 300, 2)
LATER = tender("in_doubt", 200, 4)
CASES = [
    # amount, order_amount said, fixed before, the others, expectation
    (1000, None, None, [], FREE),
    (1000, None, None, [tender("succeeded", 9000, 2)], FREE),
    (1000, 1000, None, [], FREE),
    (1001, 1000, None, [], o.WouldOverpay(1000, 0)),
    (400, 1000, None, [tender("succeeded", 600, 2)], FREE),
    (401, 1000, None, [tender("succeeded", 600, 2)], o.WouldOverpay(1000, 600)),
    (401, None, 1000, [tender("processing", 600, 2)], o.WouldOverpay(1000, 600)),
    (401, 1000, 1000, [tender("succeeded", 600, 2, returned=1)], FREE),
    (400, 999, 1000, [], o.OrderAmountFixed(1000)),
    (
        400,
        1000,
        1000,
        [tender("awaiting_payer", 300, 2), tender("succeeded", 301, 3)],
        o.WouldOverpay(1000, 601),
    ),
    (100, None, None, [DOUBT], o.AnotherInDoubt(DOUBT)),
    (9000, 1000, None, [DOUBT], o.AnotherInDoubt(DOUBT)),
    # wherever it stands among the others
    (100, None, None, [tender("succeeded", 1, 3), DOUBT], o.AnotherInDoubt(DOUBT)),
    (100, None, None, [DOUBT, tender("succeeded", 1, 3)], o.AnotherInDoubt(DOUBT)),
    (100, None, None, [named(DOUBT), tender("processing", 1, 3), LATER], o.AnotherInDoubt(LATER)),
    (100, None, None, [tender("awaiting_payer", 1, 3), LATER, DOUBT], o.AnotherInDoubt(LATER)),
    (1000, 1000, None, [named(DOUBT)], FREE),
    (1000, 1000, None, [named(DOUBT), tender("succeeded", 1, 3)], o.WouldOverpay(1000, 1)),
]


@pytest.mark.parametrize(("amount", "said_amount", "fixed", "others", "expected"), CASES)
def test_may_it_open(amount, said_amount, fixed, others, expected):
    assert (
        o.refusal(tender("processing", amount), o.OrderTerms(amount=said_amount), fixed, others)
        == expected
    )


def test_an_override_speaks_of_the_payment_it_names_and_of_no_other():
    change = overridden(DOUBT, by="pay_9", words="ann: queue", occasion=occasion("supervisor"))
    terms = o.OrderTerms(
        amount=1000, override=o.Override(change=change, supervisor_id="ann", reason="queue")
    )
    other = tender("in_doubt", 100, 3)
    assert o.refusal(tender("processing"), terms, None, [DOUBT]) is None
    assert o.refusal(tender("processing"), terms, None, [DOUBT, other]) == o.AnotherInDoubt(other)


def test_a_tender_that_failed_in_its_one_write_takes_no_room():
    assert o.refusal(tender("failed", 5000), o.OrderTerms(amount=1000), None, []) is None


# --- what becomes of the payment that was named


def in_doubt(status: str = "in_doubt", **fields) -> Payment:
    return payment("in_doubt", attempt(status, due_at=NOW, **fields))


def test_the_override_is_noted_and_a_person_hears_of_it():
    change = overridden(in_doubt(), by="pay_9", words="ann: queue", occasion=occasion("supervisor"))
    after = change.payment
    assert (after.status, after.version, after.overridden_at, after.overridden_by) == (
        "in_doubt",
        4,
        NOW,
        "pay_9",
    )
    assert (after.current.evidence[-1].source, after.current.evidence[-1].words) == (
        "supervisor",
        "ann: queue",
    )
    assert change.case is not None
    assert (change.case.name, [(event.type, event.public) for event in change.events]) == (
        "override",
        [("payment.updated", False)],
    )


def test_a_second_override_keeps_the_first():
    again = overridden(
        named(in_doubt()), by="pay_10", words="bob: again", occasion=occasion("supervisor")
    ).payment
    assert (again.overridden_by, again.version) == ("pay_9", 5)


@pytest.mark.parametrize(
    ("status", "last_cancel", "outcome", "source", "expected"),
    [
        ("in_doubt", None, YES, "query", ("paid_late", "captured_late", 1000)),
        ("in_doubt", None, YES, "callback", ("paid_late", "captured_late", 1000)),
        ("in_doubt", None, YES, "pay", ("paid_late", "captured_late", 1000)),
        ("pending", None, YES, "query", ("paid_late", "captured_late", 1000)),
        ("cancelling", None, YES, "query", ("in_doubt", "cancelling", None)),
        ("cancelling", "Unknown", YES, "query", ("in_doubt", "cancelling", None)),
        ("cancelling", "UseRefund", YES, "query", ("paid_late", "captured_late", 1000)),
        ("in_doubt", None, outcomes.Pending(), "query", ("in_doubt", "in_doubt", None)),
        ("in_doubt", None, outcomes.PayerActionNeeded(), "query", ("in_doubt", "in_doubt", None)),
        ("in_doubt", None, outcomes.NotFound(), "query", ("in_doubt", "in_doubt", None)),
        (
            "in_doubt",
            None,
            outcomes.Unknown(reason="timeout"),
            "query",
            ("in_doubt", "in_doubt", None),
        ),
        (
            "in_doubt",
            None,
            outcomes.Closed(was_charged=False),
            "query",
            ("failed", "reversed", None),
        ),
        ("cancelling", None, outcomes.Reversed(), "cancel", ("failed", "reversed", None)),
    ],
)
def test_what_becomes_of_an_overridden_payment(status, last_cancel, outcome, source, expected):
    before = named(in_doubt(status, last_cancel=last_cancel))
    change = learned(before, before.current, outcome, occasion(source))
    assert change is not None
    refund = change.new_refund
    if refund is not None:
        assert (refund.origin, refund.refund_no, change.payment.late_refund) == (
            "late",
            "late.TT1",
            "requested",
        )
        assert change.payment.attempts[0].refundable == 0
    assert (
        change.payment.status,
        change.payment.attempts[0].status,
        refund.amount if refund else None,
    ) == expected


def test_no_other_account_goes_on_with_an_overridden_payment():
    before = named(in_doubt())
    asked: list[object] = []
    given = occasion("query")
    watching = Occasion(
        now=NOW,
        source=Source.QUERY,
        new_id=given.new_id,
        numbers=Numbers("TT"),
        days=Days(),
        successor=lambda *about: asked.append(about),
    )
    change = learned(before, before.current, outcomes.Closed(was_charged=False), watching)
    assert change is not None
    assert (change.payment.status, asked) == ("failed", [])


def test_its_end_uncharged_and_late_money_after_that_are_as_ever():
    before = named(in_doubt())
    ended = learned(before, before.current, outcomes.Closed(was_charged=False), occasion("query"))
    assert ended is not None
    late = learned(
        ended.payment, ended.payment.attempts[0], YES, occasion("query", asked_after_end=True)
    )
    assert late is not None
    assert (late.payment.status, late.new_refund.origin if late.new_refund else None) == (
        "paid_late",
        "late",
    )


def test_an_ended_attempt_of_an_overridden_payment_that_captured_is_surplus():
    first = attempt("reversed", id="att_0", out_trade_no="TT0", evidence=said("Reversed"))
    before = named(payment("in_doubt", first, attempt("in_doubt", number=2)))
    change = learned(before, before.attempts[0], YES, occasion("query", asked_after_end=True))
    assert change is not None
    assert (change.payment.status, change.new_refund.origin if change.new_refund else None) == (
        "in_doubt",
        "surplus",
    )


def test_a_frozen_payment_that_was_overridden_waits_for_the_person():
    before = replace(named(in_doubt()), frozen_at=NOW)
    change = learned(before, before.current, YES, occasion("query"))
    assert change is not None
    assert (change.payment.status, change.new_refund) == ("in_doubt", None)


def test_a_cancel_may_still_leave():
    assert (
        cancel_sent(
            named(in_doubt()), named(in_doubt()).current, occasion("sweeper")
        ).payment.status
        == "in_doubt"
    )


def test_who_has_ended_cannot_be_overridden():
    with pytest.raises(IllegalTransition):
        overridden(
            payment("succeeded", attempt("succeeded")),
            by="pay_9",
            words="",
            occasion=occasion("supervisor"),
        )
