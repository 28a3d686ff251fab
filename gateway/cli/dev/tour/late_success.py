"""The channel had refused, signed and sealed, and charges all the same:
the money goes back by itself.
"""

import time

from gateway.cli.dev.tour.stage import (
    LIES,
    SETTLE_S,
    Played,
    Stage,
    StepFailed,
    accepted,
    expect,
    payment_code,
    verdict,
)

AMOUNT = 6_100


async def is_refunded(stage: Stage) -> Played:
    """Alipay lies about the pay call, and tells the truth in its callback."""
    async with stage.trouble("alipay", *LIES):
        failed = await stage.until(
            await stage.pay({"amount": AMOUNT, "auth_code": payment_code("alipay")})
        )
    expect(failed, status="failed", amount_captured=0)
    await stage.control.tell("alipay", failed["channel_account"], failed["out_trade_no"])
    deadline = time.monotonic() + SETTLE_S
    payment = failed
    while verdict(payment) != "refunded":
        if time.monotonic() > deadline:
            raise StepFailed(f"payment {payment['id']} is {payment['status']}, {verdict(payment)}")
        payment = accepted(await stage.till.payment(payment["id"], wait_s=1))
    expect(payment, status="paid_late", amount_captured=AMOUNT, amount_refunded=AMOUNT)
    trade = await stage.trade("alipay", payment["out_trade_no"])
    if trade["refunded"] != AMOUNT:
        raise StepFailed(f"the channel gave {trade['refunded']} fen back")
    return Played(verdict(payment), f"{verdict(failed)} -> money came -> {verdict(payment)}")
