"""What we refuse, as a tree.

Each leaf has a stable `code`, an HTTP status, and says whether the same request may be sent again.

    GatewayError
    ├── BadRequest 400        Malformed · IdempotencyKeyMissing
    ├── Unauthenticated 401   SignatureInvalid · SignatureExpired · KeyUnknown · KeyRevoked
    ├── NotPermitted 403
    ├── NotFound 404          (also for another tenant's ids) · MethodNotAllowed 405
    ├── Conflict 409          OrderTenderTaken · AlreadyPaid · PaymentNotPaid ·
    │                         RefundExceedsCaptured · RefundNoTaken · PaymentFrozen ·
    │                         OrderInDoubt · OrderOverpaid · OverrideRefused ·
    │                         WebhookEndpointsFull · WebhookEndpointDisabled · SignatureUsed
    ├── TooLarge 413
    ├── Refused 422           FieldUnknown · FieldMissing · FieldInvalid · AmountInvalid ·
    │                         AuthCodeUnrecognized · IdempotencyKeyReused · MethodUnavailable
    ├── RateLimited 429
    └── Unavailable 503       StoreUnavailable · Overloaded · ChannelsResting ·
                              DirectoryStale · OutcomePending · RestoredUnsure

`sendable_again` is about the very same request with the very same Idempotency-Key: True wherever
nothing was bound to the key. `verdict` is what the cashier may do; the pay route shows it with
every problem.
"""

from __future__ import annotations

from typing import ClassVar

from gateway.domain.payment import Payment


class GatewayError(Exception):
    """A refusal with a sentence for people: what is wrong and what to do."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    sendable_again: ClassVar[bool] = False
    verdict: ClassVar[str] = "try_again"
    title: ClassVar[str] = "Something went wrong on our side"
    zh: ClassVar[str] = "系统异常"
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        payment: Payment | None = None,
        server_time: int | None = None,
    ) -> None:
        self.detail = detail or self.title
        super().__init__(self.detail)
        self.field = field
        self.payment = payment
        self.server_time = server_time


class BadRequest(GatewayError):
    """400"""

    http_status = 400


class Malformed(BadRequest):
    """No HTTP/1.1, not UTF-8 JSON, a duplicate key, or too deep."""

    code, title, zh = "malformed", "The request or its JSON body is not well-formed", "请求格式错误"


class IdempotencyKeyMissing(BadRequest):
    """Every POST that creates something needs the header."""

    code, title, zh = (
        "idempotency_key_missing",
        "Send an Idempotency-Key header of 1 to 255 printable ASCII characters",
        "缺少幂等键",
    )


class Unauthenticated(GatewayError):
    """401"""

    http_status = 401


class SignatureInvalid(Unauthenticated):
    """The signature is missing, broken, or of other bytes."""

    code, title, zh = (
        "signature_invalid",
        "The request's signature is missing or does not match its bytes",
        "签名无效",
    )


class SignatureExpired(Unauthenticated):
    """The signed time is outside the window; `server_time` says what ours is."""

    code, title, zh = (
        "signature_expired",
        "The signed time is too far from ours: set the till's clock",
        "签名已过期，请校准终端时间",
    )


class KeyUnknown(Unauthenticated):
    """No such key."""

    code, title, zh = "key_unknown", "This key does not exist here", "密钥不存在"


class KeyRevoked(Unauthenticated):
    """The key was revoked."""

    code, title, zh = (
        "key_revoked",
        "This key was revoked: ask your administrator for a new one",
        "密钥已吊销",
    )


class NotPermitted(GatewayError):
    """The key's role does not allow it."""

    code, http_status, title, zh = "not_permitted", 403, "This key may not do that", "无权限"


class NotFound(GatewayError):
    """No such thing, or not yours."""

    code, http_status, title, zh = "not_found", 404, "There is no such object", "对象不存在"


class MethodNotAllowed(GatewayError):
    """The path exists, the HTTP method does not."""

    code, http_status, title, zh = (
        "method_not_allowed",
        405,
        "This path does not take that HTTP method",
        "不支持的请求方法",
    )


class Conflict(GatewayError):
    """409; carries the payment it collided with, whose verdict the till shows."""

    http_status = 409
    verdict = "do_not_charge_again"


class OrderTenderTaken(Conflict):
    """The order tender is live or paid under another key."""

    code, title, zh = (
        "order_tender_taken",
        "This tender of the order is already being paid or paid",
        "该订单已在收款或已收款",
    )


class AlreadyPaid(Conflict):
    """Cancel of a paid payment: refund it instead."""

    code, title, zh = (
        "already_paid",
        "The payment is paid: give the money back with a refund",
        "订单已支付，请使用退款",
    )
    verdict = "paid"


class PaymentNotPaid(Conflict):
    """Refund of what was never captured."""

    code, title, zh = (
        "payment_not_paid",
        "The payment has captured nothing to refund",
        "订单未支付，无法退款",
    )


class RefundExceedsCaptured(Conflict):
    """More than is left."""

    code, title, zh = (
        "refund_exceeds_captured",
        "The refund is more than what is left of the captured amount",
        "退款金额超出可退金额",
    )


class RefundNoTaken(Conflict):
    """The refund number stands for another refund."""

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
    """The merchant has as many enabled endpoints as it may."""

    code, zh = "webhook_endpoints_full", "启用的回调地址已达上限"
    title = "There are as many enabled webhook endpoints as there may be: disable one"
    verdict = "try_again"


class WebhookEndpointDisabled(Conflict):
    """Nothing is sent to a disabled endpoint."""

    code, title, zh = (
        "webhook_endpoint_disabled",
        "The webhook endpoint is disabled: enable it first",
        "回调地址已停用，请先启用",
    )
    verdict = "try_again"


class SignatureUsed(Conflict):
    """The very same signed request came before, and its answer was not kept."""

    code, title, zh = (
        "signature_used",
        "This signed request was taken already and acts once: look at the object, then sign anew",
        "该签名请求已受理，不会重复执行，请先查询结果，再重新签名",
    )
    verdict = "try_again"


class RateLimited(GatewayError):
    """The key, or the peer that proves none, asks too often; nothing was done."""

    code, http_status, title, zh = (
        "rate_limited",
        429,
        "Too many requests: send the same request again after Retry-After seconds",
        "请求过于频繁，请稍后重试",
    )
    sendable_again = True
    retry_after_s = 1


class TooLarge(GatewayError):
    """The body is over the limit."""

    code, http_status, title, zh = (
        "too_large",
        413,
        "The body is larger than this call takes",
        "请求过大",
    )


class Refused(GatewayError):
    """422, with `field`."""

    http_status = 422


class FieldUnknown(Refused):
    """A field this call does not have."""

    code, title, zh = "field_unknown", "This call has no such field", "未知字段"


class FieldMissing(Refused):
    """A required field is absent."""

    code, title, zh = "field_missing", "A required field is missing", "缺少字段"


class FieldInvalid(Refused):
    """A field's value is refused."""

    code, title, zh = "field_invalid", "A field's value is not valid", "字段无效"


class AmountInvalid(Refused):
    """Not an integer of fen in range."""

    code, title, zh = (
        "amount_invalid",
        "Amounts are JSON integers of fen from 1 to 10000000000",
        "金额无效",
    )


class AuthCodeUnrecognized(Refused):
    """Nobody issues such a code."""

    code, title, zh = (
        "auth_code_unrecognized",
        "No channel issues such a payment code: scan again",
        "无法识别付款码，请重新扫码",
    )


class IdempotencyKeyReused(Refused):
    """Same key, other body; `field` is the first that differs."""

    code, title, zh = (
        "idempotency_key_reused",
        "This Idempotency-Key was used with another body",
        "幂等键已用于其他请求",
    )
    verdict = "do_not_charge_again"


class MethodUnavailable(Refused):
    """No account of the merchant can take this."""

    code, title, zh = (
        "method_unavailable",
        "This shop has no account that takes this way to pay",
        "未开通该付款方式",
    )


class Unavailable(GatewayError):
    """503; nothing was bound to the key unless `OutcomePending` says so."""

    http_status = 503
    sendable_again = True
    retry_after_s = 1


class StoreUnavailable(Unavailable):
    """Postgres cannot be reached; nothing was sent."""

    code, title, zh = (
        "store_unavailable",
        "The database is not reachable: send the same request again shortly",
        "系统暂不可用，请稍后重试",
    )


class Overloaded(Unavailable):
    """The worker carries all it may; nothing was written."""

    code, title, zh = (
        "overloaded",
        "Too many payments at this moment: send the same request again shortly",
        "系统繁忙，请稍后重试",
    )


class ChannelsResting(Unavailable):
    """Every account of this way to pay has failed just now and is being probed;
    nothing was written.
    """

    code, zh = "channels_resting", "该支付渠道暂时不可用，请换一种方式或稍后重试"
    title = "This way to pay does not answer at the moment: take another one, or try again"


class DirectoryStale(StoreUnavailable):
    """Our copy of the keys is too old to trust; nothing was sent."""


class OutcomePending(StoreUnavailable):
    """Write 1 was handed over and its fate is not known here: the same key asks again, safely."""

    title, zh = (
        "The payment may have been accepted: send the same request with the same key again",
        "结果确认中，请用同一请求查询",
    )
    verdict = "do_not_charge_again"


def leaves(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Every error with a code of its own, for the documents."""
    below = [leaf for child in root.__subclasses__() for leaf in leaves(child)]
    return ([root] if "code" in vars(root) else []) + below


class RestoredUnsure(Unavailable):
    """After a database restore, a channel that could have charged this tender before cannot be
    asked. This request sent nothing.
    """

    code = "restored_unsure"
    title = (
        "The database was restored and a channel cannot say whether this was charged before: send "
        "the same request again shortly"
    )
    zh = "系统刚恢复，暂时无法确认此前是否已收款，请勿重复收款，稍后用同一请求重试"
    verdict = "do_not_charge_again"
    retry_after_s = 5
