"""Which business day, and which day of the channel's bill, money belongs to."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.days import BillDay, CutOff, Days
from gateway.domain.learning import learned
from gateway.domain.payment import Attempt, Payment
from gateway.domain.returning import refund_learned
from gateway.domain.words import DayRule
from tests.unit.paying import attempt, occasion, payment, refund

FOUR = timedelta(hours=4)
NIGHT = CutOff(date(2026, 11, 20), FOUR)


def china(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC) - timedelta(hours=8)


def days(*cut_offs: CutOff, **bills: BillDay) -> Days:
    return Days(cut_offs={("m1", "s1"): cut_offs}, bills=bills)


@pytest.mark.parametrize(
    ("at", "without", "at_four"),
    [
        (china(21, 23, 59, 59), "2026-11-21", "2026-11-21"),
        (china(22, 0), "2026-11-22", "2026-11-21"),
        (china(22, 3, 59, 59), "2026-11-22", "2026-11-21"),
        (china(22, 4), "2026-11-22", "2026-11-22"),
    ],
)
def test_a_day_ends_at_the_stores_cut_off(at: datetime, without: str, at_four: str) -> None:
    assert days().business_date("m1", "s1", at) == without
    assert days(NIGHT).business_date("m1", "s1", at) == at_four
    assert days(NIGHT).business_date("m1", "s2", at) == without


def test_a_new_cut_off_leaves_the_day_under_way_as_it_was() -> None:
    """From the 22nd on at 06:00: the 21st, begun at 04:00, then lasts until then."""
    both = days(NIGHT, CutOff(date(2026, 11, 22), timedelta(hours=6)))
    found = [both.business_date("m1", "s1", china(*at)) for at in ((21, 4), (22, 5, 59), (22, 6))]
    assert found == ["2026-11-21", "2026-11-21", "2026-11-22"]
    assert both.business_date("m1", "s1", china(21, 3, 59)) == "2026-11-20"


@pytest.mark.parametrize(
    ("begins_h", "at", "day"),
    [
        (0, china(21, 23, 59, 59), "2026-11-21"),
        (0, china(22, 0), "2026-11-22"),
        (-1, china(21, 22, 59, 59), "2026-11-21"),
        (-1, china(21, 23), "2026-11-22"),
    ],
)
def test_a_bills_day_begins_by_the_channels_rule(begins_h: int, at: datetime, day: str) -> None:
    bill = BillDay(begins=timedelta(hours=begins_h), refunds_by="accepted")
    assert days(NIGHT, union=bill).channel_date("union", at) == day
    assert days(NIGHT, union=bill).channel_date("drawer", at) is None


def paid(
    paid_at: datetime | None, *, now: datetime, of: Payment, tried: Attempt, **fields: Any
) -> Payment:
    """As the word of a channel whose bill begins at 23:00 leaves it."""
    yes = o.Succeeded(amount=1000, channel_trade_no="C1", paid_at=paid_at)
    bill = BillDay(begins=timedelta(hours=-1), refunds_by="finished")
    at_four = days(NIGHT, wallet=bill)
    seen = replace(occasion(**fields), now=now, days=at_four)
    change = learned(of, tried, yes, seen)
    assert change is not None
    return change.payment


def dates(of: Payment) -> tuple[str, str | None]:
    return of.business_date, of.channel_date


def test_a_payment_belongs_to_the_day_of_its_success() -> None:
    """Opened on the 21st, taken at 23:30, heard of after the cut-off."""
    heard = paid(china(21, 23, 30), now=china(22, 4, 1), of=payment(), tried=attempt())
    assert dates(heard) == ("2026-11-21", "2026-11-22")
    later = paid(china(22, 4), now=china(22, 4, 1), of=payment(), tried=attempt())
    assert dates(later) == ("2026-11-22", "2026-11-22")


def test_where_the_channel_tells_no_time_the_hearing_counts() -> None:
    heard = paid(None, now=china(22, 23, 5), of=payment(), tried=attempt())
    assert dates(heard) == ("2026-11-22", "2026-11-23")


def test_late_money_belongs_to_the_day_it_arrives_on_and_to_its_bill() -> None:
    ended = attempt("reversed")
    failed = payment("failed", ended)
    asked = {"source": "query", "asked_after_end": True}
    heard = paid(china(21, 12), now=china(23, 9), of=failed, tried=ended, **asked)
    assert (heard.status, *dates(heard)) == ("paid_late", "2026-11-23", "2026-11-21")


def test_a_payment_by_the_older_rule_keeps_its_day() -> None:
    older = payment(days=DayRule.BY_OPENING)
    heard = paid(china(22, 12), now=china(22, 12), of=older, tried=attempt())
    assert (heard.status, *dates(heard)) == ("succeeded", "2026-11-21", None)


@pytest.mark.parametrize(
    ("rule", "after_acceptance", "at_the_end"),
    [("accepted", "2026-11-21", "2026-11-21"), ("finished", None, "2026-11-23")],
)
def test_a_refund_stands_in_the_bill_of_its_acceptance_or_of_its_end(
    rule: str, after_acceptance: str | None, at_the_end: str
) -> None:
    seen = replace(
        occasion("refund"),
        days=days(wallet=BillDay(refunds_by=rule)),  # type: ignore[arg-type]
        now=china(23, 12),
    )
    settled = attempt("succeeded", reserved_amount=400)
    bought, asked = payment("succeeded", settled), refund()
    pending = o.RefundPending(accepted_at=china(21, 23, 59))
    change = refund_learned(bought, asked, pending, seen)
    assert change is not None
    assert change.refund is not None
    assert change.refund.channel_date == after_acceptance
    done = o.RefundSucceeded(
        amount=400,
        channel_refund_no="R1",
        accepted_at=china(21, 23, 59),
        refunded_at=china(23, 0),
    )
    for before in (change.refund, asked):  # its acceptance heard of, or only its end
        ended = refund_learned(bought, before, done, seen)
        assert ended is not None
        assert ended.refund is not None
        assert ended.refund.channel_date == at_the_end
