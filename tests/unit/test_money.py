import pytest

from gateway.domain.money import yuan


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
