"""Ours → WeChat Pay's, pure: the bodies of what we send."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

import msgspec

from adapters.channel import PayRequest, RefundRequest
from adapters.wechat import wire
from gateway.limits import (
    WECHAT_DESCRIPTION_BYTES_MAX,
    WECHAT_REFUND_REASON_BYTES_MAX,
    WECHAT_SCENE_ID_BYTES_MAX,
)
from security.secret import Secret

_CHINA: Final = timezone(timedelta(hours=8))
_REFUSED: Final = re.compile("[^\u0000-\ud7ff\ue000-\uffff]|[\u200d\ufe0e\ufe0f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """Who we are at WeChat Pay."""

    appid: str
    mchid: str


def codepay_order(merchant: Merchant, request: PayRequest, auth_code: Secret) -> bytes:
    """The body of a barcode payment."""
    return msgspec.json.encode(
        wire.CodepayOrder(
            appid=merchant.appid,
            mchid=merchant.mchid,
            description=_description(request),
            out_trade_no=request.out_trade_no,
            payer=wire.PayerOut(auth_code=auth_code.reveal()),
            amount=wire.AmountOut(total=request.amount, currency=request.currency),
            scene_info=wire.SceneOut(
                device_id=fitted(request.terminal_id, WECHAT_SCENE_ID_BYTES_MAX),
                store_info=wire.StoreOut(id=fitted(request.store_id, WECHAT_SCENE_ID_BYTES_MAX)),
            ),
        )
    )


def native_order(merchant: Merchant, request: PayRequest, notify_url: str | None) -> bytes:
    """The body of a QR order."""
    return msgspec.json.encode(
        wire.NativeOrder(
            appid=merchant.appid,
            mchid=merchant.mchid,
            description=_description(request),
            out_trade_no=request.out_trade_no,
            time_expire=china_time(request.not_after),
            amount=wire.AmountOut(total=request.amount, currency=request.currency),
            notify_url=notify_url,
        )
    )


def reverse_order(merchant: Merchant) -> bytes:
    """The body of a reversal."""
    return msgspec.json.encode(wire.ReverseOrder(appid=merchant.appid, mchid=merchant.mchid))


def close_order(merchant: Merchant) -> bytes:
    """The body of a close."""
    return msgspec.json.encode(wire.CloseOrder(mchid=merchant.mchid))


def refund_order(request: RefundRequest, notify_url: str | None) -> bytes:
    """The body of a refund; the same bytes for every repeat of one refund number."""
    amount = wire.RefundAmountOut(
        refund=request.refund_amount, total=request.total_amount, currency=request.currency
    )
    return msgspec.json.encode(
        wire.RefundOrder(
            out_trade_no=request.out_trade_no,
            out_refund_no=request.out_refund_no,
            amount=amount,
            reason=fitted(request.reason, WECHAT_REFUND_REASON_BYTES_MAX).strip() or None,
            notify_url=notify_url,
        )
    )


def china_time(moment: datetime) -> str:
    """RFC 3339 at +08:00, whole seconds, rounded down:
    an order never outlives the moment we count with.
    """
    return moment.astimezone(_CHINA).replace(microsecond=0).isoformat()


def _description(request: PayRequest) -> str:
    """It must not be empty: a title of emoji alone becomes the order's number."""
    title = fitted(request.description, WECHAT_DESCRIPTION_BYTES_MAX)
    return title if title.strip() else request.out_trade_no


def fitted(text: str, bytes_max: int) -> str:
    """At most so many bytes of UTF-8, cut between characters: Chinese text has three bytes each.

    WeChat Pay takes characters of up to three bytes and refuses a request with any other, so emoji
    are left out, with the marks that only join or dress them.
    """
    return _REFUSED.sub("", text).encode()[:bytes_max].decode("utf-8", "ignore")
