"""alipay.trade.refund and alipay.trade.fastpay.refund.query.

`out_request_no` makes a refund happen once.
"""

from typing import Any, ClassVar

from sandbox.acts import is_paid
from sandbox.alipay import wire
from sandbox.alipay.calls import AlipayCall
from sandbox.alipay.following import exists
from sandbox.book import Refund as BookRefund
from sandbox.book import Trade
from sandbox.channel import Orders, RefundFate, Reply


class Refund(AlipayCall):
    """Gives back all or a part. `fund_change` Y: money moved by this very call."""

    operation: ClassVar[str] = "refund"

    def act(self, orders: Orders) -> Reply:
        """A repeat first, then the sums."""
        amount = wire.fen(self.biz.get("refund_amount"))
        trade = self.trade
        if trade is None or not exists(trade):
            return self.refuse("ACQ.TRADE_NOT_EXIST")
        number = self._text("out_request_no") or trade.out_trade_no
        known = trade.refunds.get(number)
        if known is not None:
            return (
                self._done(trade, known, moved=False)
                if known.amount == amount
                else self.refuse("ACQ.DISCORDANT_REPEAT_REQUEST")
            )
        if not is_paid(trade):
            return self.refuse("ACQ.TRADE_STATUS_ERROR")
        if trade.reserved + amount > trade.amount:
            return self.refuse("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
        if orders.refund is RefundFate.ABNORMAL:
            return self.refuse("ACQ.REASON_TRADE_REFUND_FEE_ERR")
        closes = trade.reserved + amount == trade.amount
        notify_url = self.notify_url or trade.notify_url
        if closes and not self.world.settings.closed_is_notified:
            notify_url = None
        refund = self.acts.refund(
            trade,
            number,
            amount,
            orders,
            notify_url=notify_url,
            extra={"reason": self._text("refund_reason")},
        )
        return self._done(trade, refund, moved=refund.state == "succeeded")

    def say_success(self) -> Reply:
        """Money moved, whatever is true."""
        amount = wire.yuan(wire.fen(self.biz.get("refund_amount")))
        return self.succeed(out_trade_no=self.out_trade_no, refund_fee=amount, fund_change="Y")

    def say_failure(self) -> Reply:
        """Refused, whatever was done."""
        return self.refuse("ACQ.SELLER_BALANCE_NOT_ENOUGH")

    def _done(self, trade: Trade, refund: BookRefund, *, moved: bool) -> Reply:
        document: dict[str, Any] = {
            "trade_no": trade.channel_trade_no,
            "out_trade_no": trade.out_trade_no,
        }
        document |= {"fund_change": "Y" if moved else "N", "refund_fee": wire.yuan(trade.refunded)}
        if refund.finished_at_ms is not None:
            document["gmt_refund_pay"] = wire.time_text(
                self.world.china_time(refund.finished_at_ms)
            )
        return self.succeed(**document)


class RefundQuery(AlipayCall):
    """One refund of a trade; without `refund_status` it has not succeeded (yet)."""

    operation: ClassVar[str] = "refund_query"

    def act(self, orders: Orders) -> Reply:
        """Says what became of the request number."""
        del orders
        trade = self.trade
        if trade is None or not exists(trade):
            return self.refuse("ACQ.TRADE_NOT_EXIST")
        refund = trade.refunds.get(self._text("out_request_no"))
        if refund is None or refund.state != "succeeded":
            return self.succeed()
        amounts = {
            "refund_amount": wire.yuan(refund.amount),
            "total_amount": wire.yuan(trade.amount),
        }
        return self.succeed(**self._numbers(trade), **amounts, refund_status="REFUND_SUCCESS")

    def say_success(self) -> Reply:
        """Refunded, whatever is true."""
        trade = self.trade
        amount = wire.yuan(trade.amount if trade else 1)
        amounts = {"refund_amount": amount, "total_amount": amount}
        return self.succeed(**self._numbers(trade), **amounts, refund_status="REFUND_SUCCESS")

    def say_failure(self) -> Reply:
        """Nothing refunded, whatever is true."""
        return self.succeed()

    def _numbers(self, trade: Trade | None) -> dict[str, Any]:
        numbers = {
            "out_trade_no": self.out_trade_no,
            "out_request_no": self._text("out_request_no"),
        }
        return numbers | (
            {"trade_no": trade.channel_trade_no, "out_trade_no": trade.out_trade_no}
            if trade
            else {}
        )
