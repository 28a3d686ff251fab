"""POST /v3/pay/transactions/codepay (barcode; never a callback) and /native (QR; the order exists
from the start).
"""

import re
import secrets
from typing import Any, ClassVar, Final

from sandbox import limits
from sandbox.acts import is_paid
from sandbox.book import PENDING, REVERSED, Trade
from sandbox.channel import Customer, Orders, Reply
from sandbox.wechat import wire
from sandbox.wechat.calls import RefusedError, WeChatCall, digest
from sandbox.wechat.settings import World

# A barcode order that nobody paid closes by itself; a tenth for `short`.
CODE_ORDER_MS: Final = 45_000
NATIVE_ORDER_MS: Final = 7_200_000
_CODE: Final = re.compile(r"\A1[0-5][0-9]{16}\Z")


class CodePay(WeChatCall):
    """The till scanned a payment code. A code works once, even when the payment failed."""

    operation: ClassVar[str] = "pay"

    def act(self, orders: Orders) -> Reply:
        """A number seen before first; then the code; then the customer."""
        number, amount, content = self._order()
        self._check_scene()
        known = self.trade
        code = digest(self.auth_code)
        if known is not None and not known.declined:
            refusal = self._repeated(known, content)
            if refusal is not None:
                return refusal
            if self.acts.book.is_code_spent("wechat", code):
                return self._typing(known)
        if not _CODE.match(self.auth_code) or self.acts.book.is_code_spent("wechat", code):
            return self.refuse("AUTH_CODE_INVALID")
        life_ms = int(CODE_ORDER_MS * limits.PROFILE_SCALE[self.account.profile])
        terms = self._terms(content, self.world.now_ms() + life_ms) | {"flow": "code", "code": code}
        return self._by_customer(orders.customer, number, amount, terms)

    def _by_customer(
        self, customer: Customer, number: str, amount: int, terms: dict[str, Any]
    ) -> Reply:
        match customer:
            case Customer.NO_BALANCE:
                self.acts.decline(number, amount, "NOT_ENOUGH", exists=True, **terms)
                return self.refuse("NOT_ENOUGH")
            case Customer.CODE_EXPIRED:
                self.acts.decline(number, amount, "AUTH_CODE_EXPIRED", exists=True, **terms)
                return self.refuse("AUTH_CODE_EXPIRED")
            case Customer.PAYS:
                return Reply(200, self.transaction(self.acts.charge(number, amount, **terms)))
            case Customer.TYPES_THEN_PAYS | Customer.TYPES_FOREVER:
                typing = customer is Customer.TYPES_THEN_PAYS
                return self._typing(self.acts.open(number, amount, typing=typing, **terms))

    def _typing(self, trade: Trade) -> Reply:
        """Accepted, and not yet decided."""
        return Reply(self.world.settings.user_paying_status, self.transaction(trade))

    def _repeated(self, trade: Trade, content: str) -> Reply | None:
        """None when the order still waits for its payer."""
        if trade.state == REVERSED or trade.extra.get("ended") == "REVOKED":
            return self.refuse("ORDERREVERSED")
        if trade.state == PENDING:
            return None if trade.content == content else self.refuse("OUT_TRADE_NO_USED")
        if is_paid(trade):
            return self.refuse("ORDER_PAID" if trade.content == content else "OUT_TRADE_NO_USED")
        return self.refuse("ORDER_CLOSED")

    def _order(self) -> tuple[str, int, str]:
        self._require("appid", "mchid", "description", "out_trade_no")
        description = self._text("description")
        if len(description) > 127:  # noqa: PLR2004 - the page's own number
            raise wire.WireError("description: 不能超过127个字符")
        number, amount = self.order_number(), self.total()
        return number, amount, digest(self.operation, amount, description, self._text("attach"))

    def _terms(self, content: str, expires_at_ms: int) -> dict[str, Any]:
        if "time_expire" in self.fields:
            expires_at_ms = min(expires_at_ms, wire.epoch_ms(self.fields["time_expire"]))
        if expires_at_ms <= self.world.now_ms():
            raise RefusedError("PARAM_ERROR", "time_expire: 已过期")
        extra = {
            "attach": self._text("attach"),
            "openid": f"o{self.world.chance.getrandbits(108):027x}",
        }
        number = self.trade.channel_trade_no if self.trade else new_transaction_id(self.world)
        return {
            "channel_trade_no": number,
            "content": content,
            "expires_at_ms": expires_at_ms,
            "extra": extra,
        }

    def _check_scene(self) -> None:
        scene = self.fields.get("scene_info")
        store = scene.get("store_info") if isinstance(scene, dict) else None
        if not isinstance(store, dict) or not (store.get("id") or store.get("out_id")):
            raise wire.WireError("缺少必填参数 scene_info.store_info.id 或 out_id")

    def say_success(self) -> Reply:
        """A paid answer with a number no order has."""
        kept = self.account.kept
        document: dict[str, Any] = {
            "appid": kept["appid"],
            "mchid": kept["mchid"],
            "out_trade_no": self.out_trade_no,
        }
        document |= {
            "transaction_id": new_transaction_id(self.world),
            "trade_type": "MICROPAY",
            "trade_state": "SUCCESS",
        }
        document |= {
            "trade_state_desc": "支付成功",
            "success_time": wire.time_text(self.world.china_time()),
        }
        total = self.total()
        document["amount"] = {
            "total": total,
            "payer_total": total,
            "currency": "CNY",
            "payer_currency": "CNY",
        }
        return Reply(200, document)

    def say_failure(self) -> Reply:
        """A definite refusal."""
        return self.refuse("NOT_ENOUGH")


class Native(CodePay):
    """A QR order: payable, queried as NOTPAY, from the moment it is made."""

    operation: ClassVar[str] = "precreate"

    def act(self, orders: Orders) -> Reply:
        """Makes the order, or shows the same QR again for the same order."""
        del orders
        number, amount, content = self._order()
        self._require("notify_url")
        known = self.trade
        if known is not None:
            refusal = self._repeated(known, content)
            return refusal or Reply(200, {"code_url": known.extra["code_url"]})
        terms = self._terms(content, self.world.now_ms() + NATIVE_ORDER_MS)
        terms["extra"]["code_url"] = _code_url()
        trade = self.acts.open(
            number, amount, flow="qr", notify_url=self._text("notify_url"), **terms
        )
        return Reply(200, {"code_url": trade.extra["code_url"]})

    def say_success(self) -> Reply:
        """A QR that leads nowhere."""
        return Reply(200, {"code_url": _code_url()})

    def say_failure(self) -> Reply:
        """A definite refusal."""
        return self.refuse("RULE_LIMIT")


def new_transaction_id(world: World) -> str:
    """28 digits with the day in them."""
    return (
        f"42000{world.chance.randrange(10**5):05d}{world.china_time():%Y%m%d}"
        f"{world.chance.randrange(10**10):010d}"
    )


def _code_url() -> str:
    return f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(6)}zz"
