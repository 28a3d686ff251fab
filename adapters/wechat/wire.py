"""WeChat Pay's shapes, API v3: JSON both ways (pay.weixin.qq.com/doc/v3/merchant, pages "codepay",
"native", "refunds", "通知").

What we send holds only the fields we set. What we read is lenient: unknown fields are skipped and
nearly everything may be missing, because what a field must be is judged in `translate`, where a
missing one becomes `Unknown` and not an exception. Amounts are integer fen on this wire; times are
RFC 3339 with +08:00.
"""

from typing import TypeVar

import msgspec

from adapters import documents

T = TypeVar("T")

# --- what we send


class AmountOut(msgspec.Struct, kw_only=True, frozen=True):
    """Fen, at least 1."""

    total: int
    currency: str


class PayerOut(msgspec.Struct, kw_only=True, frozen=True):
    """The scanned payment code, 18 digits, good for one minute and one payment."""

    auth_code: str


class StoreOut(msgspec.Struct, kw_only=True, frozen=True):
    """The shop's own number for the store, at most 32 bytes."""

    id: str


class SceneOut(msgspec.Struct, kw_only=True, frozen=True):
    """Where the code was scanned."""

    device_id: str
    store_info: StoreOut


class CodepayOrder(msgspec.Struct, kw_only=True, frozen=True):
    """POST /v3/pay/transactions/codepay.

    It has no notify_url: a barcode payment sends no callback.
    """

    appid: str
    mchid: str
    description: str
    out_trade_no: str
    payer: PayerOut
    amount: AmountOut
    scene_info: SceneOut


class NativeOrder(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """POST /v3/pay/transactions/native."""

    appid: str
    mchid: str
    description: str
    out_trade_no: str
    time_expire: str
    amount: AmountOut
    notify_url: str | None = None


class ReverseOrder(msgspec.Struct, kw_only=True, frozen=True):
    """POST /v3/pay/transactions/out-trade-no/{no}/reverse."""

    appid: str
    mchid: str


class CloseOrder(msgspec.Struct, kw_only=True, frozen=True):
    """POST /v3/pay/transactions/out-trade-no/{no}/close."""

    mchid: str


class RefundAmountOut(msgspec.Struct, kw_only=True, frozen=True):
    """Fen: what goes back, and what the whole trade was."""

    refund: int
    total: int
    currency: str


class RefundOrder(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """POST /v3/refund/domestic/refunds."""

    out_trade_no: str
    out_refund_no: str
    amount: RefundAmountOut
    reason: str | None = None
    notify_url: str | None = None


# --- what we read


class Amount(msgspec.Struct, kw_only=True, frozen=True):
    """`total` is the order's gross; `payer_total` what the payer paid after coupons."""

    total: int | None = None
    payer_total: int | None = None
    currency: str = "CNY"


class Payer(msgspec.Struct, kw_only=True, frozen=True):
    """Who paid, as a number that means something under this appid only."""

    openid: str = ""


class Promotion(msgspec.Struct, kw_only=True, frozen=True):
    """A coupon. `type` CASH reaches the merchant as money, NOCASH lowers what the merchant gets."""

    name: str = ""
    type: str = ""
    amount: int | None = None
    merchant_contribute: int | None = None


class Transaction(msgspec.Struct, kw_only=True, frozen=True):
    """A trade: the reply to codepay, the reply to a query,
    and the content of a TRANSACTION callback.

    `promotion_detail` only informs: a list of `Promotion` that is read by itself, so that an odd
    coupon does not cost the answer.
    """

    appid: str = ""
    mchid: str = ""
    out_trade_no: str = ""
    transaction_id: str = ""
    trade_state: str = ""
    success_time: str = ""
    payer: Payer | None = None
    amount: Amount | None = None
    promotion_detail: msgspec.Raw = msgspec.Raw(b"[]")


class NativeCreated(msgspec.Struct, kw_only=True, frozen=True):
    """The reply to native: what the QR code says. Valid for two hours or until `time_expire`."""

    code_url: str = ""


class ReverseDone(msgspec.Struct, kw_only=True, frozen=True):
    """The reply to reverse. `recall` Y (old dialect) means: call it again."""

    mchid: str = ""
    out_trade_no: str = ""
    recall: str = ""


class RefundAmount(msgspec.Struct, kw_only=True, frozen=True):
    """Fen."""

    total: int | None = None
    refund: int | None = None
    currency: str = "CNY"


class Refund(msgspec.Struct, kw_only=True, frozen=True):
    """A refund. Replies call its state `status`, callbacks and some replies `refund_status`;
    a callback adds the mchid.
    """

    mchid: str = ""
    out_trade_no: str = ""
    transaction_id: str = ""
    out_refund_no: str = ""
    refund_id: str = ""
    status: str = ""
    refund_status: str = ""
    create_time: str = ""  # when it was accepted; callbacks have none
    success_time: str = ""
    amount: RefundAmount | None = None

    @property
    def state(self) -> str:
        """Whichever name it has; empty when there is none, or two that differ."""
        said = {self.status, self.refund_status} - {""}
        return said.pop() if len(said) == 1 else ""


class Failure(msgspec.Struct, kw_only=True, frozen=True):
    """Every refusal. `message` is for people and is never read here."""

    code: str = ""


class Resource(msgspec.Struct, kw_only=True, frozen=True):
    """The sealed part of a callback."""

    algorithm: str
    ciphertext: str
    nonce: str
    associated_data: str = ""


class Envelope(msgspec.Struct, kw_only=True, frozen=True):
    """A callback's body. `id` stays the same when the same event is sent again."""

    id: str
    event_type: str
    resource_type: str
    resource: Resource


def read(shape: type[T], body: bytes) -> T | None:
    """The body as one of the shapes above, or None when it is not that:
    foreign bytes never raise here.
    """
    try:
        return documents.read(shape, body)
    except ValueError:
        return None
