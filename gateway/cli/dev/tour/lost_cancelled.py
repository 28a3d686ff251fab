"""Nobody says what became of the payment: it is cancelled, and only the channel's word that it is
undone lets the till charge again.
"""

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, expect, payment_code, verdict

AMOUNT = 4_300


async def is_safe(stage: Stage) -> Played:
    """WeChat Pay charges, its answer is lost, and so is the answer to every query."""
    async with stage.trouble("wechat", ("pay", "drop_after_charge"), ("query", "http_500_before")):
        waiting = await stage.until(
            await stage.pay({"amount": AMOUNT, "auth_code": payment_code("wechat")}, wait_s=1),
            {"in_doubt"},
        )
        payment = await stage.until(waiting)
    expect(payment, status="failed", amount_captured=0)
    trade = await stage.trade("wechat", payment["out_trade_no"])
    if trade["state"] != "reversed":
        raise StepFailed(f"the channel says {trade['state']}")
    return Played(
        verdict(payment),
        f"{verdict(waiting)} -> cancelled -> {verdict(payment)}, the charge was given back",
    )
