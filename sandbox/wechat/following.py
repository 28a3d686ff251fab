"""Query, reverse (barcode orders only) and close (all others):
what comes after a pay whose end is not known.
"""

from typing import Any, ClassVar, Final

from sandbox.book import CHARGED, CLOSED, PENDING, REVERSED
from sandbox.channel import Orders, Reply
from sandbox.wechat import wire
from sandbox.wechat.calls import WeChatCall

REVERSE_MS_MAX: Final = 7 * 86_400_000


class Query(WeChatCall):
    """The order by either number; may lag behind an execution whose answer was lost."""

    operation: ClassVar[str] = "query"

    def act(self, orders: Orders) -> Reply:
        """Says what queries see."""
        del orders
        self._require("mchid")
        trade = self.acts.see(self.out_trade_no, self._text("transaction_id"))
        return Reply(200, self.transaction(trade)) if trade else self.refuse("ORDER_NOT_EXIST")

    def say_success(self) -> Reply:
        """Paid, whatever is true."""
        document = self._document("SUCCESS", "支付成功")
        document |= {
            "transaction_id": "4200000000000000000000000000",
            "success_time": wire.time_text(self.world.china_time()),
        }
        return Reply(200, document)

    def say_failure(self) -> Reply:
        """Closed and never paid, whatever is true."""
        return Reply(200, self._document("CLOSED", "已关闭"))

    def _document(self, state: str, text: str) -> dict[str, Any]:
        kept, trade = self.account.kept, self.trade
        document: dict[str, Any] = {
            "appid": kept["appid"],
            "mchid": kept["mchid"],
            "out_trade_no": self.out_trade_no,
        }
        document |= {
            "trade_type": "NATIVE" if trade and trade.flow == "qr" else "MICROPAY",
            "trade_state": state,
            "trade_state_desc": text,
        }
        total = trade.amount if trade else 1
        return document | {
            "amount": {
                "total": total,
                "payer_total": total,
                "currency": "CNY",
                "payer_currency": "CNY",
            }
        }


class Reverse(WeChatCall):
    """Unpaid → closed, paid → given back; both read REVOKED afterwards.

    A number never seen is ORDER_NOT_EXIST.
    """

    operation: ClassVar[str] = "reverse"

    def act(self, orders: Orders) -> Reply:
        """Ends the order; a repeat gives the same answer."""
        del orders
        self._require("appid", "mchid")
        trade = self.trade
        if trade is None:
            return self._tombstone()
        if trade.flow != "code":
            return self.refuse("INVALID_REQUEST", "仅支持撤销付款码支付订单")
        if self.world.now_ms() - trade.created_at_ms > REVERSE_MS_MAX:
            return self.refuse("REVERSE_EXPIRE")
        if trade.state in {PENDING, CLOSED}:
            if trade.extra.get("ended") != "REVOKED":
                self.acts.close(trade.out_trade_no, trade.amount, extra={"ended": "REVOKED"})
        elif trade.state == CHARGED and not trade.reserved:
            self.acts.reverse(trade)
        elif trade.state != REVERSED:
            return self.refuse("TRADE_ERROR", "订单已发起退款，不可撤销")
        return self.say_success()

    def say_success(self) -> Reply:
        """Reversed, whatever is true."""
        kept = self.account.kept
        return Reply(
            200, {"appid": kept["appid"], "mchid": kept["mchid"], "out_trade_no": self.out_trade_no}
        )

    def say_failure(self) -> Reply:
        """Refused, whatever was done."""
        return self.refuse("TRADE_ERROR")

    def _tombstone(self) -> Reply:
        if not self.world.settings.cancel_is_tombstone:
            return self.refuse("ORDER_NOT_EXIST")
        self.acts.close(self.order_number(), 0, extra={"ended": "REVOKED"})
        return self.say_success()


class Close(WeChatCall):
    """Closes an unpaid order that is not a barcode one; 204 with an empty, signed body.

    A repeat hears ORDER_CLOSED.
    """

    operation: ClassVar[str] = "close"

    def act(self, orders: Orders) -> Reply:
        """Closes."""
        del orders
        self._require("mchid")
        trade = self.trade
        if trade is None:
            return self.refuse("ORDER_NOT_EXIST")
        if trade.flow == "code":
            return self.refuse(
                "INVALID_REQUEST", "付款码支付订单不支持关单，请使用撤销接口(268449641)"
            )
        if trade.state == PENDING:
            self.acts.close(trade.out_trade_no, trade.amount)
        elif trade.state != CLOSED:
            return self.refuse("ORDER_PAID")
        elif not self.world.settings.close_may_repeat:
            return self.refuse("ORDER_CLOSED")
        return Reply(204, None)

    def say_success(self) -> Reply:
        """Closed, whatever is true."""
        return Reply(204, None)

    def say_failure(self) -> Reply:
        """Refused, whatever was done."""
        return self.refuse("ORDER_PAID")
