import pytest

from adapters.cash.channel import CashDrawer
from adapters.channel import LocalPay, LocalSucceeded
from gateway.domain.outcomes import Declined


def asked(amount: int, tendered: int | None, terminal: str = "term_1") -> LocalPay:
    return LocalPay(
        amount=amount, currency="CNY", store_id="s1", terminal_id=terminal, tendered=tendered
    )


@pytest.mark.parametrize(
    ("amount", "tendered", "change"),
    [
        (12850, None, 0),
        (12850, 12850, 0),
        (12850, 20000, 7150),
        (1, 10_000_000_000, 9_999_999_999),
    ],
)
def test_change(amount: int, tendered: int | None, change: int) -> None:
    decision = CashDrawer().decide(asked(amount, tendered))
    assert isinstance(decision, LocalSucceeded)
    assert decision.change == change
    assert {entry.account: entry.amount for entry in decision.entries} == {
        "drawer/s1/term_1": amount,
        "takings/s1": -amount,
    }


def test_too_little_is_declined() -> None:
    assert isinstance(CashDrawer().decide(asked(12850, 12849)), Declined)


def test_refund_reverses_the_lines() -> None:
    decision = CashDrawer().decide_refund(asked(500, None, terminal=""))
    assert isinstance(decision, LocalSucceeded)
    assert {entry.account: entry.amount for entry in decision.entries} == {
        "drawer/s1/office": -500,
        "takings/s1": 500,
    }
