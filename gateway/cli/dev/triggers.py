"""What makes each kind of event happen: the sandbox's customer and its faults, over the same calls
as a till's. What comes is a real event of a real payment.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway.cli.dev.listener import Listener
from gateway.cli.dev.tour.stage import (
    LIES,
    SETTLE_S,
    Stage,
    StepFailed,
    accepted,
    payment_code,
    stage_of,
)
from gateway.cli.failures import CommandError
from gateway.domain.statuses import PaymentStatus

Document = dict[str, Any]
AMOUNT: Final = 2_600
WAIT_S: Final = 5


async def pull(kind: str, shop: Document) -> Document:
    """The payment or refund that the event is about. `shop` is dev.json."""
    async with stage_of(shop, Listener(""), "") as stage:
        try:
            return await TRIGGERS[kind](stage)
        except StepFailed as failure:
            raise CommandError(str(failure)) from failure


async def _succeeded(stage: Stage) -> Document:
    return await _scanned(stage, "00", "succeeded")


async def _failed(stage: Stage) -> Document:
    return await _scanned(stage, "01", "failed")


async def _awaiting_payer(stage: Stage) -> Document:
    return await _scanned(stage, "04", "awaiting_payer")


async def _expired(stage: Stage) -> Document:
    return await _scanned(stage, "04", "expired")


async def _in_doubt(stage: Stage) -> Document:
    return await _scanned(stage, "06", "in_doubt")


async def _canceled(stage: Stage) -> Document:
    waiting = await _awaiting_payer(stage)
    asked = accepted(await stage.till.cancel(waiting["id"], wait_s=WAIT_S))
    return await stage.until(asked, {"canceled"})


async def _paid_late(stage: Stage) -> Document:
    """The channel refuses, and charges all the same."""
    async with stage.trouble("alipay", *LIES):
        code = payment_code("alipay")
        failed = await stage.until(await stage.pay({"amount": AMOUNT, "auth_code": code}))
    await stage.control.tell("alipay", failed["channel_account"], failed["out_trade_no"])
    return await _until_late(stage, failed)


async def _until_late(stage: Stage, payment: Document) -> Document:
    deadline = time.monotonic() + SETTLE_S
    while payment["status"] != PaymentStatus.PAID_LATE:
        if time.monotonic() > deadline:
            raise StepFailed(f"payment {payment['id']} is {payment['status']}")
        payment = accepted(await stage.till.payment(payment["id"], wait_s=1))
    return payment


async def _refund_succeeded(stage: Stage) -> Document:
    return await stage.until_refunded(await _refund(stage))


async def _refund_processing(stage: Stage) -> Document:
    """WeChat Pay says first that it is being processed."""
    return await _refund(stage)


async def _refund(stage: Stage) -> Document:
    code = payment_code("wechat")
    paid = await stage.until(await stage.pay({"amount": AMOUNT, "auth_code": code}), {"succeeded"})
    number = stage.order_no()
    body = {"refund_no": number, "amount": AMOUNT, "reason": "tillgate trigger"}
    return accepted(await stage.till.refund(paid["id"], body, number))


async def _scanned(stage: Stage, magic: str, wanted: str) -> Document:
    code = payment_code("alipay", magic)
    return await stage.until(await stage.pay({"amount": AMOUNT, "auth_code": code}), {wanted})


TRIGGERS: Final[Mapping[str, Callable[[Stage], Awaitable[Document]]]] = {
    "payment.succeeded": _succeeded,
    "payment.failed": _failed,
    "payment.awaiting_payer": _awaiting_payer,
    "payment.expired": _expired,
    "payment.in_doubt": _in_doubt,
    "payment.canceled": _canceled,
    "payment.paid_late": _paid_late,
    "refund.processing": _refund_processing,
    "refund.succeeded": _refund_succeeded,
}
