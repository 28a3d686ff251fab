"""alipay.trade.query, cancel and close: what comes after a pay whose end is not known."""

from typing import Any, ClassVar, Final

from sandbox.acts import is_ended_unpaid
from sandbox.alipay import wire
from sandbox.alipay.calls import AlipayCall, amounts, status_of, trade_facts
from sandbox.book import CHARGED, PENDING, REVERSED, Trade
from sandbox.channel import Orders, Reply

# Cancel is for the day of the payment; later the refund is the way.
CANCEL_MS_MAX: Final = 86_400_000


def exists(trade: Trade | None) -> bool:
    """Whether Alipay has a trade: not before a QR is scanned, not after a refused code."""
    return trade is not None and trade.exists and not trade.declined


class Query(AlipayCall):
    """The trade by either number; may lag behind an execution whose answer was lost."""

    operation: ClassVar[str] = "query"

    def act(self, orders: Orders) -> Reply:
        """Says what queries see."""
        del orders
        trade = self.acts.see(self.out_trade_no, self._text("trade_no"))
        if trade is None or not exists(trade):
            return self.refuse("ACQ.TRADE_NOT_EXIST")
        facts = trade_facts(trade) | {"trade_status": status_of(trade)}
        if trade.paid_at_ms is None:
            return self.succeed(**facts)
        asked = self.asked_facts(trade)
        told = amounts(trade)
        if "fund_bill_list" not in asked:
            told = dict.fromkeys(told, "0.00")
        sent = wire.time_text(self.world.china_time(trade.paid_at_ms))
        return self.succeed(**facts, **told, **asked, send_pay_date=sent)

    def say_success(self) -> Reply:
        """Paid, whatever is true."""
        facts = self._facts()
        paid_at = wire.time_text(self.world.china_time())
        amounts = dict.fromkeys(("receipt_amount", "buyer_pay_amount"), facts["total_amount"])
        return self.succeed(**facts, **amounts, trade_status="TRADE_SUCCESS", send_pay_date=paid_at)

    def say_failure(self) -> Reply:
        """Closed and never paid, whatever is true."""
        return self.succeed(**self._facts(), trade_status="TRADE_CLOSED")

    def _facts(self) -> dict[str, Any]:
        trade = self.trade
        number = (
            trade.channel_trade_no
            if trade and trade.channel_trade_no
            else "2000010122001000000000000000"
        )
        return {
            "out_trade_no": self.out_trade_no,
            "trade_no": number,
            "total_amount": wire.yuan(trade.amount if trade else 1),
        }


class Cancel(AlipayCall):
    """Unpaid → closed, paid → refunded.

    A number never seen is answered 10000 without `action` and is no tombstone.
    """

    operation: ClassVar[str] = "cancel"

    def act(self, orders: Orders) -> Reply:
        """Ends the trade; a repeat gives the same answer."""
        del orders
        trade = self.trade
        if trade is None or not exists(trade):
            if self.world.settings.cancel_is_tombstone and self.out_trade_no:
                self.acts.close(self.out_trade_no, trade.amount if trade else 0)
            return self._done(None)
        if self.world.now_ms() - trade.created_at_ms > CANCEL_MS_MAX:
            return self.refuse("ACQ.TRADE_CANCEL_TIME_OUT")
        if trade.state == PENDING:
            self.acts.close(trade.out_trade_no, trade.amount)
        elif trade.state == CHARGED and not trade.reserved:
            self.acts.reverse(trade)
        elif trade.state != REVERSED and not is_ended_unpaid(trade):
            return self.refuse("ACQ.CANCEL_NOT_ALLOWED")
        return self._done(trade)

    def say_success(self) -> Reply:
        """Closed, whatever is true."""
        return self.succeed(out_trade_no=self.out_trade_no, retry_flag="N", action="close")

    def say_failure(self) -> Reply:
        """Refused, whatever was done."""
        return self.refuse("ACQ.CANCEL_NOT_ALLOWED")

    def _done(self, trade: Trade | None) -> Reply:
        document = {"out_trade_no": self.out_trade_no, "retry_flag": "N"}
        if trade is not None and trade.channel_trade_no:
            document |= {"trade_no": trade.channel_trade_no, "out_trade_no": trade.out_trade_no}
            document["action"] = "refund" if trade.state == REVERSED else "close"
        return self.succeed(**document)


class Close(AlipayCall):
    """Only a trade that waits for its buyer is closed."""

    operation: ClassVar[str] = "close"

    def act(self, orders: Orders) -> Reply:
        """Closes WAIT_BUYER_PAY."""
        del orders
        trade = self.trade
        if trade is None or not exists(trade):
            return self.refuse("ACQ.TRADE_NOT_EXIST")
        if trade.state != PENDING:
            return self.refuse("ACQ.TRADE_STATUS_ERROR")
        self.acts.close(trade.out_trade_no, trade.amount)
        return self.succeed(out_trade_no=trade.out_trade_no, trade_no=trade.channel_trade_no)

    def say_success(self) -> Reply:
        """Closed, whatever is true."""
        return self.succeed(out_trade_no=self.out_trade_no)

    def say_failure(self) -> Reply:
        """Refused, whatever was done."""
        return self.refuse("ACQ.TRADE_STATUS_ERROR")
