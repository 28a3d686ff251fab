"""Write 1 of a tender of our own books: whichever way it is decided, the schema takes it."""

from datetime import date

import pytest

from adapters.cash.manifest import MANIFEST
from adapters.channel import Entry, Flow, LocalSucceeded
from gateway.domain.outcomes import Declined, FailureCode, Retry
from gateway.flow.choose.routing import Choice, Route
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.open.opening import Draft
from gateway.flow.ports import Account, Opened
from tests.fakes.store import MemoryStore
from tests.simulation.clock import SimIds
from tests.unit.paying import NOW

DRAWER = Account(
    id="acct_cash", merchant_id="m1", store_id=None, priority=1, enabled=True, profile="standard",
    manifest=MANIFEST, channel=None, local=None,
)  # fmt: skip
YES = LocalSucceeded(
    entries=(Entry(account="drawer", amount=900), Entry(account="takings", amount=-900)), change=0
)
NO = Declined(
    code=FailureCode.INSUFFICIENT_BALANCE, retry=Retry.OTHER_METHOD, failover_useful=False
)


def draft() -> Draft:
    choice = Choice(account=DRAWER, why="only")
    command = PayCommand(
        order_no="A1", tender_no=1, amount=900, currency="CNY", method="cash", flow=None,
        auth_code=None, tendered=None, expires_in_s=None, store_id=None, operator_id=None,
        description=None,
    )  # fmt: skip
    return Draft(
        command=command,
        caller=Caller(
            key_id="key", merchant_id="m1", store_id="s1", terminal_id="t1", role="terminal"
        ),
        key="k1",
        route=Route(flow=Flow.CODE, store_id="s1", choices=(choice,)),
        choice=choice,
        fingerprint=b"{}",
        now=NOW,
        environment="TT",
        worker_id="wrk_1",
    )


@pytest.mark.parametrize(
    ("decision", "status", "proofs"), [(YES, "succeeded", []), (NO, "failed", ["P1"])]
)
async def test_a_tender_of_our_own_books_is_decided_in_its_one_write(decision, status, proofs):
    store = MemoryStore()
    opening = draft().local(SimIds(), 1, decision)
    assert await store.open(opening) == Opened()
    assert (
        opening.payment.status,
        [item.proof for item in opening.payment.attempts[0].evidence],
    ) == (status, proofs)
    assert opening.payment.business_date == date(2026, 11, 21).isoformat()
