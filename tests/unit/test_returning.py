"""What a refund is and what its channel's word does to it: one line a case.

refund status, origin, outcome -> refund status, reserved, returned, attempt status, case; or
`nothing`, or `illegal`. The attempt captured 1000; the refund is of 400 (of 1000 when it is late).
"""

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.change import Posting
from gateway.domain.returning import refund_learned, reserved, returned_at_once
from gateway.domain.states import IllegalTransition
from gateway.domain.words import EvidenceWord
from gateway.limits import EVIDENCE_ITEMS_MAX, SILENCES_BEFORE_CASE
from tests.unit.paying import NOW, attempt, later, occasion, payment, refund

OUTCOMES: dict[str, o.RefundQueryOutcome] = {
    "done": o.RefundSucceeded(amount=400, channel_refund_no="R1"),
    "done_1000": o.RefundSucceeded(amount=1000, channel_refund_no="R1"),
    "done_399": o.RefundSucceeded(amount=399, channel_refund_no="R1"),
    "on_its_way": o.RefundPending(channel_refund_no="R1"),
    "no": o.RefundDeclined(code="refund_refused", needs_action=False, channel_code="NO"),
    "balance": o.RefundDeclined(code="merchant_balance", needs_action=True, channel_code="LOW"),
    "other_order": o.Mismatch(field="order", expected="a", got="b"),
    "silence": o.Unknown(reason="timeout"),
    "not_sent": o.NotSent(reason="refused"),
    "absent": o.RefundNotFound(),
}

TABLE = """
requested    merchant done        | succeeded    0 400 succeeded -
requested    merchant on_its_way  | processing   400 0 succeeded -
requested    merchant no          | failed       0 0 succeeded -
requested    merchant balance     | needs_action 400 0 succeeded refund_needs_action
requested    merchant silence     | in_doubt     400 0 succeeded -
requested    merchant not_sent    | requested    400 0 succeeded -
requested    merchant absent      | requested    400 0 succeeded -
requested    merchant done_399    | in_doubt     400 0 succeeded mismatch_refund_amount
requested    merchant other_order | in_doubt     400 0 succeeded mismatch_order
processing   merchant done        | succeeded    0 400 succeeded -
processing   merchant on_its_way  | processing   400 0 succeeded -
processing   merchant no          | failed       0 0 succeeded -
processing   merchant balance     | needs_action 400 0 succeeded refund_needs_action
processing   merchant silence     | in_doubt     400 0 succeeded -
processing   merchant absent      | processing   400 0 succeeded -
in_doubt     merchant done        | succeeded    0 400 succeeded -
in_doubt     merchant on_its_way  | processing   400 0 succeeded -
in_doubt     merchant no          | failed       0 0 succeeded -
in_doubt     merchant silence     | in_doubt     400 0 succeeded -
in_doubt     merchant absent      | in_doubt     400 0 succeeded -
needs_action merchant done        | succeeded    0 400 succeeded -
needs_action merchant on_its_way  | processing   400 0 succeeded -
needs_action merchant no          | failed       0 0 succeeded -
needs_action merchant balance     | needs_action 400 0 succeeded -
needs_action merchant silence     | needs_action 400 0 succeeded -
needs_action merchant other_order | needs_action 400 0 succeeded mismatch_order
succeeded    merchant done        | nothing
succeeded    merchant no          | nothing
failed       merchant done        | failed       400 0 succeeded refund_after_all
failed       merchant no          | nothing
requested    late     done_1000   | succeeded    0 1000 returned -
requested    late     no          | needs_action 1000 0 captured_late refund_needs_action
in_doubt     late     balance     | needs_action 1000 0 captured_late refund_needs_action
needs_action late     no          | needs_action 1000 0 captured_late -
requested    surplus  no          | needs_action 1000 0 captured_late refund_needs_action
processing   surplus  done_1000   | succeeded    0 1000 returned -
"""
LINES = [line for line in TABLE.strip().splitlines() if line]


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line.split()))
def test_refund_learned(line: str):
    before_text, _, after_text = line.partition("|")
    status, origin, word = before_text.split()
    expected = after_text.split()
    amount = 400 if origin == "merchant" else 1000
    tried = attempt(
        "succeeded" if origin == "merchant" else "captured_late", reserved_amount=amount
    )
    before = payment(
        "succeeded" if origin == "merchant" else "paid_late",
        tried,
        late_refund=status if origin == "late" else None,
    )
    asked = refund(status, origin=origin, amount=amount)
    if expected == ["illegal"]:
        with pytest.raises(IllegalTransition):
            refund_learned(before, asked, OUTCOMES[word], occasion("refund_query"))
        return
    change = refund_learned(before, asked, OUTCOMES[word], occasion("refund_query"))
    if expected == ["nothing"]:
        assert change is None
        return
    assert change is not None
    assert change.refund is not None
    after, now = change.payment.attempts[0], change.refund
    found = (
        now.status,
        str(after.reserved_amount),
        str(after.returned_amount),
        after.status,
        change.case.name if change.case else "-",
    )
    assert list(found) == expected
    assert (change.payment.status, change.payment.version, now.version) == (
        before.status,
        before.version + 1,
        2,
    )
    assert change.payment.late_refund == (now.status if origin == "late" else None)
    assert [(event.object_id, event.version) for event in change.events] == [
        ("pay_1", 4),
        ("ref_1", 2),
    ]
    assert change.events[1].public == (now.status != status)
    assert now.evidence[-1].outcome in (type(OUTCOMES[word]).__name__, "Mismatch")
    assert (now.refunded_at is not None) == (now.status == "succeeded")
    assert change.case is None or change.case.refund_id == "ref_1"


REPEATS = """
# words before, source of the refusal -> refund status, reserved, case
-                   refund       | failed       0 -
-                   refund_query | failed       0 -
silence             refund       | needs_action 400 refund_needs_action
not_sent            refund       | needs_action 400 refund_needs_action
silence,absent      refund       | needs_action 400 refund_needs_action
absent              refund       | needs_action 400 refund_needs_action
on_its_way          refund       | needs_action 400 refund_needs_action
silence             refund_query | failed       0 -
silence             callback     | failed       0 -
"""


@pytest.mark.parametrize(
    "line", [line for line in REPEATS.strip().splitlines() if not line.startswith("#")]
)
def test_a_repeat_may_be_refused_for_the_money_that_the_first_one_moved(line: str):
    (before, source), expected = (half.split() for half in line.split("|"))
    now, asked = payment("succeeded", attempt("succeeded", reserved_amount=400)), refund()
    for word in before.split(",") if before != "-" else ():
        heard = refund_learned(now, asked, OUTCOMES[word], occasion("refund_query"))
        assert heard is not None
        assert heard.refund is not None
        now, asked = heard.payment, heard.refund
    change = refund_learned(now, asked, OUTCOMES["no"], occasion(source))
    assert change is not None
    assert change.refund is not None
    found = (
        change.refund.status,
        str(change.payment.attempts[0].reserved_amount),
        change.case.name if change.case else "-",
    )
    assert list(found) == expected


def test_that_a_refund_was_sent_before_stays_known_when_its_evidence_is_dropped():
    now, asked = payment("succeeded", attempt("succeeded", reserved_amount=400)), refund()
    words: list[o.RefundQueryOutcome] = [
        o.Unknown(reason="timeout"),
        *[o.NotSent(reason="refused")] * EVIDENCE_ITEMS_MAX,
    ]
    for outcome in words:
        change = refund_learned(now, asked, outcome, occasion("refund_query"))
        assert change is not None
        assert change.refund is not None
        now, asked = change.payment, change.refund
    assert {item.outcome for item in asked.evidence} == {EvidenceWord.NOT_SENT}
    for each in (asked, replace(asked, evidence=())):
        refused = refund_learned(now, each, OUTCOMES["no"], occasion("refund"))
        assert refused is not None
        assert refused.refund is not None
        assert (refused.refund.status, refused.payment.attempts[0].reserved_amount) == (
            "needs_action",
            400,
        )


def test_of_a_long_refund_the_newest_evidence_is_kept():
    now, asked = payment("succeeded", attempt("succeeded", reserved_amount=400)), refund()
    for n in range(EVIDENCE_ITEMS_MAX + 6):
        change = refund_learned(now, asked, o.Unknown(reason=f"r{n}"), occasion("refund_query"))
        assert change is not None
        assert change.refund is not None
        now, asked = change.payment, change.refund
    codes = [item.code for item in asked.evidence]
    assert (len(codes), codes[-1], asked.heard) == (
        EVIDENCE_ITEMS_MAX,
        f"r{EVIDENCE_ITEMS_MAX + 5}",
        EVIDENCE_ITEMS_MAX + 6,
    )


@pytest.mark.parametrize(
    ("source", "word", "tries", "silences"),
    [
        ("refund", "silence", 1, 3),
        ("refund_query", "silence", 0, 3),
        ("refund", "on_its_way", 1, 0),
    ],
)
def test_counters(source, word, tries, silences):
    change = refund_learned(
        payment("succeeded", attempt("succeeded", reserved_amount=400)),
        refund(silences=2),
        OUTCOMES[word],
        occasion(source),
    )
    assert change is not None
    assert change.refund is not None
    assert (change.refund.tries, change.refund.silences) == (tries, silences)


def test_reserving_holds_the_amount_before_anything_is_sent():
    before = payment("succeeded", attempt("succeeded", reserved_amount=100, returned_amount=200))
    change = reserved(before, before.attempts[0], refund(amount=700), occasion("till"))
    after = change.payment.attempts[0]
    assert (after.reserved_amount, after.refundable) == (800, 0)
    assert [event.type for event in change.events] == ["payment.updated", "refund.requested"]
    assert not any(event.public for event in change.events)


def test_a_local_refund_is_done_in_its_one_write():
    before = payment("succeeded", attempt("succeeded"))
    lines = (
        Posting(posting_id="ref_1", account="drawer", amount=-400),
        Posting(posting_id="ref_1", account="takings", amount=400),
    )
    done = refund("succeeded", refunded_at=NOW)
    change = returned_at_once(before, before.attempts[0], done, lines, occasion("till"))
    assert (change.payment.attempts[0].returned_amount, change.postings, change.new_refund) == (
        400,
        lines,
        done,
    )
    assert [event.type for event in change.events if event.public] == ["refund.succeeded"]


def test_the_channels_time_is_kept():
    before = payment("succeeded", attempt("succeeded", reserved_amount=400))
    change = refund_learned(before, refund(), replace_at(later(-9)), occasion("refund"))
    assert change is not None
    assert change.refund is not None
    assert (change.refund.refunded_at, change.refund.channel_refund_no) == (later(-9), "R1")


def replace_at(at):
    return o.RefundSucceeded(amount=400, channel_refund_no="R1", refunded_at=at)


def test_refunds_add_up_to_the_capture():
    now = payment("succeeded", attempt("succeeded"))
    for number, amount in enumerate((300, 300, 400)):
        asked = refund(id=f"ref_{number}", refund_no=f"r{number}", amount=amount)
        now = reserved(now, now.attempts[0], asked, occasion("till")).payment
        change = refund_learned(
            now, asked, o.RefundSucceeded(amount=amount, channel_refund_no="R"), occasion("refund")
        )
        assert change is not None
        now = change.payment
    assert (
        now.attempts[0].refundable,
        now.attempts[0].returned_amount,
        now.attempts[0].status,
    ) == (0, 1000, "succeeded")
    assert replace(now.attempts[0], returned_amount=0).refundable == 1000


ROWS_OF_SILENCES = {
    "no answer, then not known": ("silence/refund", "absent/refund_query"),
    "not known, then no answer": ("absent/refund_query", "silence/refund"),
    "nothing sent, not known, no answer": (
        "not_sent/refund",
        "absent/refund_query",
        "silence/refund_query",
    ),
    "not known only": ("absent/refund_query",),
    "nothing sent only": ("not_sent/refund",),
    "no answer only": ("silence/refund_query",),
}


@pytest.mark.parametrize("row", ROWS_OF_SILENCES.values(), ids=ROWS_OF_SILENCES)
def test_of_silences_of_any_kind_a_person_is_told(row):
    now, asked = payment("succeeded", attempt("succeeded", reserved_amount=400)), refund()
    told = []
    for n in range(2 * SILENCES_BEFORE_CASE):
        word, source = row[n % len(row)].split("/")
        change = refund_learned(now, asked, OUTCOMES[word], occasion(source))
        assert change is not None
        assert change.refund is not None
        now, asked = change.payment, change.refund
        if change.case is not None:
            told.append((n + 1, change.case.name))
    assert told == [
        (SILENCES_BEFORE_CASE, "refund_long_in_doubt"),
        (2 * SILENCES_BEFORE_CASE, "refund_long_in_doubt"),
    ]


def test_a_refund_that_is_accepted_again_and_again_and_never_known_calls_a_person():
    now, asked = payment("succeeded", attempt("succeeded", reserved_amount=400)), refund()
    sends = 0
    case = None
    while case is None:
        sends += 1
        for word, source in (("on_its_way", "refund"), ("absent", "refund_query")):
            change = refund_learned(now, asked, OUTCOMES[word], occasion(source))
            assert change is not None
            assert change.refund is not None
            now, asked, case = change.payment, change.refund, case or change.case
    assert (sends, case.name) == (SILENCES_BEFORE_CASE, "refund_long_in_doubt")
