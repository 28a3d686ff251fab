"""The customer never types the password and the cashier gives up.

Canceled, and proved not charged.
"""

from gateway.cli.dev.tour.stage import (
    Played,
    Stage,
    StepFailed,
    accepted,
    expect,
    payment_code,
    verdict,
)

AMOUNT = 7_700


async def of_a_waiting_payment(stage: Stage) -> Played:
    """Magic code 04, then cancel."""
    waiting = await stage.until(
        await stage.pay({"amount": AMOUNT, "auth_code": payment_code("alipay", "04")}, wait_s=1),
        {"awaiting_payer"},
    )
    asked = accepted(await stage.till.cancel(waiting["id"], wait_s=5))
    payment = await stage.until(asked, {"canceled"})
    expect(payment, amount_captured=0)
    trade = await stage.trade("alipay", payment["out_trade_no"])
    if trade["state"] not in {"closed", "reversed"}:
        raise StepFailed(f"the ledger says {trade['state']}")
    return Played(verdict(payment), f"the channel's trade is {trade['state']}")
