"""How much a key may give back alone. Above that a second person does it: one who holds a merchant
key, or a key with a higher limit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.limits import TERMINAL_REFUND_DAY_FEN_MAX, TERMINAL_REFUND_FEN_MAX
from security.roles import Role


class RefundLimits(NamedTuple):
    """Fen. None: no limit. `each`: of one refund; `day`: of all refunds of one business day."""

    each: int | None
    day: int | None


NO_LIMITS: Final = RefundLimits(None, None)


def refund_limits(role: str, each: int | None = None, day: int | None = None) -> RefundLimits:
    """`each`, `day`: what the key itself says; None: what its role does."""
    usual = _TERMINAL if role == Role.TERMINAL.value else NO_LIMITS
    return RefundLimits(usual.each if each is None else each, usual.day if day is None else day)


_TERMINAL: Final = RefundLimits(TERMINAL_REFUND_FEN_MAX, TERMINAL_REFUND_DAY_FEN_MAX)
