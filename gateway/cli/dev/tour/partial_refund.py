"""One dish goes back: a part of the money returns, and the channel agrees to the fen."""

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, accepted, expect, payment_code
from gateway.domain.money import yuan

AMOUNT, RETURNED = 15_000, 2_999


async def alipay(stage: Stage) -> Played:
    """Answered at once."""
    return await _play(stage, "alipay")


async def wechat(stage: Stage) -> Played:
    """Accepted, then finished by the channel."""
    return await _play(stage, "wechat")


async def _play(stage: Stage, channel: str) -> Played:
    payment = await stage.until(
        await stage.pay({"amount": AMOUNT, "auth_code": payment_code(channel)}), {"succeeded"}
    )
    number = f"R-{payment['order_no']}"
    wanted = {"refund_no": number, "amount": RETURNED, "reason": "one dish returned"}
    refund = await stage.until_refunded(
        accepted(await stage.till.refund(payment["id"], wanted, f"tour-{number}"))
    )
    expect(
        accepted(await stage.till.payment(payment["id"])),
        amount_captured=AMOUNT,
        amount_refunded=RETURNED,
    )
    trade = await stage.trade(channel, payment["out_trade_no"])
    if trade["refunded"] != RETURNED:
        raise StepFailed(f"the ledger refunded {trade['refunded']} fen, not {RETURNED}")
    return Played(str(refund["status"]), f"{yuan(RETURNED)} of {yuan(AMOUNT)} given back")
