"""The channel charged and its answer was lost:
in doubt, nobody charges again, and a query finds the truth.

At WeChat Pay, whose code payments have no callback: at Alipay the callback may be faster than our
own doubt.
"""

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, expect, payment_code, verdict

AMOUNT = 9_900


async def is_resolved(stage: Stage) -> Played:
    """Magic code 05."""
    payment = await stage.until(
        await stage.pay({"amount": AMOUNT, "auth_code": payment_code("wechat", "05")}, wait_s=0)
    )
    expect(payment, status="succeeded", amount_captured=AMOUNT)
    happened = await stage.event_types(payment["id"], "payment.succeeded")
    if "payment.in_doubt" not in happened:
        raise StepFailed(f"the payment was never in doubt: {happened}")
    trade = await stage.trade("wechat", payment["out_trade_no"])
    if sum(act["act"] == "charged" for act in trade["history"]) != 1:
        raise StepFailed(f"the ledger's history is {trade['history']}")
    return Played(verdict(payment), "do_not_charge_again -> paid, charged once")
