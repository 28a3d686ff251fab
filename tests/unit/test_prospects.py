"""Whether a supervisor may be asked, of a payment whose answer is far away."""

from typing import Any

import pytest

from gateway.flow.learn.prospects import Prospects
from gateway.limits import DECISION_MS, OVERRIDE_WAIT_MS
from tests.contract.drawn import ACCOUNT, MERCHANT
from tests.unit.paying import NOW, attempt, later, payment, refund
from tests.unit.test_transition import Rig

# The channel is asked to cancel after 30 s, and the visit that does so decides.
NEAR_S = 30 + (DECISION_MS - OVERRIDE_WAIT_MS) / 1000
FAR_S = NEAR_S - 1

# status, fields of the payment, asked at (s), the store allows it -> possible
OFFERED = [
    ("in_doubt", {}, NEAR_S, True, False),
    ("in_doubt", {}, FAR_S, True, True),
    ("in_doubt", {}, FAR_S, False, False),
    ("processing", {}, FAR_S, True, False),
    # Somebody has let another payment in; a second time changes nothing.
    ("in_doubt", {"overridden_at": NOW}, FAR_S, True, False),
    # A person was called: nobody knows for how long.
    ("in_doubt", {"frozen_at": NOW}, NEAR_S, True, True),
    ("succeeded", {}, FAR_S, True, False),
]


def prospects(rig: Rig) -> Prospects:
    return Prospects(rig.shelf, rig.transitions, rig.clock)


@pytest.mark.parametrize(("status", "fields", "at", "allowed", "possible"), OFFERED)
def test_an_override_is_offered_where_it_helps(
    status: str, fields: dict[str, Any], at: float, allowed: bool, possible: bool
) -> None:
    rig = Rig(at=later(at))
    rig.shelf.overridable = allowed
    tried = {"in_doubt": "in_doubt", "processing": "sent", "succeeded": "succeeded"}[status]
    asked = payment(
        status,
        attempt(tried, channel_account=ACCOUNT, not_after=later(20), due_at=NOW),
        merchant_id=MERCHANT,
        **fields,
    )
    assert prospects(rig).of_payment(asked).override_possible is possible


def test_a_refund_says_by_when_it_is_decided() -> None:
    asked = refund("requested", channel_account=ACCOUNT, due_at=later(10))
    assert prospects(Rig()).of_refund(asked).decides_by == later(10 + DECISION_MS / 1000)
    assert prospects(Rig()).of_refund(refund("succeeded")).decides_by is None
