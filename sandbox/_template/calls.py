"""Template's business calls: what each does to the trade book, and the truth it answers."""

import hashlib
import secrets
from typing import Any, ClassVar, Final

from sandbox.acts import is_ended_unpaid, is_paid
from sandbox.book import CHARGED, PENDING, REFUNDED, REVERSED, Refund, Trade
from sandbox.channel import Customer, Orders, RefundFate, Reply, Saying
from sandbox.surroundings import Settings, Surroundings


class TemplateCall:
    """One verified request. Subclasses do one path each."""

    operation: ClassVar[str]

    def __init__(self, world: Surroundings[Settings], said: dict[str, Any]) -> None:
        self.world = world
        self.acts = world.acts
        self.said = said
        self.out_trade_no: str = said.get("out_trade_no", "")
        self.auth_code: str = said.get("auth_code", "")

    @property
    def trade(self) -> Trade | None:
        """The trade as it is now."""
        return self.acts.find(self.out_trade_no)

    def refused(self) -> Reply | None:
        """This protocol's requests do not age;
        a payment's own expiry is looked at when it is executed.
        """
        return None

    def execute(self, orders: Orders) -> Reply:
        """Does it, and says what is true."""
        raise NotImplementedError

    def say(self, what: Saying) -> Reply:
        """Says `what` and does nothing."""
        lies = {
            Saying.SUCCESS: self.lied_success(),
            Saying.FAILURE: refusal("CODE_INVALID"),
            Saying.NOT_FOUND: refusal("NOT_FOUND"),
            Saying.SYSTEM_ERROR: refusal("SYSTEM_ERROR"),
            Saying.AGAIN: refusal("AGAIN"),
            Saying.BLOCKED: refusal("MERCHANT_BLOCKED"),
        }
        return lies[what]

    def lied_success(self) -> Reply:
        """Success, whatever is true."""
        return self.tell("PAID", amount=self.said.get("amount", 1), trade_no="T0")

    def tell(self, state: str, **facts: Any) -> Reply:
        """An answer about the order."""
        named = {
            "merchant_id": self.world.account.kept["merchant_id"],
            "out_trade_no": self.out_trade_no,
        }
        return Reply(200, {"code": "OK", "state": state} | named | facts)


class Pay(TemplateCall):
    """POST /pay. A number known already is never charged again; a code works once."""

    operation: ClassVar[str] = "pay"

    def execute(self, orders: Orders) -> Reply:
        """The number, the expiry, the code, then the customer."""
        if self.trade is not None:
            return refusal("EXISTS")
        if self.said["expires_at_ms"] <= self.world.now_ms():
            return refusal("EXPIRED")
        code = hashlib.sha256(self.auth_code.encode()).hexdigest()
        if self.acts.book.is_code_spent(self.world.account.channel, code):
            return refusal("CODE_INVALID")
        number, amount = self.out_trade_no, self.said["amount"]
        terms = {
            "flow": "code",
            "code": code,
            "notify_url": self.said.get("notify_url"),
            "expires_at_ms": self.said["expires_at_ms"],
        }
        word = {Customer.NO_BALANCE: "NO_BALANCE", Customer.CODE_EXPIRED: "CODE_INVALID"}.get(
            orders.customer
        )
        if word:
            self.acts.decline(number, amount, word, exists=False, **terms)
            return refusal(word)
        terms["channel_trade_no"] = f"T{secrets.randbelow(10**20):020d}"
        if orders.customer is Customer.PAYS:
            return tell_trade(self, self.acts.charge(number, amount, **terms))
        return tell_trade(
            self,
            self.acts.open(
                number, amount, typing=orders.customer is Customer.TYPES_THEN_PAYS, **terms
            ),
        )


class Precreate(TemplateCall):
    """POST /precreate. The trade begins with its QR code and waits for whoever scans it."""

    operation: ClassVar[str] = "precreate"

    def execute(self, orders: Orders) -> Reply:
        """Shows a QR code, once a number."""
        del orders
        if self.trade is not None:
            return refusal("EXISTS")
        if self.said["expires_at_ms"] <= self.world.now_ms():
            return refusal("EXPIRED")
        number = f"T{secrets.randbelow(10**20):020d}"
        terms = {
            "flow": "qr",
            "notify_url": self.said.get("notify_url"),
            "expires_at_ms": self.said["expires_at_ms"],
        }
        self.acts.open(self.out_trade_no, self.said["amount"], channel_trade_no=number, **terms)
        return self.lied_success()

    def lied_success(self) -> Reply:
        """A QR code, whatever is true."""
        return self.tell(
            "WAITING", qr_code=f"https://_template.example.com/q/{secrets.token_hex(8)}"
        )


class Query(TemplateCall):
    """POST /query."""

    operation: ClassVar[str] = "query"

    def execute(self, orders: Orders) -> Reply:
        """What queries see."""
        del orders
        trade = self.acts.see(self.out_trade_no)
        return tell_trade(self, trade) if trade and not trade.declined else refusal("NOT_FOUND")


class Cancel(TemplateCall):
    """POST /cancel. A number never seen is no tombstone, unless the setting says so."""

    operation: ClassVar[str] = "cancel"

    def execute(self, orders: Orders) -> Reply:
        """Unpaid: closed. Paid: given back. A repeat gives the same answer."""
        del orders
        trade = self.trade
        if trade is None or trade.declined:
            if self.world.settings.cancel_is_tombstone:
                self.acts.close(self.out_trade_no, trade.amount if trade else 0)
            return refusal("NOT_FOUND")
        if trade.state == PENDING:
            self.acts.close(trade.out_trade_no, trade.amount)
        elif trade.state == CHARGED and not trade.reserved:
            self.acts.reverse(trade)
        elif trade.state != REVERSED and not is_ended_unpaid(trade):
            return refusal("TOO_LATE")
        return tell_trade(self, trade)

    def lied_success(self) -> Reply:
        """Closed, whatever is true."""
        return self.tell("CLOSED")


class RefundCall(TemplateCall):
    """POST /refund. `out_refund_no` makes it happen once."""

    operation: ClassVar[str] = "refund"

    def execute(self, orders: Orders) -> Reply:
        """A repeat first, then the sums."""
        trade, number, amount = self.trade, self.said["out_refund_no"], self.said["amount"]
        if trade is None:
            return refusal("NOT_REFUNDABLE")
        known = trade.refunds.get(number)
        if known is not None:
            return self.tell_refund(known) if known.amount == amount else refusal("NOT_REFUNDABLE")
        if (
            not is_paid(trade)
            or trade.reserved + amount > trade.amount
            or orders.refund is RefundFate.ABNORMAL
        ):
            return refusal("NOT_REFUNDABLE")
        notify_url = self.said.get("notify_url") or trade.notify_url
        return self.tell_refund(
            self.acts.refund(trade, number, amount, orders, notify_url=notify_url)
        )

    def tell_refund(self, refund: Refund) -> Reply:
        """Where the refund stands."""
        state = "REFUNDED" if refund.state == "succeeded" else "REFUNDING"
        return self.tell(state, out_refund_no=refund.number, refund_amount=refund.amount)

    def lied_success(self) -> Reply:
        """Refunded, whatever is true."""
        return self.tell(
            "REFUNDED", out_refund_no=self.said["out_refund_no"], refund_amount=self.said["amount"]
        )


class RefundQuery(RefundCall):
    """POST /refund_query."""

    operation: ClassVar[str] = "refund_query"

    def execute(self, orders: Orders) -> Reply:
        """What became of the number."""
        del orders
        refund = self.trade.refunds.get(self.said["out_refund_no"]) if self.trade else None
        return self.tell_refund(refund) if refund else refusal("NOT_FOUND")


KINDS: Final[tuple[type[TemplateCall], ...]] = (
    Pay,
    Precreate,
    Query,
    Cancel,
    RefundCall,
    RefundQuery,
)
CALLS: Final = {f"/{each.operation}": each for each in KINDS}


def refusal(code: str) -> Reply:
    """A signed no, or a signed "not now"."""
    return Reply(200, {"code": code})


def state_of(trade: Trade) -> str:
    """The trade's state in this channel's words; a trade refunded in part stays paid."""
    if trade.state == REFUNDED:
        return "REFUNDED" if trade.refunded == trade.amount else "PAID"
    return {PENDING: "WAITING", CHARGED: "PAID", REVERSED: "REVERSED"}.get(trade.state, "CLOSED")


def tell_trade(call: TemplateCall, trade: Trade) -> Reply:
    """A trade as answers carry it."""
    paid = {"paid_at_ms": trade.paid_at_ms} if trade.paid_at_ms else {}
    return call.tell(state_of(trade), trade_no=trade.channel_trade_no, amount=trade.amount, **paid)
