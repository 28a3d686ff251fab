"""What every Alipay business call shares: its numbers, its refusals, its words for a trade."""

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

from sandbox.alipay import wire
from sandbox.alipay.settings import World
from sandbox.book import CHARGED, PENDING, REFUNDED, Trade
from sandbox.channel import Orders, Reply, Saying
from sandbox.surroundings import CHINA

MESSAGES: dict[str, str] = {
    "ACQ.SYSTEM_ERROR": "系统错误",
    "ACQ.INVALID_PARAMETER": "参数无效",
    "ACQ.TRADE_NOT_EXIST": "交易不存在",
    "ACQ.TRADE_HAS_SUCCESS": "交易已被支付",
    "ACQ.TRADE_HAS_CLOSE": "交易已经关闭",
    "ACQ.CONTEXT_INCONSISTENT": "交易信息被篡改",
    "ACQ.PAYMENT_AUTH_CODE_INVALID": "支付授权码无效",
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": "买家余额不足",
    "ACQ.PAYMENT_FAIL": "支付失败",
    "ACQ.SELLER_BEEN_BLOCKED": "商家账号被冻结",
    "ACQ.TOTAL_FEE_EXCEED": "订单总金额超过限额",
    "ACQ.TRADE_STATUS_ERROR": "交易状态不合法",
    "ACQ.TRADE_CANCEL_TIME_OUT": "超过撤销时间范围",
    "ACQ.CANCEL_NOT_ALLOWED": "交易不允许撤销",
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": "退款金额超限",
    "ACQ.DISCORDANT_REPEAT_REQUEST": "不一致的请求",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": "卖家余额不足",
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": "退款金额无效",
}


class AlipayCall:
    """One verified request. Subclasses do one method each."""

    operation: ClassVar[str]

    def __init__(
        self,
        world: World,
        parameters: dict[str, str],
        biz: dict[str, Any],
        is_stale: Callable[[], bool],
    ) -> None:
        self.world = world
        self.acts = world.acts
        self.method = parameters["method"]
        self.notify_url = parameters.get("notify_url") or None
        self.biz = biz
        self._is_stale = is_stale
        self.out_trade_no = self._text("out_trade_no")
        self.auth_code = self._text("auth_code")

    @property
    def trade(self) -> Trade | None:
        """The trade by either number."""
        return self.acts.find(self.out_trade_no, self._text("trade_no"))

    def refused(self) -> Reply | None:
        """A request that was held is judged when it is executed: first its own timestamp."""
        if self._is_stale():
            document = {
                "code": "40002",
                "msg": "Invalid Arguments",
                "sub_code": "isv.invalid-timestamp",
                "sub_msg": "非法的时间戳参数",
            }
            signed = self.world.settings.gateway_refusals_are_signed
            return Reply(200, document, signed=signed, method=self.method)
        return None

    def execute(self, orders: Orders) -> Reply:
        """Checks the fields, then does it."""
        try:
            return self.act(orders)
        except wire.WireError as error:
            return self.refuse("ACQ.INVALID_PARAMETER", str(error))

    def act(self, orders: Orders) -> Reply:
        """The method itself."""
        raise NotImplementedError

    def say(self, what: Saying) -> Reply:
        """A lie, or a reply that the channel gives without acting."""
        match what:
            case Saying.SUCCESS:
                try:
                    return self.say_success()
                except wire.WireError as error:
                    return self.refuse("ACQ.INVALID_PARAMETER", str(error))
            case Saying.FAILURE:
                return self.say_failure()
            case Saying.NOT_FOUND:
                return self.refuse("ACQ.TRADE_NOT_EXIST")
            case Saying.SYSTEM_ERROR:
                return self.refuse("ACQ.SYSTEM_ERROR")
            case Saying.AGAIN:
                return self.succeed(out_trade_no=self.out_trade_no, retry_flag="Y")
            case Saying.BLOCKED:
                return self.refuse("ACQ.SELLER_BEEN_BLOCKED")

    def say_success(self) -> Reply:
        """Success, whatever is true."""
        raise NotImplementedError

    def say_failure(self) -> Reply:
        """A definite no, whatever is true."""
        raise NotImplementedError

    def succeed(self, **document: Any) -> Reply:
        """Signed 10000."""
        return Reply(200, {"code": "10000", "msg": "Success"} | document, method=self.method)

    def refuse(self, sub_code: str, text: str = "") -> Reply:
        """Signed 40004 with the business reason."""
        document = {
            "code": "40004",
            "msg": "Business Failed",
            "sub_code": sub_code,
            "sub_msg": text or MESSAGES[sub_code],
        }
        if self.out_trade_no:
            document["out_trade_no"] = self.out_trade_no
        return Reply(200, document, method=self.method)

    def asked_facts(self, trade: Trade) -> dict[str, Any]:
        """What `query_options` asks for of a paid trade, and what comes unasked."""
        options = self.biz.get("query_options")
        asked = (
            {each for each in options if isinstance(each, str)}
            if isinstance(options, list)
            else set()
        )
        every = lists(trade) | {
            "mdiscount_amount": wire.yuan(voucher_of(trade)),
            "discount_amount": "0.00",
        }
        if self.world.settings.lists_are_unasked:
            return every
        return {name: value for name, value in every.items() if name in asked}

    def limit_ms(self, *express_fields: str) -> int | None:
        """When the order's time is over: the earliest of `time_expire` (absolute)
        and the relative fields.
        """
        limits = [
            self.world.now_ms() + wire.express_ms(self.biz[name])
            for name in express_fields
            if name in self.biz
        ]
        if "time_expire" in self.biz:
            limits.append(wire.epoch_ms(self.biz["time_expire"], CHINA))
        return min(limits) if limits else None

    def order_number(self) -> str:
        """`out_trade_no` as the channel accepts it."""
        number = self.out_trade_no
        if (
            not 1 <= len(number) <= 64  # noqa: PLR2004
            or not number.replace("_", "a").isascii()
            or not number.replace("_", "a").isalnum()
        ):
            raise wire.WireError("out_trade_no: 64 个字符以内，仅支持字母、数字、下划线")
        return number

    def subject(self) -> str:
        """`subject` as the channel accepts it."""
        text = self._text("subject")
        if not text or len(text) > 256 or any(mark in text for mark in "/=&"):  # noqa: PLR2004
            raise wire.WireError("subject: 必填，256 个字符以内，不可使用 / = &")
        return text

    def echoed(self) -> dict[str, str]:
        """What the merchant says and a notify says again."""
        said = {name: self._text(name) for name in ("body", "passback_params")}
        return {"subject": self.subject()} | {name: text for name, text in said.items() if text}

    def _text(self, name: str) -> str:
        value = self.biz.get(name)
        return value if isinstance(value, str) else ""


def status_of(trade: Trade) -> str:
    """Alipay's trade_status; TRADE_CLOSED is both "closed unpaid" and "fully given back"."""
    if trade.state == PENDING:
        return "WAIT_BUYER_PAY"
    if trade.state == CHARGED or (trade.state == REFUNDED and trade.refunded < trade.amount):
        return "TRADE_SUCCESS"
    return "TRADE_CLOSED"


def trade_facts(trade: Trade) -> dict[str, Any]:
    """Which trade, and whose: as pay, query and cancel answers carry it."""
    facts: dict[str, Any] = {
        "trade_no": trade.channel_trade_no,
        "out_trade_no": trade.out_trade_no,
        "total_amount": wire.yuan(trade.amount),
    }
    return facts | {
        name: trade.extra[name]
        for name in ("buyer_user_id", "buyer_logon_id")
        if name in trade.extra
    }


def amounts(trade: Trade) -> dict[str, str]:
    """What a paid trade brought: the merchant's voucher lowers it."""
    paid = wire.yuan(trade.amount - voucher_of(trade))
    return {
        "receipt_amount": paid,
        "buyer_pay_amount": paid,
        "invoice_amount": paid,
        "point_amount": "0.00",
    }


def voucher_of(trade: Trade) -> int:
    """Fen of the merchant's voucher, 0 without one."""
    return min(int(trade.extra.get("voucher_fen", 0)), trade.amount)


def lists(trade: Trade, *, camel_case: bool = False) -> dict[str, Any]:
    """From which funds a paid trade was paid, and who paid a discount. Notifies write camelCase."""

    def named(words: str) -> str:
        first, *others = words.split("_")
        return first + "".join(map(str.title, others)) if camel_case else words

    given = voucher_of(trade)
    paid = {"amount": wire.yuan(trade.amount - given), named("fund_channel"): "ALIPAYACCOUNT"}
    if not given:
        return {"fund_bill_list": [paid]}
    voucher = {
        "amount": wire.yuan(given),
        named("merchant_contribute"): wire.yuan(given),
        "name": "店铺满减",
        named("other_contribute"): "0.00",
        "type": "ALIPAY_FIX_VOUCHER",
        named("voucher_id"): f"2016{trade.channel_trade_no[-20:]}",
    }
    discount = {"amount": wire.yuan(given), named("fund_channel"): "MDISCOUNT"}
    return {"fund_bill_list": [paid, discount], "voucher_detail_list": [voucher]}


def digest(*parts: Any) -> str:
    """A short fingerprint of what is compared, or of a code that is not kept."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:32]
