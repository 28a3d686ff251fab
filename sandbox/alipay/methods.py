"""The methods this gateway serves. Everything else is answered isv.invalid-method."""

from typing import Final

from sandbox.alipay.calls import AlipayCall
from sandbox.alipay.following import Cancel, Close, Query
from sandbox.alipay.paying import Pay, Precreate
from sandbox.alipay.refunding import Refund, RefundQuery

CALLS: Final[dict[str, type[AlipayCall]]] = {
    "alipay.trade.pay": Pay,
    "alipay.trade.precreate": Precreate,
    "alipay.trade.query": Query,
    "alipay.trade.cancel": Cancel,
    "alipay.trade.close": Close,
    "alipay.trade.refund": Refund,
    "alipay.trade.fastpay.refund.query": RefundQuery,
}
