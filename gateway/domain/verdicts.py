"""What a cashier or a diner reads: one clear sentence each, zh-CN and English."""

from __future__ import annotations

from msgspec import Struct

from gateway.domain.outcomes import FailureCode
from gateway.domain.payment import Payment
from gateway.domain.statuses import PaymentStatus, RefundStatus


class Verdict(Struct, frozen=True):
    """`code` is stable and for machines; `zh` and `en` are for the screen of a till."""

    code: str
    zh: str
    en: str


VERDICTS = {
    verdict.code: verdict
    for verdict in (
        Verdict("paid", "收款成功", "Paid"),
        Verdict("wait", "等待顾客付款，请稍候", "Waiting for the customer to pay"),
        Verdict(
            "do_not_charge_again",
            "结果确认中，请勿重复收款",
            "Result being checked: do not charge again",
        ),
        Verdict(
            "safe_to_charge_again", "未收款，可以重新收款", "Not charged: you may charge again"
        ),
        Verdict(
            "refund_under_way",
            "款项到账过晚，正在自动退款",
            "The money came too late and is being given back",
        ),
        Verdict("refunded", "已退款", "Refunded"),
        Verdict("refund_needs_action", "退款需人工处理", "The refund needs a person's attention"),
        Verdict("refund_failed", "退款未成功，款项未退回", "Refund refused: no money moved"),
        Verdict("try_again", "请求未受理，请重试", "Nothing was sent: please try again"),
    )
}

BY_STATUS = {
    PaymentStatus.PROCESSING: "wait",
    PaymentStatus.AWAITING_PAYER: "wait",
    PaymentStatus.IN_DOUBT: "do_not_charge_again",
    PaymentStatus.SUCCEEDED: "paid",
    PaymentStatus.FAILED: "safe_to_charge_again",
    PaymentStatus.EXPIRED: "safe_to_charge_again",
    PaymentStatus.CANCELED: "safe_to_charge_again",
}
# Every other status of a refund: it is under way.
_BY_REFUND = {
    RefundStatus.SUCCEEDED: "refunded",
    RefundStatus.FAILED: "refund_failed",
    RefundStatus.NEEDS_ACTION: "refund_needs_action",
}

FAILURES: dict[FailureCode, tuple[str, str]] = {
    FailureCode.INSUFFICIENT_BALANCE: (
        "余额不足，请顾客更换付款方式",
        "Not enough balance: ask for another way to pay",
    ),
    FailureCode.AUTH_CODE_EXPIRED: (
        "付款码已过期，请刷新后重新扫码",
        "The payment code has expired: scan a fresh one",
    ),
    FailureCode.AUTH_CODE_INVALID: (
        "付款码无效，请刷新后重新扫码",
        "The payment code is not valid: scan a fresh one",
    ),
    FailureCode.PAYER_ACCOUNT_RESTRICTED: (
        "顾客账户受限，请更换付款方式",
        "The customer's account is restricted: ask for another way to pay",
    ),
    FailureCode.PAYER_LIMIT_EXCEEDED: (
        "超出顾客支付限额，请更换付款方式",
        "Over the customer's limit: ask for another way to pay",
    ),
    FailureCode.PAYMENT_REFUSED: (
        "支付被拒绝，请更换付款方式",
        "Refused: ask for another way to pay",
    ),
    FailureCode.RISK_REFUSED: (
        "支付存在风险被拒绝，请更换付款方式",
        "Refused for risk: ask for another way to pay",
    ),
    FailureCode.MERCHANT_LIMIT_EXCEEDED: (
        "超出商户收款限额，请更换付款方式",
        "Over the shop's limit: use another way to pay",
    ),
    FailureCode.MERCHANT_RESTRICTED: (
        "商户收款权限受限，请联系管理员",
        "The shop's account is restricted: call your administrator",
    ),
    FailureCode.CHANNEL_CONFIGURATION: (
        "渠道配置有误，请联系管理员",
        "The channel is not set up correctly: call your administrator",
    ),
    FailureCode.CHANNEL_BUSY: (
        "渠道繁忙，请稍后重试",
        "The channel is busy: try again in a moment",
    ),
    FailureCode.CHANNEL_UNREACHABLE: (
        "渠道无法连接，未扣款，请重试",
        "The channel cannot be reached, nothing was charged: try again",
    ),
    FailureCode.REQUEST_REFUSED: (
        "支付请求被拒绝，请核对订单",
        "The request was refused: check the order",
    ),
    FailureCode.TENDERED_TOO_LITTLE: ("实收金额不足", "The cash given is less than the amount"),
    FailureCode.PAYER_TIMEOUT: ("顾客未在时限内付款", "The customer did not pay in time"),
    FailureCode.CANCELED: ("已撤销", "Cancelled"),
    FailureCode.NOT_CHARGED: ("已确认未扣款", "Confirmed: not charged"),
    FailureCode.UNSUPPORTED: ("不支持的操作", "Not supported"),
}


def verdict_of(payment: Payment) -> Verdict:
    if payment.status == PaymentStatus.PAID_LATE:
        return refund_verdict(payment.late_refund)
    return VERDICTS[BY_STATUS[payment.status]]


def refund_verdict(status: RefundStatus | None) -> Verdict:
    """None: the refund is not in the books yet."""
    code = _BY_REFUND.get(status, "refund_under_way") if status else "refund_under_way"
    return VERDICTS[code]
