"""Cancels that end nothing end with a person."""

import pytest

from gateway.domain import outcomes as o
from gateway.domain.learning import learned
from gateway.domain.occasion import Outcome
from gateway.limits import CANCELS_QUICK_MAX
from tests.contract.drawn import YES
from tests.unit.paying import attempt, occasion, payment

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
        # The two take turns: the one that calls is not the one that reaches the number.
        ((("cancel", o.NothingThere()), ("cancel", o.CallAgain())), ["long_in_doubt"]),
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
