"""Words that stand in rows: their values are pinned here, whatever the classes are called."""

from datetime import UTC, datetime

import msgspec
import pytest

from gateway.domain import outcomes as o
from gateway.domain.case import Case, CaseKind
from gateway.domain.payment import Evidence, Failure
from gateway.domain.presenting import Flow
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import EvidenceWord, LastCancel, Origin, Source

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)

STORED = {
    PaymentStatus: (
        "processing awaiting_payer in_doubt succeeded failed expired canceled paid_late"
    ),
    AttemptStatus: (
        "sent pending in_doubt cancelling declined not_sent reversed captured_late succeeded"
        " returned"
    ),
    RefundStatus: "requested processing in_doubt needs_action succeeded failed",
    Flow: "code qr",
    Origin: "merchant late surplus",
    LastCancel: "NothingThere CallAgain UseRefund Unknown NotSent",
    Source: (
        "pay query cancel refund refund_query callback sweeper till supervisor case restored"
        " relearned flow webhook"
    ),
    EvidenceWord: (
        "Succeeded Pending PayerActionNeeded Declined AlreadyExists NotSent Mismatch Unknown"
        " NotFound Closed Reversed NothingThere CallAgain UseRefund RefundSucceeded RefundPending"
        " RefundDeclined RefundNotFound Taken CancelSent Overridden Surplus LateAnswerUnclear"
        " IllegalTransition StoreRefused GivenUp callback_unknown_number refund_unknown"
    ),
    CaseKind: (
        "mismatch captured_late captured_surplus override closed_after_success"
        " callback_unknown_number refund_unknown late_answer_unclear long_in_doubt"
        " refund_needs_action refund_long_in_doubt refund_after_all webhook_given_up"
        " illegal_transition store_refused"
    ),
    o.Proof: "P0 P1 P2 P3 P4",
}
WORD_OF = {
    o.Succeeded: "Succeeded",
    o.Pending: "Pending",
    o.PayerActionNeeded: "PayerActionNeeded",
    o.Declined: "Declined",
    o.AlreadyExists: "AlreadyExists",
    o.NotSent: "NotSent",
    o.Mismatch: "Mismatch",
    o.Unknown: "Unknown",
    o.NotFound: "NotFound",
    o.Closed: "Closed",
    o.Reversed: "Reversed",
    o.NothingThere: "NothingThere",
    o.CallAgain: "CallAgain",
    o.UseRefund: "UseRefund",
    o.RefundSucceeded: "RefundSucceeded",
    o.RefundPending: "RefundPending",
    o.RefundDeclined: "RefundDeclined",
    o.RefundNotFound: "RefundNotFound",
}


@pytest.mark.parametrize("words", STORED, ids=lambda words: words.__name__)
def test_what_rows_hold_stays_what_it_is(words):
    assert [word.value for word in words] == STORED[words].split()


def test_every_outcome_has_its_word():
    outcomes = {
        each
        for union in (o.QueryOutcome, o.CancelOutcome, o.RefundQueryOutcome)
        for each in union.__args__
    }
    assert outcomes == set(WORD_OF)
    assert {outcome: outcome.word for outcome in outcomes} == WORD_OF


@pytest.mark.parametrize("outcome", o.CancelOutcome.__args__, ids=lambda each: each.__name__)
def test_every_cancel_that_ends_nothing_can_be_remembered(outcome):
    assert (outcome.word in set(LastCancel)) == (outcome is not o.Reversed)


def test_a_row_from_before_the_enums_is_read_and_written_back_alike():
    old = (
        b'[{"at":"2026-11-21T04:00:00Z","source":"pay","outcome":"Declined","proof":"P1",'
        b'"code":"LOW","words":"{}"},{"at":"2026-11-21T04:00:01Z","source":"sweeper",'
        b'"outcome":"CancelSent"}]'
    )
    read = msgspec.json.decode(old, type=tuple[Evidence, ...])
    assert read[0] == Evidence(
        at=NOW,
        source=Source.PAY,
        outcome=EvidenceWord.DECLINED,
        proof=o.Proof.SIGNED_REFUSAL,
        code="LOW",
        words="{}",
    )
    assert msgspec.json.encode(read) == old


def test_evidence_of_a_newer_worker_is_kept_as_it_stands():
    """Two versions run side by side during an upgrade: what one notes, the other keeps."""
    newer = b'[{"at":"2026-11-21T04:00:00Z","source":"kiosk","outcome":"Waved"}]'
    read = msgspec.json.decode(newer, type=tuple[Evidence, ...])
    assert (read[0].source, read[0].outcome) == ("kiosk", "Waved")
    assert msgspec.json.encode(read) == newer
    assert "Waved" not in list(EvidenceWord), "the list of our own words does not grow"


def test_what_decides_is_never_guessed():
    for value in (
        b'{"code":"struck_by_lightning","retry":"none"}',
        b'{"code":"canceled","retry":"maybe"}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(value, type=Failure)


def test_the_kind_of_a_mismatch_names_its_field():
    item = Evidence(at=NOW, source=Source.QUERY, outcome=EvidenceWord.MISMATCH)
    assert [
        Case(id="case_1", kind=kind, field=field, evidence=item).name
        for kind, field in ((CaseKind.MISMATCH, "total_amount"), (CaseKind.OVERRIDE, ""))
    ] == ["mismatch_total_amount", "override"]
