"""What is wrong with the request itself: its bytes, its signature, its rights, its fields."""

from __future__ import annotations

from gateway.domain.errors.families import BadRequest, GatewayError, Refused, Unauthenticated
from gateway.domain.holder import Holder, HolderKind
from gateway.domain.verdicts import VerdictCode, Words
from gateway.limits import SUPERVISOR_WAIT_S_MIN


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
    code, title, zh = "key_unknown", "This key does not exist here", "密钥不存在"


class KeyRevoked(Unauthenticated):
    code, title, zh = (
        "key_revoked",
        "This key was revoked: ask your administrator for a new one",
        "密钥已吊销",
    )


class NotPermitted(GatewayError):
    code, http_status, title, zh = "not_permitted", 403, "This key may not do that", "无权限"
    verdict = VerdictCode.FIX_AND_TRY


class Disabled(NotPermitted):
    """An administrator has disabled the merchant, the store or the terminal: nothing new is taken
    there. What is under way goes on.
    """

    code, title, zh = (
        "disabled",
        "This merchant, store or terminal is disabled: ask your administrator to enable it",
        "该商户、门店或终端已停用，请联系管理员",
    )

    @classmethod
    def of(cls, holder: Holder) -> Disabled:
        """Names it."""
        return cls(
            f"{holder} is disabled: ask your administrator to enable it",
            zh=f"{_HOLDERS_ZH[holder.kind]} {holder.id} 已停用，请联系管理员",
        )


_HOLDERS_ZH = {
    HolderKind.MERCHANT: "商户",
    HolderKind.STORE: "门店",
    HolderKind.TERMINAL: "终端",
}


class SupervisorRefused(NotPermitted):
    """No such supervisor here, or another PIN; which of both is not told."""

    code, title, zh = (
        "supervisor_refused",
        "This supervisor and PIN do not allow it here",
        "主管或口令不正确，未放行",
    )


class SupervisorLocked(NotPermitted):
    """Too many wrong PINs at all tills together."""

    code, title, zh = (
        "supervisor_locked",
        "Too many wrong PINs: an administrator has to set a new one",
        "口令错误次数过多，已锁定，请联系管理员重设",
    )


class SupervisorWaits(GatewayError):
    """A wrong PIN came a moment ago from this till, or another try is being looked at."""

    code, http_status, title, zh = (
        "supervisor_waits",
        429,
        "A wrong PIN was tried here: wait before the next try, each time longer",
        "口令刚输错，请稍候再试，每次等待更久",
    )
    verdict = VerdictCode.TRY_AGAIN
    sendable_again = True
    retry_after_s = SUPERVISOR_WAIT_S_MIN


class RefundLimitReached(GatewayError):
    """Nothing was written; the same request can work only for another key."""

    code, http_status, title, zh = (
        "refund_limit",
        403,
        "This key may not give back so much alone: a second person with a merchant key may",
        "超出本终端的退款限额，请由有更高权限的人退款",
    )
    verdict = VerdictCode.FIX_AND_TRY


class NoSuchObject(GatewayError):
    """Also for the ids of another tenant."""

    code, http_status, title, zh = "not_found", 404, "There is no such object", "对象不存在"
    verdict = VerdictCode.FIX_AND_TRY


class MethodNotAllowed(GatewayError):
    code, http_status, title, zh = (
        "method_not_allowed",
        405,
        "This path does not take that HTTP method",
        "不支持的请求方法",
    )
    verdict = VerdictCode.FIX_AND_TRY


class RateLimited(GatewayError):
    """The key, or the peer that proves none, asks too often; nothing was done."""

    code, http_status, title, zh = (
        "rate_limited",
        429,
        "Too many requests: send the same request again after Retry-After seconds",
        "请求过于频繁，请稍后重试",
    )
    verdict = VerdictCode.TRY_AGAIN
    sendable_again = True
    retry_after_s = 1


class TooLarge(GatewayError):
    code, http_status, title, zh = (
        "too_large",
        413,
        "The body is larger than this call takes",
        "请求过大",
    )
    verdict = VerdictCode.FIX_AND_TRY


class FieldUnknown(Refused):
    code, title, zh = "field_unknown", "This call has no such field", "未知字段"


class FieldMissing(Refused):
    code, title, zh = "field_missing", "A required field is missing", "缺少字段"


class FieldInvalid(Refused):
    code, title, zh = "field_invalid", "A field's value is not valid", "字段无效"


class LooksLikeACard(Refused):
    """A text holds what may be a card number or a payment code. Never quoted."""

    code, title, zh = (
        "looks_like_a_card",
        "This text holds what looks like a card number or a payment code: leave it out",
        "该字段疑似包含银行卡号或付款码，请去掉",
    )


class AmountInvalid(Refused):
    code, title, zh = (
        "amount_invalid",
        "Amounts are JSON integers of fen from 1 to 10000000000",
        "金额无效",
    )


class AuthCodeUnrecognized(Refused):
    code, title, zh = (
        "auth_code_unrecognized",
        "No channel issues such a payment code: scan again",
        "无法识别付款码，请重新扫码",
    )


class IdempotencyKeyReused(Refused):
    """Same key, other body: with the payment that the key is bound to, and `field`, the first that
    differs. Another store's payment is not carried, and no field is named.
    """

    code, title, zh = (
        "idempotency_key_reused",
        "This Idempotency-Key was used with another body: take a new key for another request",
        "幂等键已用于其他请求，另一请求请使用新的幂等键",
    )
    tells_of_payment = True
    advice = Words(
        "另一笔收款请使用新的幂等键和新单号",
        "For another payment take a new Idempotency-Key and a new number",
    )


class MethodUnavailable(Refused):
    code, title, zh = (
        "method_unavailable",
        "This shop has no account that takes this way to pay",
        "未开通该付款方式",
    )
