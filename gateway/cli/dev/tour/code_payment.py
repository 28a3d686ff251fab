"""The till scans the customer's code; the answer is there before the cashier looks up."""

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, expect, payment_code, verdict

AMOUNT = 12_850


async def alipay(stage: Stage) -> Played:
    """Alipay 当面付."""
    return await _play(stage, "alipay")


async def wechat(stage: Stage) -> Played:
    """WeChat Pay 付款码."""
    return await _play(stage, "wechat")


async def _play(stage: Stage, channel: str) -> Played:
    payment = await stage.until(
        await stage.pay({"amount": AMOUNT, "auth_code": payment_code(channel)})
    )
    expect(payment, status="succeeded", method=channel, amount_captured=AMOUNT)
    trade = await stage.trade(channel, payment["out_trade_no"])
    if trade["state"] != "charged" or trade["amount"] != AMOUNT:
        raise StepFailed(f"the ledger says {trade['state']} {trade['amount']}")
    return Played(verdict(payment), payment["verdict"]["zh"])
