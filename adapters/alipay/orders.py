"""Ours → Alipay's, pure: the `biz_content` of what we send."""

from typing import Final

from adapters.alipay import wire
from adapters.channel import PayRequest, RefundRequest
from gateway.domain.money import yuan
from security.secret import Secret

FACE_CODE_PREFIX: Final = "fp"  # what a device that reads faces gives in place of digits

STORE_ID_CHARS_MAX: Final = 32
TERMINAL_ID_CHARS_MAX: Final = 32
OPERATOR_ID_CHARS_MAX: Final = 28
REFUND_REASON_CHARS_MAX: Final = 256


def pay_biz(request: PayRequest, code: Secret) -> wire.PayBiz:
    """A barcode payment. `time_expire` is its last moment at Alipay."""
    auth_code = code.reveal()
    return wire.PayBiz(
        out_trade_no=request.out_trade_no,
        total_amount=yuan(request.amount),
        subject=wire.subject(request.description, request.out_trade_no),
        auth_code=auth_code,
        scene="security_code" if auth_code.startswith(FACE_CODE_PREFIX) else "bar_code",
        product_code="FACE_TO_FACE_PAYMENT",
        query_options=wire.PAY_OPTIONS,
        time_expire=wire.china_time(request.not_after),
        timeout_express=wire.express_minutes(request.sent_at, request.not_after),
        store_id=request.store_id[:STORE_ID_CHARS_MAX],
        terminal_id=request.terminal_id[:TERMINAL_ID_CHARS_MAX],
        operator_id=request.operator_id[:OPERATOR_ID_CHARS_MAX],
    )


def precreate_biz(request: PayRequest) -> wire.PrecreateBiz:
    """A QR code that dies, with its trade, at the payment's expiry;
    both count in whole minutes from now.
    """
    minutes = wire.express_minutes(request.sent_at, request.not_after)
    return wire.PrecreateBiz(
        out_trade_no=request.out_trade_no,
        total_amount=yuan(request.amount),
        subject=wire.subject(request.description, request.out_trade_no),
        qr_code_timeout_express=minutes,
        timeout_express=minutes,
        store_id=request.store_id[:STORE_ID_CHARS_MAX],
        terminal_id=request.terminal_id[:TERMINAL_ID_CHARS_MAX],
        operator_id=request.operator_id[:OPERATOR_ID_CHARS_MAX],
    )


def refund_biz(request: RefundRequest) -> wire.RefundBiz:
    """A refund; every repeat of one refund number makes the same bytes."""
    return wire.RefundBiz(
        out_trade_no=request.out_trade_no,
        refund_amount=yuan(request.refund_amount),
        out_request_no=request.out_refund_no,
        refund_reason=request.reason[:REFUND_REASON_CHARS_MAX],
    )
