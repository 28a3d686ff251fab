"""What the request collides with: a payment, a refund, an order, a limit."""

from __future__ import annotations

from gateway.domain.errors.families import Conflict
from gateway.domain.verdicts import VerdictCode, Words

_SAME_BILL_OR_ANOTHER = Words(
    "同一账单：只收剩余金额，作为下一笔收款。另一账单：请换新单号",
    ("Same bill: charge only the rest, as the next tender. Another bill: take a new number"),
)


class OrderTenderTaken(Conflict):
    """The order tender is under way under another key."""

    code, title, zh = (
        "order_tender_taken",
        "This tender of the order is being paid by another request: wait for its result",
        "该单号正在收款，请等待结果",
    )
    tells_of_payment = True


class OrderUsed(Conflict):
    """The order tender was paid under another key. Without a payment: in another store."""

    code, title, zh = (
        "order_used",
        (
            "This number was used before. Same bill: charge only the rest, as the next tender. "
            "Another bill: take a new number"
        ),
        "此单号已使用。同一账单：只收剩余金额，作为下一笔收款。另一账单：请换新单号",
    )
    verdict = VerdictCode.FIX_AND_TRY
    tells_of_payment = True
    advice = _SAME_BILL_OR_ANOTHER


class AlreadyPaid(Conflict):
    code, title, zh = (
        "already_paid",
        "The payment is paid: give the money back with a refund",
        "订单已支付，请使用退款",
    )
    verdict = VerdictCode.ALREADY_PAID
    tells_of_payment = True
    advice = Words("未撤销，退回款项请使用退款", "Not cancelled: to give the money back, refund it")


class PaymentNotPaid(Conflict):
    code, title, zh = (
        "payment_not_paid",
        "The payment has captured nothing to refund",
        "订单未支付，无法退款",
    )
    tells_of_payment = True


class RefundExceedsCaptured(Conflict):
    code, title, zh = (
        "refund_exceeds_captured",
        "The refund is more than what is left of the captured amount",
        "退款金额超出可退金额",
    )
    verdict = VerdictCode.FIX_AND_TRY


class RefundNoTaken(Conflict):
    code, title, zh = (
        "refund_no_taken",
        "This refund number was used for another refund",
        "退款单号已被使用",
    )
    verdict = VerdictCode.FIX_AND_TRY


class PaymentFrozen(Conflict):
    """A channel said something that cannot be right; a person decides."""

    code, title, zh = (
        "payment_frozen",
        "The payment is frozen until a person has looked at it",
        "订单已冻结，需人工处理",
    )
    tells_of_payment = True


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
    tells_of_payment = True


class OrderOverpaid(Conflict):
    """The tenders of the order would exceed its amount; nothing was sent."""

    code, title = (
        "order_overpaid",
        "The tenders of this order would exceed its amount: charge no more than what is left",
    )
    zh = "收款合计超出订单总额，未发起收款，请核对剩余应收金额"
    verdict = VerdictCode.FIX_AND_TRY


class OverrideRefused(Conflict):
    """The payment that the override names is not in doubt any more; it is carried, and its verdict
    says what to do.
    """

    code, title = (
        "override_refused",
        "The payment to be overridden is not in doubt any more: see how it ended",
    )
    zh = "原收款已有结果，无需覆盖，请查看其结果"
    tells_of_payment = True
    advice = _SAME_BILL_OR_ANOTHER


class WebhookEndpointsFull(Conflict):
    code, zh = "webhook_endpoints_full", "启用的回调地址已达上限"
    title = "There are as many enabled webhook endpoints as there may be: disable one"
    verdict = VerdictCode.FIX_AND_TRY


class WebhookEndpointDisabled(Conflict):
    code, title, zh = (
        "webhook_endpoint_disabled",
        "The webhook endpoint is disabled: enable it first",
        "回调地址已停用，请先启用",
    )
    verdict = VerdictCode.FIX_AND_TRY


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
    verdict = VerdictCode.FIX_AND_TRY


class SignatureUsed(Conflict):
    """The very same signed request came before, and its answer was not kept."""

    code, title, zh = (
        "signature_used",
        "This signed request was taken already and acts once: look at the object, then sign anew",
        "该签名请求已受理，不会重复执行，请先查询结果，再重新签名",
    )
    verdict = VerdictCode.FIX_AND_TRY
