"""What an outcome does to a payment: one line a case, what becomes of it after the bar.

Before the bar: payment status, attempt status, marks (- for none), outcome, who said it. After it:
payment status, attempt status, proof, public event, case; or `nothing` (a true repeat, or a word
that no longer counts) or `illegal`.

Marks: cr the till asked to cancel · frozen · lc:X the last cancel's outcome · proof P4's clock has
run out · asked the channel waits for the payer · since the question was asked after the attempt had
ended · refunded our refunds explain a closed trade.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.learning import learned
from gateway.domain.occasion import Outcome
from gateway.domain.payment import Payment
from tests.unit.paying import NOW, attempt, later, occasion, payment

OUTCOMES: dict[str, Outcome] = {
    "yes": o.Succeeded(amount=1000, channel_trade_no="C1"),
    "yes_999": o.Succeeded(amount=999, channel_trade_no="C1"),
    "pending": o.Pending(channel_code="ACCEPT"),
    "typing": o.PayerActionNeeded(channel_code="USERPAYING"),
    "no": o.Declined(
        code=o.FailureCode.INSUFFICIENT_BALANCE,
        retry=o.Retry.OTHER_METHOD,
        failover_useful=False,
        channel_code="LOW",
    ),
    "exists": o.AlreadyExists(),
    "not_sent": o.NotSent(reason="refused"),
    "other_order": o.Mismatch(field="order", expected="a", got="b"),
    "silence": o.Unknown(reason="timeout"),
    "absent": o.NotFound(),
    "closed": o.Closed(was_charged=False),
    "closed_paid": o.Closed(was_charged=True),
    "closed_?": o.Closed(was_charged=None),
    "reversed": o.Reversed(was_charged=False),
    "gave_back": o.Reversed(was_charged=True),
    "nothing_there": o.NothingThere(),
    "again": o.CallAgain(),
    "use_refund": o.UseRefund(),
}

TABLE = """
# the answer to the only send
processing sent - yes pay         | succeeded succeeded - payment.succeeded -
processing sent - pending pay     | processing pending - - -
processing sent - typing pay      | awaiting_payer pending - payment.awaiting_payer -
processing sent - no pay          | failed declined P1 payment.failed -
processing sent cr no pay         | canceled declined P1 payment.canceled -
processing sent - not_sent pay    | failed not_sent P0 payment.failed -
processing sent cr not_sent pay   | canceled not_sent P0 payment.canceled -
processing sent - exists pay      | in_doubt in_doubt - payment.in_doubt -
processing sent - silence pay     | in_doubt in_doubt - payment.in_doubt -
processing sent - other_order pay | in_doubt in_doubt - payment.in_doubt mismatch_order
processing sent - yes_999 pay     | in_doubt in_doubt - payment.in_doubt mismatch_amount

# it came after somebody took the attempt over: a no proves nothing any more, a yes is still a yes
in_doubt in_doubt - no pay       | nothing
in_doubt in_doubt - not_sent pay | nothing
in_doubt cancelling - no pay     | nothing
in_doubt pending - no pay        | nothing
in_doubt in_doubt - yes pay      | succeeded succeeded - payment.succeeded -
in_doubt in_doubt - typing pay   | awaiting_payer pending - payment.awaiting_payer -
in_doubt in_doubt - silence pay  | in_doubt in_doubt - - -
failed reversed - no pay         | nothing

# queries
processing pending - yes query               | succeeded succeeded - payment.succeeded -
awaiting_payer pending - yes query           | succeeded succeeded - payment.succeeded -
awaiting_payer pending cr yes query          | succeeded succeeded - payment.succeeded -
in_doubt in_doubt - yes query                | succeeded succeeded - payment.succeeded -
in_doubt in_doubt - yes callback             | succeeded succeeded - payment.succeeded -
in_doubt in_doubt - yes case                 | succeeded succeeded - payment.succeeded -
processing sent - yes callback               | succeeded succeeded - payment.succeeded -
in_doubt in_doubt - pending query            | in_doubt pending - - -
in_doubt in_doubt - typing query             | awaiting_payer pending - payment.awaiting_payer -
awaiting_payer pending - typing query        | awaiting_payer pending - - -
awaiting_payer pending - silence query       | awaiting_payer pending - - -
awaiting_payer pending - not_sent query      | awaiting_payer pending - - -
in_doubt in_doubt - silence query            | in_doubt in_doubt - - -
in_doubt in_doubt - absent query             | in_doubt in_doubt - - -
in_doubt in_doubt proof absent query         | in_doubt in_doubt - - -
processing pending - closed query            | failed reversed P2 payment.failed -
awaiting_payer pending asked closed query    | expired reversed P2 payment.expired -
awaiting_payer pending asked,cr closed query | canceled reversed P2 payment.canceled -
in_doubt in_doubt - closed query             | failed reversed P2 payment.failed -
in_doubt in_doubt cr closed query            | canceled reversed P2 payment.canceled -
in_doubt in_doubt - closed_paid callback     | failed reversed P2 payment.failed -
in_doubt in_doubt - closed_? query           | failed reversed P2 payment.failed -
processing sent - closed callback            | failed reversed P2 payment.failed -
in_doubt in_doubt - no query                 | failed reversed P2 payment.failed -
in_doubt in_doubt - no callback              | failed reversed P2 payment.failed -

# a cancel is under way: a yes moves nothing, because the cancel may still take the money back
in_doubt cancelling - yes query                | in_doubt cancelling - - -
in_doubt cancelling - yes callback             | in_doubt cancelling - - -
in_doubt cancelling - yes pay                  | in_doubt cancelling - - -
in_doubt cancelling lc:Unknown yes query       | in_doubt cancelling - - -
in_doubt cancelling lc:NothingThere yes query  | in_doubt cancelling - - -
in_doubt cancelling lc:UseRefund yes query     | succeeded succeeded - payment.succeeded -
in_doubt cancelling lc:UseRefund yes callback  | succeeded succeeded - payment.succeeded -
in_doubt cancelling lc:UseRefund closed query  | failed reversed P2 payment.failed -
in_doubt cancelling - typing query             | in_doubt cancelling - - -
in_doubt cancelling - pending query            | in_doubt cancelling - - -
in_doubt cancelling - silence query            | in_doubt cancelling - - -
in_doubt cancelling - closed query             | failed reversed P2 payment.failed -
in_doubt cancelling - closed_paid query        | failed reversed P2 payment.failed -
in_doubt cancelling cr closed query            | canceled reversed P2 payment.canceled -
in_doubt cancelling asked closed query         | expired reversed P2 payment.expired -
in_doubt cancelling - reversed cancel          | failed reversed P3 payment.failed -
in_doubt cancelling - gave_back cancel         | failed reversed P3 payment.failed -
in_doubt cancelling cr gave_back cancel        | canceled reversed P3 payment.canceled -
in_doubt cancelling asked reversed cancel      | expired reversed P3 payment.expired -
in_doubt cancelling - nothing_there cancel     | in_doubt cancelling - - -
in_doubt cancelling proof nothing_there cancel | in_doubt cancelling - - -
in_doubt cancelling - again cancel             | in_doubt cancelling - - -
in_doubt cancelling - use_refund cancel        | in_doubt cancelling - - -
in_doubt cancelling - silence cancel           | in_doubt cancelling - - -
in_doubt cancelling - not_sent cancel          | in_doubt cancelling - - -

# P4: not found, after the cancel found nothing and the request can no longer act; each part alone
# proves nothing
in_doubt cancelling lc:NothingThere,proof absent query    | failed reversed P4 payment.failed -
in_doubt cancelling lc:NothingThere,proof,cr absent query | canceled reversed P4 payment.canceled -
in_doubt cancelling lc:NothingThere absent query          | in_doubt cancelling - - -
in_doubt cancelling lc:Unknown,proof absent query         | in_doubt cancelling - - -
in_doubt cancelling lc:UseRefund,proof absent query       | in_doubt cancelling - - -
in_doubt cancelling proof absent query                    | in_doubt cancelling - - -

# money after we had said no: given back in the very same write, when the question was asked after
# the no; an older yes may speak of the time before our cancel, and is only asked about
failed declined since yes query         | paid_late captured_late - payment.paid_late captured_late
failed not_sent since yes query         | paid_late captured_late - payment.paid_late captured_late
failed reversed since yes query         | paid_late captured_late - payment.paid_late captured_late
expired reversed since yes query        | paid_late captured_late - payment.paid_late captured_late
canceled reversed since,cr yes query    | paid_late captured_late - payment.paid_late captured_late
failed declined - yes query             | nothing
failed reversed - yes query             | nothing
failed reversed - yes pay               | nothing
failed reversed - yes callback          | nothing
canceled reversed since yes callback    | nothing
failed declined - yes_999 callback      | failed declined - - mismatch_amount
paid_late captured_late since yes query | nothing
paid_late captured_late - yes callback  | nothing
paid_late returned - yes callback       | nothing

# repeats, and words that come too late to matter
succeeded succeeded - yes callback         | nothing
succeeded succeeded - typing query         | nothing
succeeded succeeded - silence query        | nothing
succeeded succeeded - absent query         | nothing
succeeded succeeded - no callback          | nothing
succeeded succeeded - reversed cancel      | nothing
succeeded succeeded - nothing_there cancel | nothing
failed declined - no callback              | nothing
failed reversed - closed query             | nothing
failed reversed - typing query             | nothing
expired reversed - reversed cancel         | nothing

# closed after success: a case, or explained by our refunds
succeeded succeeded - closed_paid callback     | succeeded succeeded - - closed_after_success
paid_late captured_late - closed_paid callback | paid_late captured_late - - closed_after_success

succeeded succeeded refunded closed_paid callback  | nothing
paid_late captured_late refunded closed_paid query | nothing
paid_late returned refunded closed_paid query      | nothing

# somebody speaks of another amount or order: frozen, and a person looks
in_doubt in_doubt - yes_999 callback      | in_doubt in_doubt - - mismatch_amount
awaiting_payer pending - yes_999 callback | in_doubt in_doubt - payment.in_doubt mismatch_amount
in_doubt cancelling - yes_999 callback    | in_doubt cancelling - - mismatch_amount
succeeded succeeded - yes_999 callback    | succeeded succeeded - - mismatch_amount
expired reversed - other_order callback   | expired reversed - - mismatch_order

# frozen before: nothing ends or goes on until a person has looked
in_doubt in_doubt frozen yes query                            | in_doubt in_doubt - - -
in_doubt in_doubt frozen typing query                         | in_doubt in_doubt - - -
in_doubt in_doubt frozen closed query                         | in_doubt in_doubt - - -
in_doubt cancelling frozen reversed cancel                    | in_doubt cancelling - - -
in_doubt cancelling frozen,lc:UseRefund yes query             | in_doubt cancelling - - -
in_doubt cancelling frozen,lc:NothingThere,proof absent query | in_doubt cancelling - - -
failed declined frozen yes callback                           | nothing
failed declined frozen,since yes query                        | failed declined - - -
in_doubt in_doubt frozen no pay                               | nothing
in_doubt sent frozen no pay                                   | in_doubt in_doubt - - -
in_doubt sent frozen not_sent pay                             | in_doubt in_doubt - - -
"""


LINES = [line for line in TABLE.strip().splitlines() if line and not line.startswith("#")]


def drawn(status: str, tried: str, marks: list[str]) -> Payment:
    fields: dict[str, Any] = {
        "last_cancel": next((mark[3:] for mark in marks if mark.startswith("lc:")), None)
    }
    if "asked" in marks:
        fields["payer_asked_at"] = later(-9)
    if "refunded" in marks:
        fields |= (
            {"returned_amount": 400, "reserved_amount": 600}
            if tried != "returned"
            else {"returned_amount": 1000}
        )
    asked = NOW if "cr" in marks else None
    return payment(
        status,
        attempt(tried, **fields),
        cancel_requested_at=asked,
        frozen_at=NOW if "frozen" in marks else None,
    )


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line.split()))
def test_learned(line: str):
    (status, tried, mark_text, word, source), expected = (half.split() for half in line.split("|"))
    marks = mark_text.split(",")
    before = drawn(status, tried, marks)
    change = learned(
        before,
        before.attempts[0],
        OUTCOMES[word],
        occasion(source, proof_passed="proof" in marks, asked_after_end="since" in marks),
    )
    if expected == ["nothing"]:
        assert change is None
        return
    assert change is not None
    after = change.payment
    event = change.events[0]
    proofs = [item.proof for item in after.attempts[0].evidence if item.proof]
    found = (
        after.status,
        after.attempts[0].status,
        proofs[-1] if proofs else "-",
        event.type if event.public else "-",
        change.case.name if change.case else "-",
    )
    assert list(found) == expected
    assert (after.version, event.version, event.object_id) == (
        before.version + 1,
        before.version + 1,
        before.id,
    )
    assert after.attempts[0].evidence[-1].outcome in (type(OUTCOMES[word]).__name__, "Mismatch")
    assert (after.failure is not None) == (after.status in ("failed", "expired", "canceled"))
    assert (after.attempts[0].captured_amount > 0) == (
        after.attempts[0].status in ("succeeded", "captured_late", "returned")
    )


def test_every_outcome_is_in_the_table():
    words = {line.split()[3] for line in LINES}
    assert words == set(OUTCOMES)
    named = {
        name
        for union in (o.QueryOutcome, o.CancelOutcome)
        for name in (member.__name__ for member in union.__args__)
    }
    assert {type(outcome).__name__ for outcome in OUTCOMES.values()} == named


def test_a_paid_query_after_nothing_there_makes_the_cancel_repeat():
    before = payment("in_doubt", attempt("cancelling", last_cancel="NothingThere", cancels=2))
    change = learned(before, before.current, OUTCOMES["yes"], occasion())
    assert change is not None
    assert (change.payment.current.last_cancel, change.payment.current.status) == (
        None,
        "cancelling",
    )


@pytest.mark.parametrize(
    ("word", "source", "counters"),
    [
        ("typing", "query", (1, 0, 0, 0, "-")),
        ("absent", "query", (1, 1, 0, 0, "-")),
        ("silence", "query", (1, 0, 0, 3, "-")),
        ("silence", "cancel", (0, 0, 1, 3, "Unknown")),
        ("not_sent", "cancel", (0, 0, 1, 3, "NotSent")),
        ("again", "cancel", (0, 0, 1, 0, "CallAgain")),
        ("nothing_there", "cancel", (0, 0, 1, 0, "NothingThere")),
        ("use_refund", "cancel", (0, 0, 1, 0, "UseRefund")),
    ],
)
def test_counters_that_pace_the_sweeper(word, source, counters):
    before = payment("in_doubt", attempt("cancelling", silences=2))
    change = learned(before, before.current, OUTCOMES[word], occasion(source))
    assert change is not None
    a = change.payment.current
    assert (a.queries, a.not_founds, a.cancels, a.silences, a.last_cancel or "-") == counters


@pytest.mark.parametrize(
    ("words", "silences"),
    [
        ("silence/query silence/cancel", 1),
        ("silence/query silence/cancel silence/query silence/cancel", 2),
        ("silence/cancel silence/cancel", 2),
        ("silence/query not_sent/cancel silence/cancel", 2),
        ("typing/query silence/cancel", 1),
        ("silence/query again/cancel", 0),
        ("silence/query silence/query", 2),
    ],
)
def test_a_visit_that_learns_nothing_is_one_silence(words, silences):
    """Its query and its cancel together:
    counted twice, a minute of outage would become an hour of doubt.
    """
    now = payment("in_doubt", attempt("cancelling", last_cancel="Unknown"))
    was_silent = False
    for said_by in words.split():
        word, source = said_by.split("/")
        told = occasion(source, silence_counted=source == "cancel" and was_silent)
        change = learned(now, now.current, OUTCOMES[word], told)
        assert change is not None
        now = change.payment
        was_silent = source == "query" and isinstance(OUTCOMES[word], o.Silence)
    assert now.current.silences == silences


def test_a_yes_is_booked_whole():
    yes = o.Succeeded(
        amount=1000,
        received_amount=950,
        channel_trade_no="C7",
        payer_masked="a**",
        paid_at=later(-1),
        discounts=(o.Discount(name="coupon", amount=50, funded_by="merchant"),),
    )
    change = learned(payment(), attempt(), yes, occasion("pay"))
    assert change is not None
    paid, settled = change.payment, change.payment.attempts[0]
    assert (paid.paid_at, paid.payer_masked, paid.discounts) == (
        later(-1),
        "a**",
        ({"name": "coupon", "amount": 50, "funded_by": "merchant"},),
    )
    assert (
        settled.captured_amount,
        settled.received_amount,
        settled.channel_trade_no,
        settled.due_at,
    ) == (1000, 950, "C7", None)


def test_a_qr_code_once_shown_stays():
    shown = learned(
        payment(flow="qr"), attempt(), o.PayerActionNeeded(qr_code="https://qr"), occasion("pay")
    )
    assert shown is not None
    again = learned(shown.payment, shown.payment.current, o.PayerActionNeeded(), occasion("query"))
    assert again is not None
    assert (again.payment.qr_code, again.payment.status) == ("https://qr", "awaiting_payer")


def test_freezing_keeps_its_first_moment():
    before = replace(payment("in_doubt", attempt("in_doubt")), frozen_at=later(-60))
    change = learned(before, before.current, OUTCOMES["other_order"], occasion())
    assert change is not None
    assert change.payment.frozen_at == later(-60)


def test_a_word_between_query_and_cancel_makes_the_cancels_silence_count():
    """A callback spoke meanwhile: it had set the silences back."""
    now = payment("in_doubt", attempt("cancelling", silences=0))
    told = occasion("cancel", silence_counted=True)
    change = learned(now, now.current, OUTCOMES["silence"], told)
    assert change is not None
    assert change.payment.current.silences == 1
