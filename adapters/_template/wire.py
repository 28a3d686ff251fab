"""Template's shapes: JSON both ways, amounts in fen, times in epoch milliseconds.

What we read is lenient: what must be there is judged in `translate`, where a missing field becomes
`Unknown`.
"""

import msgspec


class Pay(msgspec.Struct, kw_only=True, frozen=True):
    """POST /pay."""

    merchant_id: str
    out_trade_no: str
    amount: int
    auth_code: str
    expires_at_ms: int
    notify_url: str | None


class Precreate(msgspec.Struct, kw_only=True, frozen=True):
    """POST /precreate."""

    merchant_id: str
    out_trade_no: str
    amount: int
    expires_at_ms: int
    notify_url: str | None


class Trade(msgspec.Struct, kw_only=True, frozen=True):
    """POST /query and /cancel."""

    merchant_id: str
    out_trade_no: str


class Refund(msgspec.Struct, kw_only=True, frozen=True):
    """POST /refund and /refund_query."""

    merchant_id: str
    out_trade_no: str
    out_refund_no: str
    amount: int
    notify_url: str | None


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """Every answer, and every callback. `code` is OK or the reason of a refusal."""

    code: str
    state: str = ""
    merchant_id: str = ""
    out_trade_no: str = ""
    trade_no: str = ""
    amount: int | None = None
    paid_at_ms: int | None = None
    qr_code: str = ""
    out_refund_no: str = ""
    refund_amount: int | None = None
