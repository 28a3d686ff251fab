"""The two days of money, both by China's clock: the store's business day, and the day of the
channel's bill that lists it.

A business day begins at the store's cut-off: with 04:00, what is paid at 03:59 is yesterday's. A
new cut-off counts from a business day on, so the day under way ends as it was meant to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.words import DayRule

SHANGHAI: Final = timezone(timedelta(hours=8))  # it has no summer time
MIDNIGHT: Final = timedelta(0)
CUT_OFF_BEFORE: Final = timedelta(hours=12)  # later ones would move a day's evening to the next day


class CutOff(NamedTuple):
    """From the business day `since` on, a day begins `begins` after midnight, before noon."""

    since: date
    begins: timedelta


class BillDay(Struct, frozen=True, kw_only=True):
    """When a day of a channel's bills begins, from its own midnight (-1 h: at 23:00 of the evening
    before), and by what the bill dates a refund: by the channel's acceptance, or by its end.
    """

    begins: timedelta = MIDNIGHT
    refunds_by: Literal["accepted", "finished"]


class Days(Struct, frozen=True, kw_only=True):
    """As the directory stands now.

    `cut_offs`: by merchant and store, oldest first; a store without one begins its days at
    midnight. `bills`: by channel; one without bills is in it not. `rule`: of new payments.
    """

    cut_offs: Mapping[tuple[str, str], Sequence[CutOff]] = {}
    bills: Mapping[str, BillDay] = {}
    rule: DayRule = DayRule.BY_SUCCESS

    def business_date(self, merchant_id: str, store_id: str, at: datetime) -> str:
        """The store's day that the moment `at` lies in, `YYYY-MM-DD`."""
        local = at.astimezone(SHANGHAI)
        begins = _begins(self.cut_offs.get((merchant_id, store_id), ()), local.date())
        return (local - begins).date().isoformat()

    def channel_date(self, channel: str, at: datetime) -> str | None:
        """The day of the channel's bill that `at` lies in; None: it has no bills."""
        bill = self.bills.get(channel)
        return None if bill is None else (at.astimezone(SHANGHAI) - bill.begins).date().isoformat()

    def of_success(
        self, payment: Payment, attempt: Attempt, paid_at: datetime, counts_at: datetime
    ) -> dict[str, Any]:
        """The fields that a payment gets when it is paid. `paid_at`: as the channel says;
        `counts_at`: the moment whose business day it belongs to.
        """
        if payment.days == DayRule.BY_OPENING:
            return {}
        return {
            "business_date": self.business_date(payment.merchant_id, payment.store_id, counts_at),
            "channel_date": self.channel_date(attempt.channel, paid_at),
        }

    def of_refund(
        self, refund: Refund, *, accepted_at: datetime, finished_at: datetime | None
    ) -> str | None:
        """Its `channel_date` now that the channel has accepted it, or ended it; what it has, it
        keeps.
        """
        bill = self.bills.get(refund.channel)
        if refund.channel_date is not None or bill is None:
            return refund.channel_date
        at = accepted_at if bill.refunds_by == "accepted" else finished_at
        return None if at is None else self.channel_date(refund.channel, at)


def _begins(cut_offs: Sequence[CutOff], day: date) -> timedelta:
    """After midnight of `day`."""
    return next((each.begins for each in reversed(cut_offs) if each.since <= day), MIDNIGHT)
