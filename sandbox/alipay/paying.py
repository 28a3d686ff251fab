"""alipay.trade.pay (barcode) and alipay.trade.precreate (order QR)."""

import re
import secrets
from typing import Any, ClassVar, Final

from sandbox.alipay import wire
from sandbox.alipay.calls import AlipayCall, amounts, digest, trade_facts
from sandbox.alipay.notices import new_trade
from sandbox.book import PENDING, Trade
from sandbox.channel import Customer, Orders, Reply

QR_LIFE_MS: Final = 7_200_000
_CODES: Final = {  # by scene
    "bar_code": re.compile(r"\A(?:2[5-9]|30)[0-9]{14,22}\Z"),
    "security_code": re.compile(r"\Afp[0-9A-Za-z]{33}\Z"),  # of a device that reads faces
}


class Pay(AlipayCall):
    """The till scanned a payment code. A code works once, even when the payment failed."""

    operation: ClassVar[str] = "pay"

    def act(self, orders: Orders) -> Reply:
        """A number seen before first; then the code; then the customer."""
        number, amount, content = (
            self.order_number(),
            wire.fen(self.biz.get("total_amount")),
            self._content(),
        )
        codes = _CODES.get(self._text("scene") or "bar_code")
        if codes is None:
            return self.refuse("ACQ.INVALID_PARAMETER", "scene: bar_code 或 security_code")
        expires_at_ms = self.limit_ms("timeout_express")
        if expires_at_ms is not None and expires_at_ms <= self.world.now_ms():
            return self.refuse("ACQ.INVALID_PARAMETER", "time_expire: 订单绝对超时时间已过")
        code = digest(self.auth_code)
        known = self.trade
        if known is not None and not known.declined:
            refusal = self._repeated(known, content, code)
            if refusal is not None:
                return refusal
        if not codes.match(self.auth_code) or self.acts.book.is_code_spent("alipay", code):
            return self.refuse("ACQ.PAYMENT_AUTH_CODE_INVALID")
        terms: dict[str, Any] = {
            "flow": "code",
            "content": content,
            "code": code,
            "notify_url": self.notify_url,
            "expires_at_ms": expires_at_ms,
        }
        return self._by_customer(orders.customer, number, amount, terms)

    def _by_customer(
        self, customer: Customer, number: str, amount: int, terms: dict[str, Any]
    ) -> Reply:
        match customer:
            case Customer.NO_BALANCE:
                self.acts.decline(number, amount, "BUYER_BALANCE_NOT_ENOUGH", exists=False, **terms)
                return self.refuse("ACQ.BUYER_BALANCE_NOT_ENOUGH")
            case Customer.CODE_EXPIRED:
                self.acts.decline(
                    number, amount, "PAYMENT_AUTH_CODE_INVALID", exists=False, **terms
                )
                return self.refuse("ACQ.PAYMENT_AUTH_CODE_INVALID")
            case Customer.PAYS:
                return self._paid(self.acts.charge(number, amount, **self._born(terms)))
            case Customer.TYPES_THEN_PAYS | Customer.TYPES_FOREVER:
                typing = customer is Customer.TYPES_THEN_PAYS
                return self._typing(
                    self.acts.open(number, amount, typing=typing, **self._born(terms))
                )

    def _repeated(self, trade: Trade, content: str, code: str) -> Reply | None:
        """None when the number's trade still waits and may be paid with another code."""
        if trade.state == PENDING:
            if trade.content != content:
                return self.refuse("ACQ.CONTEXT_INCONSISTENT")
            return self._typing(trade) if self.acts.book.is_code_spent("alipay", code) else None
        if trade.state == "closed" or (
            trade.state != "charged" and trade.refunded in {0, trade.amount}
        ):
            return self.refuse("ACQ.TRADE_HAS_CLOSE")
        return self.refuse(
            "ACQ.TRADE_HAS_SUCCESS" if trade.content == content else "ACQ.CONTEXT_INCONSISTENT"
        )

    def _born(self, terms: dict[str, Any]) -> dict[str, Any]:
        trade = self.trade
        born: dict[str, Any] = (
            {"channel_trade_no": trade.channel_trade_no}
            if trade and trade.channel_trade_no
            else new_trade(self.world)
        )
        born["extra"] = born.get("extra", {}) | self.echoed()
        return terms | born

    def _paid(self, trade: Trade) -> Reply:
        return self.succeed(
            **trade_facts(trade),
            **amounts(trade),
            **self.asked_facts(trade),
            gmt_payment=wire.time_text(self.world.china_time(trade.paid_at_ms)),
        )

    def _typing(self, trade: Trade) -> Reply:
        reply = self.succeed(**trade_facts(trade))
        assert reply.document is not None
        reply.document |= {"code": "10003", "msg": "order success pay inprocess"}
        return reply

    def say_success(self) -> Reply:
        """A paid answer with a number no trade has."""
        amount = self._claimed_amount()
        facts = {
            "out_trade_no": self.out_trade_no,
            "total_amount": amount,
            "receipt_amount": amount,
            "buyer_pay_amount": amount,
        }
        facts["gmt_payment"] = wire.time_text(self.world.china_time())
        return self.succeed(trade_no=new_trade(self.world)["channel_trade_no"], **facts)

    def say_failure(self) -> Reply:
        """A definite refusal."""
        return self.refuse("ACQ.PAYMENT_FAIL")

    def _claimed_amount(self) -> str:
        try:
            return wire.yuan(wire.fen(self.biz.get("total_amount")))
        except wire.WireError:
            return "0.01"

    def _content(self) -> str:
        return digest(
            wire.fen(self.biz.get("total_amount")),
            self.subject(),
            self._text("product_code"),
            self._text("store_id"),
        )


class Precreate(Pay):
    """An order QR.

    The trade comes into being when somebody scans it; until then a query finds nothing.
    """

    operation: ClassVar[str] = "precreate"

    def act(self, orders: Orders) -> Reply:
        """Shows a QR, or the same one again for the same order."""
        del orders
        number, amount, content = (
            self.order_number(),
            wire.fen(self.biz.get("total_amount")),
            self._content(),
        )
        relative = [
            name for name in ("qr_code_timeout_express", "timeout_express") if name in self.biz
        ]
        expires_at_ms = self.limit_ms(*relative) or self.world.now_ms() + QR_LIFE_MS
        if expires_at_ms <= self.world.now_ms():
            return self.refuse("ACQ.INVALID_PARAMETER", "time_expire: 订单绝对超时时间已过")
        known = self.trade
        if known is None:
            extra = self.echoed() | {"qr_code": f"https://qr.alipay.com/bax{secrets.token_hex(10)}"}
            known = self.acts.show(
                number,
                amount,
                content=content,
                notify_url=self.notify_url,
                expires_at_ms=expires_at_ms,
                extra=extra,
            )
        elif known.state != PENDING or known.content != content or "qr_code" not in known.extra:
            return self._repeated(known, content, "") or self.refuse("ACQ.CONTEXT_INCONSISTENT")
        return self.succeed(out_trade_no=number, qr_code=known.extra["qr_code"])

    def say_success(self) -> Reply:
        """A QR that leads nowhere."""
        return self.succeed(
            out_trade_no=self.out_trade_no,
            qr_code=f"https://qr.alipay.com/bax{secrets.token_hex(10)}",
        )

    def say_failure(self) -> Reply:
        """A definite refusal."""
        return self.refuse("ACQ.TOTAL_FEE_EXCEED")
