"""Evidence is for people: bounded, and nothing is decided by it."""

import pytest
from msgspec.structs import replace

from gateway.domain import acts
from gateway.domain import outcomes as o
from gateway.domain.ending import payer_was_asked
from gateway.domain.learning import learned
from gateway.domain.occasion import Outcome
from gateway.domain.payment import Payment
from gateway.domain.statuses import AttemptStatus
from gateway.limits import EVIDENCE_CHARS_MAX, EVIDENCE_ITEMS_MAX
from tests.unit.paying import attempt, occasion, payment, said

YES = o.Succeeded(amount=1000, channel_trade_no="C1")


def test_evidence_is_bounded_and_keeps_its_first_and_last():
    now = payment("in_doubt", attempt("in_doubt"))
    for n in range(3 * EVIDENCE_ITEMS_MAX):
        change = learned(
            now,
            now.current,
            o.Unknown(reason=f"r{n}", evidence="x" * (EVIDENCE_CHARS_MAX + 1)),
            occasion(),
        )
        assert change is not None
        now = change.payment
    codes = [item.code for item in now.current.evidence]
    assert (len(codes), codes[0], codes[-1]) == (
        EVIDENCE_ITEMS_MAX,
        "r0",
        f"r{3 * EVIDENCE_ITEMS_MAX - 1}",
    )
    assert {len(item.words) for item in now.current.evidence} == {EVIDENCE_CHARS_MAX}


def test_news_after_the_end_never_push_its_proof_out():
    proof = replace(said("Declined")[0], proof=o.Proof.SIGNED_REFUSAL)
    now = payment("failed", attempt("declined", evidence=(*said(*["Unknown"] * 12), proof)))
    for _ in range(30):
        now = told(now, o.Mismatch(field="amount", expected="1", got="2"), "callback")
    assert proof in now.attempts[0].evidence
    assert len(now.attempts[0].evidence) <= EVIDENCE_ITEMS_MAX + 1


def told(now: Payment, outcome: Outcome, source: str) -> Payment:
    change = learned(now, now.attempts[0], outcome, occasion(source))
    assert change is not None
    return change.payment


def test_whose_money_it_is_stays_known_when_the_evidence_of_it_is_dropped():
    """Twelve notes before the money came beside the second attempt's, seventeen after."""
    first = attempt("reversed", evidence=said(*["Unknown"] * 12))
    second = attempt("reversed", id="att_2", number=2, trade_number=2, out_trade_no="TT2")
    now = payment("in_doubt", first, replace(second, status=AttemptStatus.IN_DOUBT))
    since = occasion("query", asked_after_end=True)
    surplus = learned(now, now.attempts[0], YES, since)
    assert surplus is not None
    failed = replace(payment("failed"), attempts=(surplus.payment.attempts[0], second))
    late = learned(failed, failed.attempts[1], YES, since)
    assert late is not None
    now = late.payment
    for _ in range(17):
        now = told(now, o.Mismatch(field="amount", expected="1", got="2"), "callback")
    assert "Surplus" not in [item.outcome for item in now.attempts[0].evidence]
    assert now.settling is not None
    assert (now.settling.id, [a.surplus for a in now.attempts]) == ("att_2", [True, False])


def test_that_the_payer_was_asked_stays_known_when_the_evidence_of_it_is_dropped():
    """The channel waited for the payer; then came more cancels than the evidence keeps."""
    now = payment("in_doubt", attempt("in_doubt"))
    now = told(now, o.PayerActionNeeded(), "query")
    now = acts.cancel_sent(now, now.current, occasion("sweeper")).payment
    for _ in range(2 * EVIDENCE_ITEMS_MAX):
        now = told(now, o.CallAgain(), "cancel")
    bare = replace(now, attempts=(replace(now.current, evidence=()),))
    for each in (now, bare):
        assert told(each, o.Reversed(), "cancel").status == "expired"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("PayerActionNeeded/pay", True),
        ("PayerActionNeeded/callback", True),
        ("Unknown/pay PayerActionNeeded/query", True),
        ("PayerActionNeeded/pay Unknown/cancel", True),  # a cancel's answer tells no state
        ("PayerActionNeeded/pay Unknown/restored", True),  # nor does our own search
        ("PayerActionNeeded/pay Unknown/query", False),
        ("PayerActionNeeded/pay Pending/query", False),
        ("PayerActionNeeded/pay NotFound/query PayerActionNeeded/query", True),
    ],
)
def test_whether_the_payer_was_asked_is_the_last_thing_that_was_said(words, asked):
    outcomes: dict[str, Outcome] = {
        "PayerActionNeeded": o.PayerActionNeeded(),
        "Unknown": o.Unknown(reason="timeout"),
        "Pending": o.Pending(),
        "NotFound": o.NotFound(),
    }
    now = payment("processing", attempt("sent"))
    for each in words.split():
        word, source = each.split("/")
        now = told(now, outcomes[word], source)
    assert payer_was_asked(now, now.current) is asked
