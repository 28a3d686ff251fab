"""What a cashier or a diner reads: one clear sentence each, zh-CN and English.

A code may have several sentences: `VERDICTS` holds the plain one of each, and the functions below
choose a closer one where more is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, timezone
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from gateway.domain.money import yuan
from gateway.domain.outcomes import FailureCode
from gateway.domain.payment import Payment
from gateway.domain.statuses import PaymentStatus, RefundStatus
from gateway.domain.words import Origin

SHANGHAI = timezone(timedelta(hours=8))  # it has no summer time


class VerdictCode(StrEnum):
    """What the cashier does. A till branches on this and on nothing else."""

    PAID = "paid"  # hands over the goods
    ALREADY_PAID = "already_paid"  # hands over nothing: the number was paid by another request
    WAIT = "wait"  # waits for the customer or for the channel
    DO_NOT_CHARGE_AGAIN = "do_not_charge_again"  # waits, and takes no other payment for it
    SAFE_TO_CHARGE_AGAIN = "safe_to_charge_again"  # may charge again: proven not charged
    REFUND_UNDER_WAY = "refund_under_way"  # tells the customer that the money is on its way back
    REFUNDED = "refunded"  # tells the customer that the money went back
    REFUND_NEEDS_ACTION = "refund_needs_action"  # calls a person for the refund
    REFUND_FAILED = "refund_failed"  # tells the customer that no money went back
    TRY_AGAIN = "try_again"  # sends the same request again: nothing was sent
    FIX_AND_TRY = "fix_and_try"  # changes the request: nothing was sent


class Verdict(Struct, frozen=True):
    """`code` is stable and for machines; `zh` and `en` are for the screen of a till."""

    code: VerdictCode
    zh: str
    en: str


class Words(Struct, frozen=True):
    """One thing said in both languages."""

    zh: str
    en: str


Titles = Mapping[str, Words]
"""The names of the channels, as people know them."""

VERDICTS: dict[VerdictCode, Verdict] = {
    verdict.code: verdict
    for verdict in (
        Verdict(VerdictCode.PAID, "收款成功", "Paid"),
        Verdict(
            VerdictCode.ALREADY_PAID,
            "此单号此前已收款",
            "This number was paid before",
        ),
        Verdict(VerdictCode.WAIT, "正在收款，请稍候", "The payment is being made: please wait"),
        Verdict(
            VerdictCode.DO_NOT_CHARGE_AGAIN,
            "结果确认中，请勿重复收款",
            "Result being checked: do not charge again",
        ),
        Verdict(
            VerdictCode.SAFE_TO_CHARGE_AGAIN,
            "未收款，可以重新收款",
            "Not charged: you may charge again",
        ),
        Verdict(
            VerdictCode.REFUND_UNDER_WAY,
            "退款处理中，款项将原路退回",
            "The refund is on its way to the customer",
        ),
        Verdict(VerdictCode.REFUNDED, "已退款", "Refunded"),
        Verdict(
            VerdictCode.REFUND_NEEDS_ACTION,
            "退款需人工处理",
            "The refund needs a person's attention",
        ),
        Verdict(
            VerdictCode.REFUND_FAILED, "退款未成功，款项未退回", "Refund refused: no money moved"
        ),
        Verdict(VerdictCode.TRY_AGAIN, "请求未受理，请重试", "Nothing was sent: please try again"),
        Verdict(
            VerdictCode.FIX_AND_TRY,
            "请求未受理，请按提示修改后再试",
            "Nothing was sent: change the request as it says, then try",
        ),
    )
}

# Closer sentences, where more is known than the code.
AWAITING_PAYER = Verdict(
    VerdictCode.WAIT,
    "等待顾客在手机上确认付款，请稍候",
    "Waiting for the customer to confirm on the phone",
)
CODE_SHOWN = Verdict(
    VerdictCode.WAIT,
    "等待顾客扫码付款，请稍候",
    "Waiting for the customer to scan and pay",
)
CANCELING = Verdict(
    VerdictCode.DO_NOT_CHARGE_AGAIN,
    "正在撤销，结果确认中，请勿重复收款",
    "Being cancelled, result being checked: do not charge again",
)
FROZEN = Verdict(
    VerdictCode.DO_NOT_CHARGE_AGAIN,
    "结果需人工核实，请勿重复收款",
    "A person has to check the result: do not charge again",
)
OVERRIDDEN = Verdict(
    VerdictCode.DO_NOT_CHARGE_AGAIN,
    "主管已允许另一笔收款；本笔如到账将自动退款，请勿重复收款",
    (
        "A supervisor let another payment in; should this one turn out paid, it is given back: "
        "do not charge it again"
    ),
)
SAFE_BESIDE_OVERRIDDEN = Verdict(
    VerdictCode.SAFE_TO_CHARGE_AGAIN,
    "本笔未收款，可以重新收款；主管此前放行时的原收款仍不作数，如到账将自动退款",
    (
        "Not charged: you may charge again. The payment that a supervisor overrode for it still "
        "does not count: should it turn out paid, it is given back"
    ),
)
LATE_UNDER_WAY = Verdict(
    VerdictCode.REFUND_UNDER_WAY,
    "款项到账过晚，正在自动退款",
    "The money came too late and is being given back",
)
SURPLUS_UNDER_WAY = Verdict(
    VerdictCode.REFUND_UNDER_WAY,
    "顾客重复付款，多付的一笔正在自动退款",
    "The customer paid twice: the second payment is being given back",
)

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
    """What the request hears that is bound to the payment, and who reads it by its id."""
    match payment.status:
        case PaymentStatus.PROCESSING:
            return VERDICTS[VerdictCode.WAIT]
        case PaymentStatus.AWAITING_PAYER:
            return CODE_SHOWN if payment.qr_code else AWAITING_PAYER
        case PaymentStatus.IN_DOUBT:
            return _in_doubt(payment)
        case PaymentStatus.SUCCEEDED:
            return _paid(payment)
        case PaymentStatus.FAILED | PaymentStatus.EXPIRED | PaymentStatus.CANCELED:
            return (
                VERDICTS[VerdictCode.SAFE_TO_CHARGE_AGAIN]
                if payment.overrides is None
                else SAFE_BESIDE_OVERRIDDEN
            )
        case PaymentStatus.PAID_LATE:
            return refund_verdict(payment.late_refund, Origin.LATE)
        case _:
            assert_never(payment.status)


def refund_verdict(status: RefundStatus | None, origin: Origin) -> Verdict:
    """None: the refund is not in the books yet."""
    match status:
        case RefundStatus.SUCCEEDED:
            return VERDICTS[VerdictCode.REFUNDED]
        case RefundStatus.FAILED:
            return VERDICTS[VerdictCode.REFUND_FAILED]
        case RefundStatus.NEEDS_ACTION:
            return VERDICTS[VerdictCode.REFUND_NEEDS_ACTION]
        case RefundStatus.REQUESTED | RefundStatus.PROCESSING | RefundStatus.IN_DOUBT | None:
            return _UNDER_WAY[origin]
        case _:
            assert_never(status)


def verdict_for_others(payment: Payment, titles: Titles, advice: Words) -> Verdict:
    """What a request hears that collides with the payment and did not make it.

    It never hears `paid`: its own customer has not paid. `advice`: what its cashier may do.
    """
    if payment.status is not PaymentStatus.SUCCEEDED:
        return verdict_of(payment)
    code = _paid(payment).code
    if code is VerdictCode.PAID:
        code = VerdictCode.ALREADY_PAID
    taken = _taken(payment, titles)
    return Verdict(code, f"{taken.zh}。{advice.zh}", f"{taken.en}. {advice.en}")


def _in_doubt(payment: Payment) -> Verdict:
    if payment.frozen_at is not None:
        return FROZEN
    if payment.overridden_at is not None:
        return OVERRIDDEN
    if payment.cancel_requested_at is not None:
        return CANCELING
    return VERDICTS[VerdictCode.DO_NOT_CHARGE_AGAIN]


def _paid(payment: Payment) -> Verdict:
    """Paid, until the whole amount is given back or promised back."""
    settling = payment.settling
    assert settling is not None, "a payment that succeeded has the attempt that captured"
    given_back, under_way = settling.returned_amount, settling.reserved_amount
    if settling.refundable == 0:
        return VERDICTS[VerdictCode.REFUND_UNDER_WAY if under_way else VerdictCode.REFUNDED]
    if not given_back and not under_way:
        return VERDICTS[VerdictCode.PAID]
    parts = _parts(given_back, under_way)
    return Verdict(VerdictCode.PAID, f"收款成功，其中{parts.zh}", f"Paid; of it {parts.en}")


def _taken(payment: Payment, titles: Titles) -> Words:
    """When, how much, how, by whom, and what of it went back."""
    settling = payment.settling
    assert settling is not None, "a payment that succeeded has the attempt that captured"
    at = (payment.paid_at or payment.created_at).astimezone(SHANGHAI)
    amount = yuan(settling.captured_amount)
    method = titles.get(payment.channel) or Words(payment.channel, payment.channel)
    payer = f" {payment.payer_masked}" if payment.payer_masked else ""
    zh = f"单号 {payment.order_no} 已于 {at:%Y-%m-%d %H:%M} 收款 {amount} 元（{method.zh}{payer}）"
    en = (
        f"Order {payment.order_no} took {amount} on {at:%Y-%m-%d} at {at:%H:%M} "
        f"by {method.en}{payer}"
    )
    parts = _parts(settling.returned_amount, settling.reserved_amount)
    return Words(f"{zh}，其中{parts.zh}", f"{en}, of it {parts.en}") if parts.zh else Words(zh, en)


def _parts(given_back: int, under_way: int) -> Words:
    """The part of a paid amount that refunds took, in yuan; empty where they took nothing."""
    zh, en = [], []
    if given_back:
        zh.append(f"已退款 {yuan(given_back)} 元")
        en.append(f"{yuan(given_back)} was refunded")
    if under_way:
        zh.append(f"退款中 {yuan(under_way)} 元")
        en.append(f"{yuan(under_way)} is on its way back")
    return Words("、".join(zh), " and ".join(en))


_UNDER_WAY = {
    Origin.MERCHANT: VERDICTS[VerdictCode.REFUND_UNDER_WAY],
    Origin.LATE: LATE_UNDER_WAY,
    Origin.SURPLUS: SURPLUS_UNDER_WAY,
}
