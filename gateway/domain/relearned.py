"""After a restore: an attempt has ended uncharged, and a channel knows a later one that the books
have lost. The payment has not ended.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.domain.change import Change, payment_event
from gateway.domain.occasion import Occasion
from gateway.domain.payment import Attempt, Payment
from gateway.domain.states import next_state


def gone_on(payment: Payment, end: Change, following: Attempt, occasion: Occasion) -> Change:
    """In place of `end`, the change that would have ended `payment`: its attempt ends as it says,
    and `following` is opened, in doubt.

    A code on display was the ended attempt's. A till's wish to cancel and a supervisor's override
    stand: they hold for the payment.
    """
    after = replace(
        payment,
        version=payment.version + 1,
        status=next_state(payment.status, "lost_sight"),
        attempts=(*end.payment.attempts, following),
        frozen_at=end.payment.frozen_at,
        frozen_by=end.payment.frozen_by,
        qr_code=None,
    )
    return Change(
        payment=after,
        new_attempt=following,
        events=(payment_event(after, was=payment.status, at=occasion.now),),
        case=end.case,
    )
