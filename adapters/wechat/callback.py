"""WeChat Pay's callbacks, pure: an envelope that is already verified → what it proves.

Source: "支付成功回调通知", "退款结果通知".

A trade's amount is reported and not judged here: the flow freezes a payment whose callback names
another one.
"""

from adapters.channel import Callback, CallbackRefused
from adapters.wechat import signing, wire
from adapters.wechat.orders import Merchant
from adapters.wechat.translate import UNLISTED, refund_in_state, succeeded
from gateway.domain.outcomes import Unknown

PAID: str = "TRANSACTION.SUCCESS"
REFUND_EVENTS = frozenset({"REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"})


def read(merchant: Merchant, api_v3_key: str, body: bytes) -> tuple[Callback, bytes]:
    """The callback and its opened content.

    Raises `CallbackRefused`: `malformed`, `seal`, `event_unlisted`, `foreign_merchant`.
    """
    envelope = wire.read(wire.Envelope, body)
    if envelope is None or not envelope.id or envelope.resource_type != "encrypt-resource":
        raise CallbackRefused("malformed")
    content = signing.opened(api_v3_key, envelope.resource)
    if content is None:
        raise CallbackRefused("seal")
    if envelope.event_type == PAID:
        return _paid(merchant, envelope.id, content), content
    if envelope.event_type in REFUND_EVENTS:
        return _refunded(merchant, envelope.id, content), content
    raise CallbackRefused("event_unlisted")


def _paid(merchant: Merchant, event_key: str, content: bytes) -> Callback:
    trade = wire.read(wire.Transaction, content)
    if trade is None or not trade.out_trade_no:
        raise CallbackRefused("malformed")
    if (trade.mchid, trade.appid) != (merchant.mchid, merchant.appid):
        raise CallbackRefused("foreign_merchant")
    total = (
        trade.amount.total if trade.amount is not None and trade.amount.currency == "CNY" else None
    )
    is_paid = trade.trade_state == "SUCCESS" and bool(trade.transaction_id)
    return Callback(
        event_key=event_key,
        kind="pay",
        out_trade_no=trade.out_trade_no,
        amount=total,
        learned=succeeded(trade, total) if is_paid and total is not None else None,
    )


def _refunded(merchant: Merchant, event_key: str, content: bytes) -> Callback:
    refund = wire.read(wire.Refund, content)
    if refund is None or not (refund.out_trade_no and refund.out_refund_no and refund.refund_id):
        raise CallbackRefused("malformed")
    if refund.mchid != merchant.mchid:
        raise CallbackRefused("foreign_merchant")
    outcome = refund_in_state(refund)
    if isinstance(outcome, Unknown) and outcome.reason == UNLISTED:
        raise CallbackRefused("state_unlisted")
    return Callback(
        event_key=event_key,
        kind="refund",
        out_trade_no=refund.out_trade_no,
        amount=refund.amount.refund if refund.amount is not None else None,
        learned=None,
        out_refund_no=refund.out_refund_no,
        refund=outcome,
    )
