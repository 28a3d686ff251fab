"""When a row of silences, or of acts in vain, calls a person.

Where every step that raises a counter looks at it, each so-many-th calls. Where some steps do not
look, every step from so many on calls: a number that is only compared with `==` may be stepped over
for ever. Of one kind one case is open about an object, so calling again costs nothing.
"""

from __future__ import annotations

from gateway.limits import CANCELS_QUICK_MAX, SILENCES_BEFORE_CASE


def silent_too_long(silences: int) -> bool:
    """`silences`: in a row, the last one counted."""
    return silences > 0 and silences % SILENCES_BEFORE_CASE == 0


def cancelled_in_vain(cancels: int) -> bool:
    """`cancels`: of one attempt. "No such order" does not look: P4's clock ends it."""
    return cancels >= CANCELS_QUICK_MAX


def refunded_in_vain(sends: int) -> bool:
    """`sends`: of one refund. Only a send that was accepted looks."""
    return sends >= SILENCES_BEFORE_CASE
