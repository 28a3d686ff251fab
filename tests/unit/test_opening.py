"""Write 1 of a tender of our own books: whichever way it is decided, the schema takes it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from adapters.channel import Entry, Flow, LocalSucceeded, Manifest
from adapters.discovery import discover
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.outcomes import Declined, FailureCode, Retry
from gateway.domain.presenting import MethodOnly, ShownQr
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.open.opening import Draft
from gateway.flow.ports import Opened
from gateway.limits import QR_EXPIRES_S_DEFAULT
from tests.fakes.accounts import local_account, remote_account
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


def shows(manifest: Manifest) -> bool:
    """Whether the channel makes codes that we show."""
    return manifest.settles == "remote" and Flow.QR in manifest.flows


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


@pytest.mark.parametrize(
    ("given", "lives_s"), [(ShownQr(), QR_EXPIRES_S_DEFAULT), (ShownQr(expires_in_s=600), 600)]
)
@pytest.mark.parametrize("channel", sorted(name for name, m in discover().items() if shows(m)))
def test_what_is_sent_is_watched_and_a_shown_code_acts_until_it_expires(
    channel: str, given: ShownQr, lives_s: int
) -> None:
    """The sweeper comes though nobody hears of the answer, and believes no "not found" before."""
    drawn = draft()
    drawn = replace(
        drawn,
        tender=replace(drawn.tender, channel=channel, flow=Flow.QR),
        command=replace(drawn.command, given=given),
    )
    account = remote_account("acct", channel)
    payment = drawn.remote(SimIds(), Choice(account=account, why="only"), 1).payment
    (attempt,) = payment.attempts
    assert (attempt.status, attempt.due_at) == ("sent", attempt.send_by)
    assert payment.expires_at is not None
    assert payment.expires_at >= NOW + timedelta(seconds=lives_s)
    assert attempt.not_after == payment.expires_at
