"""The first account cannot be reached: nothing was sent, so the backup takes the same payment with
the same code.
"""

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, expect, payment_code, verdict

AMOUNT = 8_800


async def backup_pays(stage: Stage) -> Played:
    """Alipay's first account refuses connections."""
    async with stage.trouble("alipay", ("pay", "refuse_connection"), first_account_only=True):
        payment = await stage.until(
            await stage.pay({"amount": AMOUNT, "auth_code": payment_code("alipay")})
        )
    expect(
        payment,
        status="succeeded",
        amount_captured=AMOUNT,
        channel_account=stage.accounts["alipay"][1],
    )
    trades = [
        row
        for attempt in payment["attempts"]
        for row in await stage.ledger("alipay")
        if row["out_trade_no"] == attempt["out_trade_no"]
    ]
    if len(trades) != 1:
        raise StepFailed(f"one charge was expected, the ledgers have {len(trades)}")
    return Played(
        verdict(payment), f"primary down, {len(payment['attempts'])} attempts, charged once"
    )
