"""Write 1 of a tender of our own books: whichever way it is decided, the schema takes it."""

from datetime import UTC, date, datetime

import pytest
from msgspec.structs import replace

from adapters.channel import Entry, Flow, LocalSucceeded
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.outcomes import Declined, FailureCode, Retry
from gateway.domain.presenting import MethodOnly
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.open.opening import Draft
from gateway.flow.ports import Opened
from tests.fakes.accounts import local_account
from tests.fakes.store import MemoryStore
from tests.simulation.clock import SimIds
from tests.unit.paying import NOW

DRAWER = local_account("acct_cash")
YES = LocalSucceeded(
    entries=(Entry(account="drawer", amount=900), Entry(account="takings", amount=-900)), change=0
)
NO = Declined(
    code=FailureCode.INSUFFICIENT_BALANCE, retry=Retry.OTHER_METHOD, failover_useful=False
)


def draft() -> Draft:
    command = PayCommand(
        order_no="A1", tender_no=1, amount=900, currency="CNY", method="cash", given=MethodOnly(),
        store_id=None, operator_id=None, description=None,
    )  # fmt: skip
    return Draft(
        command=command,
        caller=Caller(
            key_id="key", merchant_id="m1", store_id="s1", terminal_id="t1", role="terminal"
        ),
        key="k1",
        tender=Tender(
            merchant_id="m1",
            store_id="s1",
            order_no="A1",
            tender_no=1,
            amount=900,
            currency="CNY",
            channel="cash",
            flow=Flow.CODE,
            numbering=Numbering.BY_STORE,
        ),
        fingerprint=b"{}",
        now=NOW,
        numbers=Numbers("TT"),
        days=Days(),
        worker_id="wrk_1",
    )


@pytest.mark.parametrize(
    ("decision", "status", "proofs"), [(YES, "succeeded", []), (NO, "failed", ["P1"])]
)
async def test_a_tender_of_our_own_books_is_decided_in_its_one_write(decision, status, proofs):
    store = MemoryStore()
    opening = draft().local(SimIds(), Choice(account=DRAWER, why="only"), 1, decision)
    assert await store.open(opening) == Opened()
    assert (
        opening.payment.status,
        [item.proof for item in opening.payment.attempts[0].evidence],
    ) == (status, proofs)
    assert opening.payment.business_date == date(2026, 11, 21).isoformat()


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 21, 15, 59, 59, tzinfo=UTC), "2026-11-21"),
        (datetime(2026, 11, 21, 16, 0, tzinfo=UTC), "2026-11-22"),  # midnight in Shanghai
        (datetime(2026, 11, 21, 17, 0, tzinfo=UTC), "2026-11-22"),
        (datetime(2026, 12, 31, 17, 0, tzinfo=UTC), "2027-01-01"),
    ],
)
def test_the_business_day_is_shanghais(now: datetime, day: str) -> None:
    opening = replace(draft(), now=now).local(SimIds(), Choice(account=DRAWER, why="only"), 1, YES)
    assert opening.payment.business_date == day
