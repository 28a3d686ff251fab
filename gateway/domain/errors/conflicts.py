"""What the request collides with: a payment, a refund, an order, a limit."""

from __future__ import annotations

from gateway.domain.errors.families import Conflict


class OrderTenderTaken(Conflict):
    """The order tender is live or paid under another key."""

    code, title, zh = (
        "order_tender_taken",
        "This tender of the order is already being paid or paid",
        "该订单已在收款或已收款",
    )


class AlreadyPaid(Conflict):
    code, title, zh = (
        "already_paid",
        "The payment is paid: give the money back with a refund",
        "订单已支付，请使用退款",
    )
    verdict = "paid"


class PaymentNotPaid(Conflict):
    code, title, zh = (
        "payment_not_paid",
        "The payment has captured nothing to refund",
        "订单未支付，无法退款",
    )


class RefundExceedsCaptured(Conflict):
    code, title, zh = (
        "refund_exceeds_captured",
        "The refund is more than what is left of the captured amount",
        "退款金额超出可退金额",
    )


class RefundNoTaken(Conflict):
    code, title, zh = (
        "refund_no_taken",
        "This refund number was used for another refund",
        "退款单号已被使用",
    )


class PaymentFrozen(Conflict):
    """A channel said something that cannot be right; a person decides."""

    code, title, zh = (
        "payment_frozen",
        "The payment is frozen until a person has looked at it",
        "订单已冻结，需人工处理",
    )


class OrderInDoubt(Conflict):
    """Another tender of the order may have charged; a supervisor may override."""

    code, title = (
        "order_in_doubt",
        (
            "Another tender of this order is still being checked: wait for it, "
            "or ask a supervisor to override"
        ),
    )
    zh = "该订单另一笔收款结果确认中，请等待，或由主管确认后继续"


class OrderOverpaid(Conflict):
    """The tenders of the order would exceed its amount; nothing was sent."""

    code, title = (
        "order_overpaid",
        "The tenders of this order would exceed its amount: charge no more than what is left",
    )
    zh = "收款合计超出订单总额，未发起收款，请核对剩余应收金额"
    verdict = "try_again"


class OverrideRefused(Conflict):
    """The payment that the override names is not in doubt any more; it is carried, and its verdict
    says what to do.
    """

    code, title = (
        "override_refused",
        "The payment to be overridden is not in doubt any more: see how it ended",
    )
    zh = "原收款已有结果，无需覆盖，请查看其结果"


class WebhookEndpointsFull(Conflict):
    code, zh = "webhook_endpoints_full", "启用的回调地址已达上限"
    title = "There are as many enabled webhook endpoints as there may be: disable one"
    verdict = "try_again"


class WebhookEndpointDisabled(Conflict):
    code, title, zh = (
        "webhook_endpoint_disabled",
        "The webhook endpoint is disabled: enable it first",
        "回调地址已停用，请先启用",
    )
    verdict = "try_again"


class CursorAhead(Conflict):
    """A place in the feed of events that these books do not have."""

    code, title = (
        "cursor_ahead",
        (
            "The books were restored from a backup since this cursor was issued: begin again "
            "without after; events that you have seen come with the ids you know"
        ),
    )
    zh = "账本已从备份恢复，该游标不再有效，请不带 after 重新读取；已处理过的事件可按 id 去重"


class SignatureUsed(Conflict):
    """The very same signed request came before, and its answer was not kept."""

    code, title, zh = (
        "signature_used",
        "This signed request was taken already and acts once: look at the object, then sign anew",
        "该签名请求已受理，不会重复执行，请先查询结果，再重新签名",
    )
    verdict = "try_again"
