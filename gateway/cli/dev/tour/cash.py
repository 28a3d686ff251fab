"""Cash: decided and booked in one write, the change computed for the cashier."""

from gateway.cli.dev.tour.stage import Played, Stage, expect, verdict
from gateway.domain.money import yuan

AMOUNT, TENDERED = 4_650, 10_000


async def with_change(stage: Stage) -> Played:
    """A hundred for 46.50."""
    payment = await stage.pay({"amount": AMOUNT, "method": "cash", "cash": {"tendered": TENDERED}})
    expect(payment, status="succeeded", amount_captured=AMOUNT, change=TENDERED - AMOUNT)
    return Played(verdict(payment), f"{yuan(TENDERED)} tendered, {yuan(payment['change'])} change")
