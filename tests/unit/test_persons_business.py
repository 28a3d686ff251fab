"""What ends with a person: cancels that end nothing, money of another amount, and a verdict about
money that came after the end.
"""

import pytest

from gateway.domain import outcomes as o
from gateway.domain.case import CaseKind
from gateway.domain.learning import learned
from gateway.domain.occasion import Outcome
from gateway.domain.words import Source
from gateway.flow.case_closing import CaseClosing
from gateway.flow.ports import Opened
from gateway.limits import CANCELS_QUICK_MAX
from tests.contract.drawn import MERCHANT, NO, YES, case, drawn_payment, opening_of
from tests.contract.test_store_failover import moved_on
from tests.unit.paying import attempt, occasion, payment
from tests.unit.test_transition import Rig

STAYS_PAID: tuple[tuple[str, Outcome], ...] = (
    ("query", YES),
    ("cancel", o.Unknown(reason="undecided")),
)


@pytest.mark.parametrize(
    ("words", "opened"),
    [
        # SELLER_BALANCE_NOT_ENOUGH: never silent, and no cancel acts.
        (STAYS_PAID, ["long_in_doubt"]),
        ((("cancel", o.CallAgain()),), ["long_in_doubt"]),
        ((("cancel", o.NothingThere()),), []),  # its end is P4's clock
        ((("query", YES),), []),
    ],
)
def test_cancels_that_end_nothing_open_a_case(words, opened):
    now = payment(
        "in_doubt", attempt("cancelling", last_cancel="Unknown", cancels=CANCELS_QUICK_MAX - 1)
    )
    kinds = []
    for source, outcome in words:
        change = learned(now, now.current, outcome, occasion(source))
        assert change is not None
        now = change.payment
        kinds += [change.case.name] if change.case else []
    assert kinds == opened


@pytest.mark.parametrize(
    ("verdict", "status", "refunds"),
    [("paid", "paid_late", 1), ("not_charged", "failed", 0), (None, "failed", 0)],
)
async def test_a_verdict_about_frozen_money_after_the_end(verdict, status, refunds):
    """A callback of another amount after a proven no: a person's yes gives the money back, and
    everything else only thaws.
    """
    rig = Rig()
    sent = drawn_payment()
    assert await rig.store.open(opening_of(sent)) == Opened()
    number = sent.attempts[0].out_trade_no
    ended = await rig.transitions.learn(sent, number, NO, Source.PAY)
    frozen = await rig.transitions.learn(
        ended, number, o.Mismatch(field="amount", expected="1000", got="1001"), Source.CALLBACK
    )
    assert (frozen.status, frozen.frozen_at is None) == ("failed", False)
    opened = case(CaseKind.OVERRIDE)
    await rig.store.open_case(MERCHANT, sent.id, opened)
    closing = CaseClosing(rig.store, rig.transitions, rig.clock)
    after = await closing.close(
        MERCHANT, opened.id, sent.id, verdict, by="finance", reason="looked at the console"
    )
    assert after is not None
    assert (after.status, after.frozen_at) == (status, None)
    assert len(await rig.store.refunds_of(MERCHANT, sent.id)) == refunds


@pytest.mark.parametrize("verdict", ["paid", "not_charged"])
async def test_a_verdict_counts_for_the_attempt_that_the_case_shows(verdict):
    """The first attempt's number was looked up; the second one, which is in doubt, has not been
    looked at by anybody.
    """
    rig = Rig()
    sent = drawn_payment()
    assert await rig.store.open(opening_of(sent)) == Opened()
    number = sent.attempts[0].out_trade_no
    moved = moved_on(sent)
    await rig.store.apply(moved)
    frozen = await rig.transitions.learn(
        moved.payment,
        number,
        o.Mismatch(field="amount", expected="1000", got="1001"),
        Source.CALLBACK,
    )
    opened = rig.store.cases[-1].case
    closing = CaseClosing(rig.store, rig.transitions, rig.clock)
    after = await closing.close(
        MERCHANT,
        opened.id,
        sent.id,
        verdict,
        by="finance",
        reason="looked at the console",
        attempt_id=opened.attempt_id,
    )
    assert after is not None
    first = "captured_late" if verdict == "paid" else "not_sent"
    assert [a.status for a in after.attempts] == [first, frozen.attempts[1].status]
    assert (after.status, after.frozen_at) == ("in_doubt", None)
    assert [refund.origin for refund in await rig.store.refunds_of(MERCHANT, sent.id)] == (
        ["surplus"] if verdict == "paid" else []
    )
