"""One Template account's server: verifies over the raw body, signs the exact bytes it sends."""

import hashlib
import hmac
import json
import secrets
from typing import Any, Final

from sandbox._template.calls import CALLS, TemplateCall, state_of
from sandbox.book import PENDING, Trade
from sandbox.channel import Account, Flaw, Lie, Notice, RawRequest, Reply, Sealed
from sandbox.surroundings import Settings, Surroundings

HEADER: Final = "X-Signature"
_WANTED: Final = {
    "out_trade_no": str,
    "auth_code": str,
    "amount": int,
    "expires_at_ms": int,
    "out_refund_no": str,
}
_FIELDS: Final = {
    "/pay": ("out_trade_no", "auth_code", "amount", "expires_at_ms"),
    "/precreate": ("out_trade_no", "amount", "expires_at_ms"),
    "/query": ("out_trade_no",),
    "/cancel": ("out_trade_no",),
    "/refund": ("out_trade_no", "out_refund_no", "amount"),
    "/refund_query": ("out_trade_no", "out_refund_no", "amount"),
}


class TemplateDesk:
    """Answers for one merchant."""

    def __init__(self, account: Account, surroundings: Surroundings[Settings]) -> None:
        self.account = account
        self.world = surroundings

    def accept(self, request: RawRequest) -> TemplateCall | Reply:
        """The signature over path and raw body first, then the fields."""
        kind = CALLS.get(request.target)
        if kind is None or request.method != "POST":
            return Reply(404, {"code": "NO_SUCH_CALL"}, signed=False)
        signed = request.target.encode() + b"\n" + request.body
        if not hmac.compare_digest(
            self._signature(signed).encode(), request.headers.get(HEADER.lower(), "").encode()
        ):
            return Reply(401, {"code": "BAD_SIGNATURE"}, signed=False)
        try:
            said: Any = json.loads(request.body)
        except ValueError:
            said = None
        if not self._is_right(request.target, said):
            return Reply(400, {"code": "BAD_REQUEST"})
        return kind(self.world, said)

    async def seal(self, reply: Reply, flaw: Flaw, request: RawRequest) -> Sealed:
        """JSON, signed as it stands."""
        del request  # there is one key
        body = json.dumps(reply.document, ensure_ascii=False).encode()
        return Sealed(self._headers(body, flaw) if reply.signed else {}, body, reply.status)

    def lie(self, reply: Reply, lie: Lie) -> bool:
        """Another amount (one fen more) or another order number in the answer."""
        return _lie(reply.document or {}, lie)

    async def notify(self, notice: Notice, flaw: Flaw, lie: Lie) -> Sealed:
        """A callback: the trade's state, and the refund if it is about one."""
        trade, refund = notice.trade, notice.refund
        document = {
            "code": "OK",
            "state": state_of(trade),
            "merchant_id": self.account.kept["merchant_id"],
        }
        document |= {
            "out_trade_no": trade.out_trade_no,
            "trade_no": trade.channel_trade_no,
            "amount": trade.amount,
        }
        document |= {"paid_at_ms": trade.paid_at_ms} if trade.paid_at_ms else {}
        document |= (
            {"out_refund_no": refund.number, "refund_amount": refund.amount} if refund else {}
        )
        _lie(document, lie)
        body = json.dumps(document, ensure_ascii=False).encode()
        return Sealed(self._headers(body, flaw), body)

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        """Exactly `ok`."""
        return status == 200 and body == b"ok"  # noqa: PLR2004 - HTTP

    def customer_pays(self, trade: Trade, *, only_scan: bool) -> str | None:
        """The customer pays a shown QR code, or finishes typing the password."""
        if only_scan:
            return "a scan changes nothing at this channel: the trade begins with its QR code"
        trade = self.world.acts.find(trade.out_trade_no) or trade
        if trade.state != PENDING:
            return f"the trade is {trade.state}: nothing waits for a payer"
        self.world.acts.charge(trade.out_trade_no, trade.amount)
        return None

    async def rotate_key(self) -> None:
        """A shared key is not rotated from this side; the fault is not offered."""

    def _is_right(self, path: str, said: Any) -> bool:
        if (
            not isinstance(said, dict)
            or said.get("merchant_id") != self.account.kept["merchant_id"]
        ):
            return False
        right = all(type(said.get(name)) is _WANTED[name] and said[name] for name in _FIELDS[path])
        return right and said.get("amount", 1) > 0

    def _headers(self, body: bytes, flaw: Flaw) -> dict[str, str]:
        signature = secrets.token_hex(32) if flaw is Flaw.FOREIGN_KEY else self._signature(body)
        return {"Content-Type": "application/json", HEADER: signature}

    def _signature(self, signed: bytes) -> str:
        return hmac.new(self.account.kept["key"].encode(), signed, hashlib.sha256).hexdigest()


def _lie(document: dict[str, Any], lie: Lie) -> bool:
    """Gets one fact wrong; False when the document carries no such fact."""
    field = {
        Lie.ORDER: "out_trade_no",
        Lie.APP: "merchant_id",
        Lie.SELLER_OR_MCHID: "merchant_id",
        Lie.AMOUNT: "amount",
    }.get(lie, "")
    field = "refund_amount" if field == "amount" and "refund_amount" in document else field
    if field not in document:
        return False
    document[field] = (
        document[field] + 1 if isinstance(document[field], int) else document[field][:-1] + "-"
    )
    return True
