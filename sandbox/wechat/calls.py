"""What every WeChat Pay business call shares:
its merchant check, its refusals, its words for a trade.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from sandbox.book import CHARGED, CLOSED, PENDING, REFUNDED, REVERSED, Trade
from sandbox.channel import Account, Orders, Reply, Saying
from sandbox.wechat import wire
from sandbox.wechat.settings import World

REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "PARAM_ERROR": (400, "参数错误"),
    "INVALID_REQUEST": (400, "无效请求"),
    "SYSTEM_ERROR": (500, "系统异常，请用相同参数重新调用"),
    "APPID_MCHID_NOT_MATCH": (400, "appid和mch_id不匹配"),
    "MCH_NOT_EXISTS": (400, "商户号不存在"),
    "ORDER_NOT_EXIST": (404, "订单不存在"),
    "RESOURCE_NOT_EXISTS": (404, "退款单不存在"),
    "OUT_TRADE_NO_USED": (403, "商户订单号重复"),
    "ORDER_PAID": (400, "该订单已支付"),
    "ORDER_CLOSED": (400, "该订单已关闭"),
    "ORDERREVERSED": (400, "该订单已撤销"),
    "NOT_ENOUGH": (403, "余额不足"),
    "AUTH_CODE_EXPIRED": (400, "付款码已过期，请刷新后重试"),
    "AUTH_CODE_INVALID": (400, "付款码无效，请重新扫码"),
    "TRADE_ERROR": (403, "交易错误"),
    "RULE_LIMIT": (403, "业务规则限制"),
    "REVERSE_EXPIRE": (400, "订单无法撤销：已超过7天"),
    "USERPAYING": (400, "用户支付中，请稍后再试"),
}
_STATE_TEXTS: Final = {
    "SUCCESS": "支付成功",
    "REFUND": "转入退款",
    "NOTPAY": "未支付",
    "CLOSED": "已关闭",
    "REVOKED": "已撤销",
    "USERPAYING": "用户支付中",
    "PAYERROR": "支付失败",
}
_OPTIONAL: Final = (
    "transaction_id",
    "bank_type",
    "success_time",
    "payer",
    "scene_info",
    "promotion_detail",
)
_NUMBER: Final = re.compile(r"\A[A-Za-z0-9_\-*|]{6,32}\Z")


class RefusedError(Exception):
    """A business refusal found while checking fields; carries the code."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text)
        self.code = code


class WeChatCall:
    """One verified request.

    Subclasses do one operation each. `fields`: body or query, and what the path names.
    """

    operation: ClassVar[str]

    def __init__(
        self,
        account: Account,
        world: World,
        fields: dict[str, Any],
        is_stale: Callable[[], bool],
    ) -> None:
        self.account = account
        self.world = world
        self.acts = world.acts
        self.fields = fields
        self._is_stale = is_stale
        self.out_trade_no = self._text("out_trade_no")
        payer = fields.get("payer")
        code = payer.get("auth_code") if isinstance(payer, dict) else None
        self.auth_code = code if isinstance(code, str) else ""

    @property
    def trade(self) -> Trade | None:
        """The order by either number."""
        return self.acts.find(self.out_trade_no, self._text("transaction_id"))

    def refused(self) -> Reply | None:
        """A request that was held is judged by the time it is executed at: the signature's window
        may be over.
        """
        if self._is_stale():
            return Reply(401, {"code": "SIGN_ERROR", "message": "timestamp已过期"}, signed=False)
        return None

    def execute(self, orders: Orders) -> Reply:
        """Checks the fields, then does it."""
        try:
            self._check_merchant()
            return self.act(orders)
        except RefusedError as refusal:
            return self.refuse(refusal.code, str(refusal))
        except wire.WireError as error:
            return self.malformed(str(error))

    def act(self, orders: Orders) -> Reply:
        """The operation itself."""
        raise NotImplementedError

    def say(self, what: Saying) -> Reply:
        """A lie, or a reply that the channel gives without acting."""
        match what:
            case Saying.SUCCESS:
                try:
                    return self.say_success()
                except wire.WireError as error:
                    return self.malformed(str(error))
            case Saying.FAILURE:
                return self.say_failure()
            case Saying.NOT_FOUND:
                return self.refuse("ORDER_NOT_EXIST")
            case Saying.SYSTEM_ERROR:
                return self.refuse("SYSTEM_ERROR")
            case Saying.AGAIN:
                return self.refuse("USERPAYING")
            case Saying.BLOCKED:
                return self.refuse("RULE_LIMIT")

    def say_success(self) -> Reply:
        """Success, whatever is true."""
        raise NotImplementedError

    def say_failure(self) -> Reply:
        """A definite no, whatever is true."""
        raise NotImplementedError

    def refuse(self, code: str, text: str = "") -> Reply:
        """Signed, with the code's HTTP status."""
        status, usual = REFUSALS[code]
        if self.world.settings.words_are_run_together:
            code = code.replace("_", "")
        return Reply(status, {"code": code, "message": text or usual})

    def malformed(self, text: str) -> Reply:
        """A parameter that is not what the page says: refused before the business, unsigned."""
        return malformed(text, self.world)

    def order_number(self) -> str:
        """`out_trade_no` as the channel accepts it."""
        if not _NUMBER.match(self.out_trade_no):
            raise wire.WireError("商户订单号: 6到32个字符，仅支持数字、大小写字母和_-*|")
        return self.out_trade_no

    def total(self, name: str = "total") -> int:
        """A part of `amount`, in fen."""
        amount = self.fields.get("amount")
        value = amount.get(name) if isinstance(amount, dict) else None
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not 1 <= value <= wire.TOTAL_FEN_MAX
        ):
            raise wire.WireError(f"amount.{name}: 需要大于0的整数，单位为分")
        if isinstance(amount, dict) and amount.get("currency", "CNY") != "CNY":
            raise wire.WireError("amount.currency: 仅支持CNY")
        return value

    def transaction(self, trade: Trade) -> dict[str, Any]:
        """The order as pay answers, queries and callbacks carry it."""
        return transaction(trade, self.account, self.world)

    def _check_merchant(self) -> None:
        kept = self.account.kept
        if "mchid" in self.fields and self.fields["mchid"] != kept["mchid"]:
            raise RefusedError("MCH_NOT_EXISTS")
        if "appid" in self.fields and self.fields["appid"] != kept["appid"]:
            raise RefusedError("APPID_MCHID_NOT_MATCH")

    def _require(self, *names: str) -> None:
        for name in names:
            if not self._text(name):
                raise wire.WireError(f"缺少必填参数 {name}")

    def _text(self, name: str) -> str:
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""


def malformed(text: str, world: World) -> Reply:
    """PARAM_ERROR of the host itself."""
    signed = world.settings.parameter_refusals_are_signed
    return Reply(400, {"code": "PARAM_ERROR", "message": text}, signed=signed)


def state_of(trade: Trade) -> str:
    """WeChat Pay's trade_state."""
    if trade.state == PENDING:
        return "USERPAYING" if trade.flow == "code" else "NOTPAY"
    if trade.state == REVERSED:
        return "REVOKED"
    if trade.state == CLOSED:
        return "PAYERROR" if trade.declined else str(trade.extra.get("ended", "CLOSED"))
    assert trade.state in {CHARGED, REFUNDED}
    return "REFUND" if trade.refunds else "SUCCESS"


def transaction(trade: Trade, account: Account, world: World) -> dict[str, Any]:
    """The order's document; who paid and when only once it is paid."""
    state = state_of(trade)
    document: dict[str, Any] = {
        "appid": account.kept["appid"],
        "mchid": account.kept["mchid"],
        "out_trade_no": trade.out_trade_no,
    }
    document |= {
        "trade_type": "MICROPAY" if trade.flow == "code" else "NATIVE",
        "trade_state": state,
    }
    document |= {"trade_state_desc": _STATE_TEXTS[state], "attach": trade.extra.get("attach", "")}
    document["amount"] = {"total": trade.amount, "currency": "CNY"}
    if trade.paid_at_ms is not None:
        document |= {
            "transaction_id": trade.channel_trade_no,
            "bank_type": "OTHERS",
            "payer": {"openid": trade.extra["openid"]},
        }
        document["success_time"] = wire.time_text(world.china_time(trade.paid_at_ms))
        document["amount"] |= {"payer_total": trade.amount, "payer_currency": "CNY"}
    return with_nulls(document, _OPTIONAL, world)


def with_nulls(document: dict[str, Any], optional: Sequence[str], world: World) -> dict[str, Any]:
    """The document with the fields it leaves out, when the setting wants them."""
    if not world.settings.absent_fields_are_null:
        return document
    return dict.fromkeys(optional) | document


def digest(*parts: Any) -> str:
    """A short fingerprint of what is compared, or of a code that is not kept."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:32]
