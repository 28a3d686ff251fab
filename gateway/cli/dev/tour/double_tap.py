"""The cashier taps twice: two requests with one key, one charge, proved by the channel's ledger."""

import asyncio

from gateway.cli.dev.tour.stage import Played, Stage, StepFailed, accepted, payment_code, verdict

AMOUNT = 6_600


async def charges_once(stage: Stage) -> Played:
    """Both answers are the same payment."""
    before = await _charges(stage)
    order_no = stage.order_no()
    body = {"order_no": order_no, "amount": AMOUNT, "auth_code": payment_code("alipay")}
    taps = await asyncio.gather(*(stage.till.pay(body, f"tour-{order_no}") for _ in range(2)))
    payments = [await stage.until(accepted(tap)) for tap in taps]
    if payments[0]["id"] != payments[1]["id"] or sorted(tap.replayed for tap in taps) != [
        False,
        True,
    ]:
        raise StepFailed(
            f"two taps made {payments[0]['id']} and {payments[1]['id']}, "
            f"replayed {[tap.replayed for tap in taps]}"
        )
    charges = await _charges(stage) - before
    if charges != 1:
        raise StepFailed(f"the ledger has {charges} new charges for one order")
    return Played(verdict(payments[0]), "2 requests, 1 payment, 1 charge in the ledger")


async def _charges(stage: Stage) -> int:
    return sum(
        act["act"] == "charged"
        for trade in await stage.ledger("alipay")
        for act in trade["history"]
    )
