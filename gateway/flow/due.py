"""What is due: leased visits to what is undecided, and how many may begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DueAttempt:
    """A leased visit to an undecided payment."""

    merchant_id: str
    payment_id: str
    out_trade_no: str
    account_id: str


@dataclass(frozen=True, slots=True)
class DueRefund:
    """A leased visit to an undecided refund."""

    merchant_id: str
    payment_id: str
    refund_id: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Places:
    """How many visits may begin: `total` in all, and on one channel account `each`, less those
    `busy` there already.
    """

    total: int
    each: int
    busy: Mapping[str, int] = field(default_factory=dict)
