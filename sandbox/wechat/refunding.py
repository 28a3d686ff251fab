"""POST /v3/refund/domestic/refunds and its query.

Accepted is PROCESSING; the end comes later, by query or callback.
"""

from typing import Any, ClassVar, Final

from sandbox import limits
from sandbox.acts import is_paid
from sandbox.book import Refund as BookRefund
from sandbox.book import Trade
from sandbox.channel import Orders, Reply
from sandbox.wechat import wire
from sandbox.wechat.calls import WeChatCall, with_nulls
from sandbox.wechat.settings import World

REFUNDS_MAX: Final = 50  # partial refunds of one order
STATUSES: Final = {"processing": "PROCESSING", "succeeded": "SUCCESS", "abnormal": "ABNORMAL"}


class Refund(WeChatCall):
    """Gives back all or a part; `out_refund_no` makes it happen once
    in the merchant's whole account.
    """

    operation: ClassVar[str] = "refund"

    def act(self, orders: Orders) -> Reply:
        """A repeat first, then the order, then the sums."""
        number, amount = self._text("out_refund_no"), self.total("refund")
        if not 1 <= len(number) <= 64:  # noqa: PLR2004 - the page's own number
            return self.refuse("PARAM_ERROR", "out_refund_no: 必填，64个字符以内")
        if number in self.acts.mine.refunds:
            return self._repeated(number, amount)
        trade = self.trade
        if trade is None:
            return self.refuse("RESOURCE_NOT_EXISTS", "订单不存在")
        if not is_paid(trade):
            return self.refuse("INVALID_REQUEST", "订单未支付或已撤销，不可退款")
        if self.total() != trade.amount:
            return self.refuse("INVALID_REQUEST", "订单金额与原支付金额不一致")
        if trade.reserved + amount > trade.amount or len(trade.refunds) >= REFUNDS_MAX:
            return self.refuse("INVALID_REQUEST", "累计退款金额大于支付金额")
        url = self._text("notify_url") or None
        by_itself_ms = limits.REFUND_MS[self.account.profile]
        refund = self.acts.refund(
            trade, number, amount, orders, by_itself_ms=by_itself_ms, notify_url=url
        )
        return Reply(200, document(trade, refund, self.world))

    def _repeated(self, number: str, amount: int) -> Reply:
        trade, refund = self.acts.mine.refunds[number]
        if refund.amount != amount or trade is not self.trade:
            return self.refuse("PARAM_ERROR", "同一退款单号，参数与原请求不一致")
        return Reply(200, document(trade, refund, self.world))

    def say_success(self) -> Reply:
        """Money given back, whatever is true."""
        trade = self.trade
        facts = {
            "out_refund_no": self._text("out_refund_no"),
            "refund_id": "50000000000000000000000000000",
            "status": "SUCCESS",
        }
        facts |= {
            "out_trade_no": trade.out_trade_no if trade else self.out_trade_no,
            "channel": "ORIGINAL",
        }
        facts["success_time"] = wire.time_text(self.world.china_time())
        refund = self.total("refund") if "amount" in self.fields else 1
        return Reply(
            200,
            facts
            | {
                "amount": {
                    "refund": refund,
                    "total": trade.amount if trade else refund,
                    "currency": "CNY",
                }
            },
        )

    def say_failure(self) -> Reply:
        """Refused, whatever was done."""
        return self.refuse("NOT_ENOUGH", "基本账户余额不足")


class RefundQuery(Refund):
    """One refund by its merchant number."""

    operation: ClassVar[str] = "refund_query"

    @property
    def trade(self) -> Trade | None:
        """The order this refund belongs to."""
        found = self.acts.mine.refunds.get(self._text("out_refund_no"))
        return found[0] if found else None

    def act(self, orders: Orders) -> Reply:
        """Says what became of it."""
        del orders
        found = self.acts.mine.refunds.get(self._text("out_refund_no"))
        return (
            Reply(200, document(*found, self.world))
            if found
            else self.refuse("RESOURCE_NOT_EXISTS")
        )

    def say_failure(self) -> Reply:
        """No such refund, whatever is true."""
        return self.refuse("RESOURCE_NOT_EXISTS")


def document(trade: Trade, refund: BookRefund, world: World) -> dict[str, Any]:
    """A refund as answers and queries carry it."""
    facts: dict[str, Any] = {
        "refund_id": refund.channel_number,
        "out_refund_no": refund.number,
        "channel": "ORIGINAL",
    }
    facts |= {
        "transaction_id": trade.channel_trade_no,
        "out_trade_no": trade.out_trade_no,
        "user_received_account": "支付用户零钱",
    }
    facts |= {
        "create_time": wire.time_text(world.china_time(refund.created_at_ms)),
        world.settings.refund_state_is_called: STATUSES[refund.state],
    }
    if refund.state == "succeeded":
        facts["success_time"] = wire.time_text(world.china_time(refund.finished_at_ms))
    facts["amount"] = {
        "total": trade.amount,
        "refund": refund.amount,
        "payer_total": trade.amount,
        "payer_refund": refund.amount,
    }
    facts["amount"] |= {
        "settlement_refund": refund.amount,
        "settlement_total": trade.amount,
        "discount_refund": 0,
        "currency": "CNY",
    }
    return with_nulls(facts, ("success_time", "funds_account", "promotion_detail"), world)
