import pytest

from gateway.domain.money import Money, yuan


@pytest.mark.parametrize("wrong", [1.0, 0.1, "1", True, None, 10**2 * 1.0])
def test_money_is_an_integer(wrong):
    with pytest.raises(TypeError):
        Money(wrong)


@pytest.mark.parametrize(
    ("left", "right", "total", "rest"),
    [(1, 2, 3, -1), (0, 0, 0, 0), (10_000_000_000, 1, 10_000_000_001, 9_999_999_999)],
)
def test_sums(left, right, total, rest):
    assert Money(left) + Money(right) == Money(total)
    assert Money(left) - Money(right) == Money(rest)


def test_currencies_do_not_mix():
    for operation in (Money.__add__, Money.__sub__):
        with pytest.raises(ValueError, match="cannot mix CNY and USD"):
            operation(Money(1), Money(1, "USD"))
    assert Money(1) != Money(1, "USD")


def test_money_is_frozen_and_ordered():
    with pytest.raises(AttributeError):
        Money(1).fen = 2  # type: ignore[misc]
    assert sorted([Money(3), Money(1), Money(2)]) == [Money(1), Money(2), Money(3)]


@pytest.mark.parametrize(
    ("fen", "text"),
    [
        (0, "0.00"),
        (1, "0.01"),
        (10, "0.10"),
        (99, "0.99"),
        (100, "1.00"),
        (12850, "128.50"),
        (-1, "-0.01"),
        (-12850, "-128.50"),
        (10**10, "100000000.00"),
    ],
)
def test_yuan(fen, text):
    assert yuan(fen) == text
