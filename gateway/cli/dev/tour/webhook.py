"""The merchant's server is told of a payment: signed, with the payment as it stands, and a forged
copy is not believed.

The demo's endpoint is enabled for the tour and disabled at its end. Nobody would read what it is
sent afterwards, and letters to nobody only hide those that matter.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from gateway.cli.dev.listener import Message, believed
from gateway.cli.dev.tour.stage import (
    SETTLE_S,
    Played,
    Stage,
    StepFailed,
    accepted,
    expect,
    payment_code,
)

AMOUNT = 4_200
SUCCEEDED = "payment.succeeded"


async def is_received_and_verified(stage: Stage) -> Played:
    """One code payment; then the endpoint rests."""
    payment = await stage.until(
        await stage.pay({"amount": AMOUNT, "auth_code": payment_code("alipay")})
    )
    expect(payment, status="succeeded")
    message = await stage.listener.message(SUCCEEDED, payment["id"], SETTLE_S)
    if message is None:
        raise StepFailed(
            f"no {SUCCEEDED} of {payment['id']} was received: the log of `work` says why"
        )
    expect(
        message.document["data"]["payment"],
        id=payment["id"],
        status="succeeded",
        amount_captured=AMOUNT,
    )
    _expect_no_belief_in_a_copy(stage, message)
    told = await _all_told(stage)
    accepted(await stage.server.call("POST", f"/v1/webhook-endpoints/{stage.endpoint_id}/disable"))
    return Played(
        "verified",
        f"{SUCCEEDED}, signature holds, a forged copy does not; {told} webhooks in this tour",
    )


def _expect_no_belief_in_a_copy(stage: Stage, message: Message) -> None:
    """One digit of the amount is another."""
    assert stage.listener.secret is not None, "the message was believed with it"
    forged = replace(
        message, body=message.body.replace(str(AMOUNT).encode(), str(AMOUNT + 1).encode(), 1)
    )
    if forged == message or believed(stage.listener.secret, forged):
        raise StepFailed("a webhook whose amount was changed on the way was believed")


async def _all_told(stage: Stage) -> int:
    """How many the merchant has, once nothing waits any more."""
    deadline = time.monotonic() + SETTLE_S
    while accepted(
        await stage.server.call(
            "GET", f"/v1/webhook-endpoints/{stage.endpoint_id}/deliveries?state=waiting&limit=1"
        )
    )["data"]:
        if time.monotonic() > deadline:
            raise StepFailed("webhooks still wait; the log of `work` says why")
        await asyncio.sleep(0.1)
    return len(stage.listener.messages)
