"""The customer scans the table's code and pays when ready; the channel's callback (or our query)
brings the news.
"""

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, expect, verdict

AMOUNT = 8_800


async def alipay(stage: Stage) -> Played:
    """Alipay 扫码支付."""
    return await _play(stage, "alipay")


async def wechat(stage: Stage) -> Played:
    """WeChat Pay Native."""
    return await _play(stage, "wechat")


async def _play(stage: Stage, channel: str) -> Played:
    shown = await stage.pay({"amount": AMOUNT, "method": channel, "flow": "qr"})
    shown = await stage.until(shown, {"awaiting_payer"})
    action = shown["next_action"] or {}
    if action.get("type") != "show_qr" or not action.get("qr_code"):
        raise StepFailed(f"no QR code to show: next_action is {action}")
    await stage.control.customer_pays(shown["out_trade_no"])
    payment = await stage.until(shown, {"succeeded"})
    expect(payment, amount_captured=AMOUNT)
    return Played(verdict(payment), action["qr_code"][:48])
