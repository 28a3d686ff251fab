"""When a payment is judged, on whose word, and with what at hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from gateway.domain import outcomes as o
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.payment import Attempt, Payment
from gateway.domain.words import Source

Outcome: TypeAlias = o.QueryOutcome | o.CancelOutcome
# (the payment, its attempt as it ended, what ended it, the proof) -> the attempt that follows, or
# what the customer has to do, or neither
Successor: TypeAlias = Callable[[Payment, Attempt, Outcome, o.Proof], Attempt | o.Retry | None]


class Occasion(Struct, frozen=True, kw_only=True):
    """`new_id(prefix)` makes ids; `numbers` those of refunds.

    `proof_passed`: P4's clock had run out when the question left. `asked_after_end`: the attempt
    had ended when the question left. `silence_counted`: the query of this very visit learned
    nothing, and that is counted. `successor`: which account may go on when an attempt has ended
    uncharged (`flow.send.failover`).
    """

    now: datetime
    source: Source
    new_id: Callable[[str], str]
    numbers: Numbers
    days: Days
    proof_passed: bool = False
    asked_after_end: bool = False
    silence_counted: bool = False
    successor: Successor | None = None
