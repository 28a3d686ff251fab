"""Cash: the till says what was tendered, we say the change,
and the drawer's journal gets its two lines.

A drawer account has no limit and no balance row, only lines, so no row is hot. Debit positive:
money in the drawer is a debit of `drawer/<store>/<terminal>` against `takings/<store>`; a refund is
the same two lines reversed.
"""

from __future__ import annotations

from adapters.channel import Entry, LocalPay, LocalSucceeded
from gateway.domain.outcomes import Declined, FailureCode, Retry

NO_TERMINAL = "office"  # the drawer of payments that a merchant key books


class CashDrawer:
    """See `adapters.channel.LocalChannel`."""

    def decide(self, request: LocalPay) -> LocalSucceeded | Declined:
        """Paid unless too little was tendered; `change` is what goes back over the counter."""
        tendered = request.amount if request.tendered is None else request.tendered
        if tendered < request.amount:
            return Declined(
                code=FailureCode.TENDERED_TOO_LITTLE, retry=Retry.SAME_METHOD, failover_useful=False
            )
        return LocalSucceeded(
            entries=_lines(request, request.amount), change=tendered - request.amount
        )

    def decide_refund(self, request: LocalPay) -> LocalSucceeded | Declined:
        """Always possible: the cashier hands the money over."""
        return LocalSucceeded(entries=_lines(request, -request.amount), change=None)


def build() -> CashDrawer:
    """Cash has no account to sign in to."""
    return CashDrawer()


def _lines(request: LocalPay, amount: int) -> tuple[Entry, ...]:
    drawer = f"drawer/{request.store_id}/{request.terminal_id or NO_TERMINAL}"
    return (
        Entry(account=drawer, amount=amount),
        Entry(account=f"takings/{request.store_id}", amount=-amount),
    )
