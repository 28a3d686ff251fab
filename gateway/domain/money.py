"""Money is an integer of minor units and a currency;
it refuses floats, booleans and mixed currencies.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """`fen` minor units of `currency` (ISO 4217)."""

    fen: int
    currency: str = "CNY"

    def __post_init__(self) -> None:
        if type(self.fen) is not int:
            raise TypeError(f"money is an integer of minor units, not {type(self.fen).__name__}")

    def __add__(self, other: Money) -> Money:
        return Money(self.fen + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.fen - self._same(other), self.currency)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise ValueError(f"cannot mix {self.currency} and {other.currency}")
        return other.fen


def yuan(fen: int) -> str:
    """Fen as people read it: `12850` -> `128.50`."""
    sign, value = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{value // 100}.{value % 100:02d}"
