"""When an undecided payment is asked about, cancelled and proven, for both wallets: the table of
the channels' own advice.

Seconds after the pay was sent, standard profile; the short profile is a tenth of everything.
"""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from adapters.alipay.manifest import MANIFEST as ALIPAY
from adapters.channel import Flow
from adapters.wechat.manifest import MANIFEST as WECHAT
from gateway.flow.learn.schedule import (
    cancel_at,
    decides_by,
    due_after,
    proof_at,
    refund_decides_by,
    refund_due_after,
)
from gateway.limits import (
    CANCELS_QUICK_MAX,
    DECISION_MS,
    RETRY_JITTER_PERCENT,
    RETRY_STEPS_MS,
    SILENCES_BEFORE_CASE,
    SILENCES_QUICK_MAX,
)
from tests.unit.paying import NOW, attempt, later, payment, refund

MANIFESTS = {"alipay": ALIPAY, "wechat": WECHAT}
TIMES = {"standard": 1, "short": 10}

CANCEL = [
    # channel, payment status, attempt status, not-founds, the till asked -> cancelled at (s)
    ("alipay", "awaiting_payer", "pending", 0, False, 60),
    ("alipay", "processing", "pending", 0, False, 60),
    ("alipay", "in_doubt", "in_doubt", 0, False, 30),
    ("alipay", "in_doubt", "in_doubt", 1, False, 30),
    ("alipay", "in_doubt", "in_doubt", 2, False, 10),
    ("alipay", "awaiting_payer", "pending", 2, False, 60),
    ("alipay", "in_doubt", "in_doubt", 0, True, 3),
    ("wechat", "awaiting_payer", "pending", 0, False, 45),
    ("wechat", "in_doubt", "in_doubt", 0, False, 15),
    ("wechat", "in_doubt", "in_doubt", 2, False, 15),
    ("wechat", "awaiting_payer", "pending", 0, True, 15),
    ("wechat", "in_doubt", "in_doubt", 0, True, 15),
]


def seconds(moment: datetime) -> float:
    return round((moment - NOW).total_seconds(), 3)


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize("case", CANCEL)
def test_code_is_cancelled_at(case, profile):
    channel, status, tried, not_founds, asked, at = case
    schedule = MANIFESTS[channel].schedule(Flow.CODE, profile)
    now = payment(
        status, attempt(tried, not_founds=not_founds), cancel_requested_at=NOW if asked else None
    )
    assert seconds(cancel_at(now, now.current, schedule)) == at / TIMES[profile]


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize(
    ("channel", "shown", "asked", "at"),
    [
        ("alipay", True, False, 300),  # the code's own death
        # The answer that carries the code was lost: nobody can have seen it.
        ("alipay", False, False, 30),
        ("alipay", True, True, 0),
        ("wechat", True, False, 300),
        ("wechat", False, False, 30),
        ("wechat", True, True, 0),
    ],
)
def test_qr_is_cancelled_at(channel, shown, asked, at, profile):
    """A code's life is the till's wish and not shortened; what the gateway decides itself is."""
    schedule = MANIFESTS[channel].schedule(Flow.QR, profile)
    status, tried = ("awaiting_payer", "pending") if shown else ("in_doubt", "in_doubt")
    fields = {"qr_code": "https://qr"} if shown else {}
    now = payment(
        status,
        attempt(tried),
        flow="qr",
        expires_at=later(300),
        cancel_requested_at=NOW if asked else None,
        **fields,
    )
    assert seconds(cancel_at(now, now.current, schedule)) == (
        at if at == 300 else at / TIMES[profile]
    )


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize(
    ("channel", "flow", "acts_until", "proof"),
    [
        ("alipay", "code", 70, 75),
        ("wechat", "code", 300, 305),
        ("alipay", "qr", None, 330),
        ("wechat", "qr", None, 330),
    ],
)
def test_a_not_found_proves_from(channel, flow, acts_until, proof, profile):
    schedule = MANIFESTS[channel].schedule(Flow(flow), profile)
    assert schedule.acts_until_ms == (
        None if acts_until is None else acts_until * 1000 / TIMES[profile]
    )
    life = 300 if acts_until is None else acts_until / TIMES[profile]
    margin = proof - (acts_until or 300)
    assert (
        seconds(proof_at(attempt("cancelling", not_after=later(life)), schedule))
        == life + margin / TIMES[profile]
    )


VISITS = [
    # channel, flow, attempt (status, fields), now (s) -> next visit (s)
    ("alipay", "code", ("sent", {}), 0, 2),  # its worker's until send_by
    ("alipay", "code", ("pending", {}), 0, 3),
    ("alipay", "code", ("pending", {"queries": 1}), 3, 6),
    ("alipay", "code", ("pending", {"queries": 9}), 30, 33),
    # The last query stands directly before the cancel.
    ("alipay", "code", ("pending", {"queries": 19}), 59, 60),
    ("alipay", "code", ("in_doubt", {"queries": 2, "not_founds": 2}), 9, 10),
    # Late already: at once.
    ("alipay", "code", ("in_doubt", {"queries": 2, "not_founds": 2}), 11, 11),
    ("alipay", "code", ("cancelling", {}), 31, 34),
    ("alipay", "code", ("cancelling", {"last_cancel": "CallAgain", "cancels": 4}), 31, 34),
    (
        "alipay",
        "code",
        ("cancelling", {"last_cancel": "CallAgain", "cancels": CANCELS_QUICK_MAX}),
        300,
        303,
    ),
    # Answered, and no end.
    (
        "alipay",
        "code",
        ("cancelling", {"last_cancel": "Unknown", "cancels": CANCELS_QUICK_MAX + 1}),
        300,
        315,
    ),
    (
        "alipay",
        "code",
        ("cancelling", {"last_cancel": "CallAgain", "cancels": CANCELS_QUICK_MAX + 9}),
        300,
        3900,
    ),
    ("alipay", "code", ("cancelling", {"last_cancel": "UseRefund"}), 31, 34),
    ("alipay", "code", ("cancelling", {"last_cancel": "NothingThere", "cancels": 1}), 31, 34),
    # P4's clock: not_after 60 + 5.
    ("alipay", "code", ("cancelling", {"last_cancel": "NothingThere", "cancels": 9}), 63, 65),
    ("wechat", "code", ("pending", {}), 0, 3),
    ("wechat", "code", ("pending", {"queries": 1}), 3, 8),
    ("wechat", "code", ("in_doubt", {"queries": 2}), 8, 13),
    ("wechat", "code", ("in_doubt", {"queries": 3}), 13, 15),
    ("wechat", "code", ("cancelling", {"last_cancel": "Unknown"}), 16, 21),
    ("alipay", "qr", ("pending", {}), 0, 5),
    ("alipay", "qr", ("pending", {"queries": 1}), 5, 10),
    ("alipay", "qr", ("pending", {"queries": 2}), 10, 20),
    ("alipay", "qr", ("pending", {"queries": 4}), 40, 80),
    ("alipay", "qr", ("pending", {"queries": 9}), 100, 160),  # doubling stops at a minute
    ("wechat", "qr", ("pending", {"queries": 9}), 290, 300),  # the code's death
    ("alipay", "code", ("succeeded", {}), 9, None),
    ("alipay", "code", ("declined", {}), 9, None),
    ("alipay", "code", ("captured_late", {}), 9, None),
]


@pytest.mark.parametrize(("channel", "flow", "tried", "now", "visit"), VISITS)
def test_next_visit(channel, flow, tried, now, visit):
    schedule = MANIFESTS[channel].schedule(Flow(flow), "standard")
    status, fields = tried
    qr = {"flow": "qr", "qr_code": "https://qr", "expires_at": later(300)} if flow == "qr" else {}
    subject = payment(
        "awaiting_payer" if status == "pending" else "in_doubt", attempt(status, **fields), **qr
    )
    due = due_after(subject, subject.attempts[0], schedule, later(now))
    assert (None if due is None else seconds(due)) == visit


@pytest.mark.parametrize("silences", range(SILENCES_QUICK_MAX + 8))
def test_when_query_and_cancel_fail_themselves_the_pauses_grow(silences):
    schedule = ALIPAY.schedule(Flow.CODE, "standard")
    subject = payment("in_doubt", attempt("cancelling", silences=silences, queries=silences))
    place = silences - SILENCES_QUICK_MAX - 1
    pause = 3 if place < 0 else RETRY_STEPS_MS[min(place, len(RETRY_STEPS_MS) - 1)] / 1000
    due = due_after(subject, subject.current, schedule, later(100))
    assert due is not None
    most = pause if place < 0 else pause * (100 + RETRY_JITTER_PERCENT) / 100
    assert pause <= seconds(due) - 100 <= most


def test_visits_that_an_outage_stopped_together_do_not_come_back_together():
    schedule = ALIPAY.schedule(Flow.CODE, "standard")
    tried = [
        attempt("in_doubt", silences=SILENCES_QUICK_MAX + 1, queries=9, out_trade_no=f"TT{n:026d}")
        for n in range(200)
    ]
    subjects = [payment("in_doubt", each) for each in tried]
    due = sorted(seconds(due_after(each, each.current, schedule, later(0))) for each in subjects)  # type: ignore[arg-type]
    assert due[-1] - due[0] >= RETRY_STEPS_MS[0] / 1000 * RETRY_JITTER_PERCENT / 100 * 0.9
    assert max(due.count(moment) for moment in due) < 30


@pytest.mark.parametrize(
    ("queries", "pause"), [(0, 15), (1, 60), (2, 300), (3, 1800), (4, 3600), (50, 3600)]
)
def test_a_frozen_payment_is_only_asked_about(queries, pause):
    schedule = WECHAT.schedule(Flow.CODE, "standard")
    subject = payment("in_doubt", attempt("in_doubt", queries=queries), frozen_at=NOW)
    due = due_after(subject, subject.current, schedule, later(100))
    assert due is not None
    assert seconds(due) == 100 + pause


@pytest.mark.parametrize(
    ("status", "heard", "profile", "pause"),
    [
        ("requested", 0, "standard", 10),  # not before 10 s
        ("in_doubt", 1, "standard", 10),
        ("in_doubt", 2, "standard", 30),
        ("processing", 5, "standard", 1800),
        ("processing", 20, "standard", 3600),
        ("processing", 2, "short", 3),
        ("needs_action", 1, "standard", 3600),
        ("succeeded", 1, "standard", None),
        ("failed", 1, "standard", None),
    ],
)
def test_refund_visits(status, heard, profile, pause):
    due = refund_due_after(refund(status, heard=heard), profile, NOW)
    assert (None if due is None else seconds(due)) == pause


@pytest.mark.parametrize("channel", MANIFESTS)
@pytest.mark.parametrize("profile", TIMES)
def test_schedules_hold_together(channel, profile):
    """A cancel decides before the request's own death; the request dies before a "not found"
    proves; queries come before cancels.
    """
    code = MANIFESTS[channel].schedule(Flow.CODE, profile)
    assert code.typing_cancel_ms is not None
    assert code.unknown_cancel_ms is not None
    assert code.acts_until_ms is not None
    assert (
        code.first_query_ms < code.unknown_cancel_ms <= code.typing_cancel_ms < code.acts_until_ms
    )
    assert code.cancel_not_before_ms <= code.unknown_cancel_ms
    assert code.proof_margin_ms > 0


def test_nothing_is_due_without_a_live_attempt():
    subject = payment("succeeded", attempt("succeeded"))
    assert (
        due_after(
            replace(subject, cancel_requested_at=NOW),
            subject.current,
            ALIPAY.schedule(Flow.CODE, "standard"),
            NOW,
        )
        is None
    )


# channel, payment status, attempt (status, fields), fields of the payment -> the last question is
# asked at (s). Visits are due at 10 s. None: a person was called.
DECIDED = [
    ("alipay", "processing", ("sent", {}), {}, 75),
    ("alipay", "in_doubt", ("in_doubt", {"silences": 1}), {}, 75),
    ("alipay", "in_doubt", ("in_doubt", {"not_founds": 2}), {}, 75),
    ("alipay", "awaiting_payer", ("pending", {}), {}, 60),
    ("alipay", "processing", ("pending", {}), {}, 60),
    ("alipay", "awaiting_payer", ("pending", {}), {"cancel_requested_at": NOW}, 10),
    ("alipay", "in_doubt", ("cancelling", {}), {}, 75),
    ("alipay", "in_doubt", ("cancelling", {"payer_asked_at": NOW}), {}, 10),
    ("alipay", "in_doubt", ("cancelling", {"last_cancel": "NothingThere"}), {}, 75),
    ("alipay", "in_doubt", ("cancelling", {"last_cancel": "Unknown", "cancels": 1}), {}, 75),
    ("alipay", "in_doubt", ("cancelling", {"last_cancel": "UseRefund"}), {}, 10),
    # Sixty-four of these in a row call a person.
    ("alipay", "in_doubt", ("cancelling", {"last_cancel": "CallAgain", "cancels": 60}), {}, 22),
    ("alipay", "in_doubt", ("cancelling", {"last_cancel": "CallAgain", "cancels": 64}), {}, None),
    ("wechat", "processing", ("sent", {}), {}, 305),
    ("wechat", "in_doubt", ("in_doubt", {"silences": 1}), {}, 305),
    ("wechat", "in_doubt", ("in_doubt", {"not_founds": 9}), {}, 305),
    ("wechat", "awaiting_payer", ("pending", {}), {}, 45),
    ("wechat", "awaiting_payer", ("pending", {}), {"cancel_requested_at": NOW}, 15),
    ("wechat", "in_doubt", ("cancelling", {}), {}, 305),
    ("wechat", "in_doubt", ("cancelling", {"payer_asked_at": NOW}), {}, 10),
    ("wechat", "in_doubt", ("cancelling", {"last_cancel": "NothingThere", "cancels": 9}), {}, 305),
    ("wechat", "in_doubt", ("in_doubt", {}), {"overridden_at": NOW}, 305),
    ("wechat", "in_doubt", ("in_doubt", {}), {"frozen_at": NOW}, None),
    ("wechat", "in_doubt", ("in_doubt", {"silences": SILENCES_BEFORE_CASE}), {}, None),
    ("wechat", "succeeded", ("succeeded", {}), {}, None),
]


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize("case", DECIDED)
def test_a_till_hears_by_when_its_payment_is_decided(case, profile):
    channel, status, (tried, fields), more, at = case
    schedule, times = MANIFESTS[channel].schedule(Flow.CODE, profile), TIMES[profile]
    acts_until = {"alipay": 70, "wechat": 300}[channel] / times
    now = payment(
        status,
        attempt(tried, not_after=later(acts_until), due_at=later(10 / times), **fields),
        **more,
    )
    found = decides_by(now, now.current, schedule)
    assert (found and seconds(found)) == (at and round(at / times + DECISION_MS / 1000, 3))


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize("channel", MANIFESTS)
@pytest.mark.parametrize("asked", [False, True])
def test_a_code_on_display_is_decided_after_its_death(channel, asked, profile):
    """Until a customer scans it the channel may know of no order, and "not found" proves nothing
    before."""
    schedule = MANIFESTS[channel].schedule(Flow.QR, profile)
    shown = payment(
        "awaiting_payer",
        attempt("pending", not_after=later(300), due_at=later(5)),
        flow="qr",
        qr_code="https://qr",
        expires_at=later(300),
        cancel_requested_at=NOW if asked else None,
    )
    found = decides_by(shown, shown.current, schedule)
    assert found is not None
    assert seconds(found) == 300 + 30 / TIMES[profile] + DECISION_MS / 1000


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize("silences", range(2, SILENCES_BEFORE_CASE))
def test_a_channel_that_is_silent_calls_a_person_by_then(silences, profile):
    """The visits themselves, all of them silent, come to the case in time, and not much earlier."""
    schedule = ALIPAY.schedule(Flow.CODE, profile)
    silent = attempt("in_doubt", not_after=later(70 / TIMES[profile]), silences=silences)
    silent = replace(silent, due_at=due_after(payment("in_doubt", silent), silent, schedule, NOW))
    promised = decides_by(payment("in_doubt", silent), silent, schedule)
    assert promised is not None
    at = silent.due_at or NOW
    for count in range(silences + 1, SILENCES_BEFORE_CASE):
        silent = replace(silent, silences=count)
        at = due_after(payment("in_doubt", silent), silent, schedule, at) or at
    assert at <= promised - timedelta(milliseconds=DECISION_MS)
    proof = 75 / TIMES[profile]
    spread = (seconds(promised) - DECISION_MS / 1000) * RETRY_JITTER_PERCENT / 100
    assert seconds(promised) - DECISION_MS / 1000 <= max(proof, seconds(at) + spread)


REFUND_DECIDED = [
    # status, silences, heard -> the last question is asked at (s); the visit is due at 10 s
    ("requested", 0, 0, 10),
    ("in_doubt", 1, 1, 10),
    ("in_doubt", 6, 6, 10 + 3600),
    ("in_doubt", 7, 7, 10),
    ("in_doubt", 8, 8, None),
    ("processing", 0, 1, None),
    ("needs_action", 0, 1, None),
    ("succeeded", 0, 1, None),
    ("failed", 0, 1, None),
]


@pytest.mark.parametrize("profile", TIMES)
@pytest.mark.parametrize(("status", "silences", "heard", "at"), REFUND_DECIDED)
def test_a_till_hears_by_when_its_refund_is_decided(status, silences, heard, at, profile):
    asked = refund(status, silences=silences, heard=heard, due_at=later(10 / TIMES[profile]))
    found = refund_decides_by(asked, profile)
    assert (found and seconds(found)) == (at and at / TIMES[profile] + DECISION_MS / 1000)
