"""The wallet asks the customer for the password: the till waits and sees it end."""

from gateway.cli.dev.tour.stage import Played, Stage, expect, payment_code, verdict

AMOUNT = 52_000


async def then_paid(stage: Stage) -> Played:
    """Magic code 03: the customer types, then has paid."""
    waiting = await stage.pay(
        {"amount": AMOUNT, "auth_code": payment_code("wechat", "03")}, wait_s=0
    )
    waiting = await stage.until(waiting, {"awaiting_payer"})
    expect(waiting, amount_captured=0)
    payment = await stage.until(waiting, {"succeeded"})
    expect(payment, amount_captured=AMOUNT)
    return Played(verdict(payment), f"{verdict(waiting)} -> {verdict(payment)}")
