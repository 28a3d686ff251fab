"""WeChat Pay's words and what they prove, as data.

A word that stands in no table here is `Unknown`, and counted.

Branched on `code` and `trade_state`, never on `message`. A word is the same with and without its
underscores (`SYSTEMERROR`, `USER_PAYING`), since the pages write both; `word` gives the tables'
spelling.

Every row is a ready-made outcome; `translate` adds the code as it was received. A row that says
"no" counts only in a signed answer with a 4xx status; whatever a 5xx says is no proof.

Sources: the error tables of the v3 pages "付款码支付", "Native下单", "查询订单", "撤销订单",
"关闭订单", "退款申请" and "查询单笔退款". A word of one table is undecided as the answer to another
call.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from adapters.channel import Flow
from gateway.domain.outcomes import (
    AlreadyExists,
    CallAgain,
    Closed,
    Declined,
    FailureCode,
    NotFound,
    NothingThere,
    PayerActionNeeded,
    Pending,
    RefundDeclined,
    RefundNotFound,
    RefundPending,
    Retry,
    Unknown,
    UseRefund,
)

PayRow: TypeAlias = Pending | PayerActionNeeded | Declined | AlreadyExists | Unknown
QueryRow: TypeAlias = NotFound | Unknown
StateRow: TypeAlias = Pending | PayerActionNeeded | Closed | Unknown
CancelRow: TypeAlias = NothingThere | CallAgain | UseRefund | Unknown
RefundRow: TypeAlias = RefundPending | RefundDeclined | Unknown
RefundQueryRow: TypeAlias = RefundNotFound | Unknown
Row: TypeAlias = PayRow | QueryRow | StateRow | CancelRow | RefundRow | RefundQueryRow

UNDECIDED: Final = Unknown(reason="undecided")  # a listed word that proves nothing


def _customer(code: FailureCode, retry: Retry) -> Declined:
    """The customer's side: another account of ours would hear the same."""
    return Declined(code=code, retry=retry, failover_useful=False)


def _merchant(code: FailureCode, retry: Retry = Retry.OTHER_METHOD) -> Declined:
    """Our side or theirs: another account may well accept."""
    return Declined(code=code, retry=retry, failover_useful=True)


PAY_CODES: Final[Mapping[str, PayRow]] = MappingProxyType(
    {
        # not decided yet
        "USERPAYING": PayerActionNeeded(),
        "ACCEPT": Pending(),
        "SYSTEM_ERROR": UNDECIDED,
        "BANK_ERROR": UNDECIDED,
        "SERVICE_UNAVAILABLE": UNDECIDED,
        "TRADE_ERROR": UNDECIDED,  # "confirmed failed" in v2 only; v3 uses both words for anything
        "INVALID_REQUEST": UNDECIDED,
        "INVALID_TRANSACTIONID": UNDECIDED,  # we name none
        # an order with this number exists
        "ORDER_PAID": AlreadyExists(),
        "OUT_TRADE_NO_USED": AlreadyExists(),
        # the customer's side
        "NOT_ENOUGH": _customer(FailureCode.INSUFFICIENT_BALANCE, Retry.OTHER_METHOD),
        "AUTH_CODE_EXPIRED": _customer(FailureCode.AUTH_CODE_EXPIRED, Retry.RESCAN),
        "AUTH_CODE_INVALID": _customer(FailureCode.AUTH_CODE_INVALID, Retry.RESCAN),
        "AUTH_CODE_ERROR": _customer(FailureCode.AUTH_CODE_INVALID, Retry.RESCAN),
        "NOTSUPORTCARD": _customer(FailureCode.PAYMENT_REFUSED, Retry.OTHER_METHOD),
        "BUYER_MISMATCH": _customer(FailureCode.PAYMENT_REFUSED, Retry.OTHER_METHOD),
        "USER_ACCOUNT_ABNORMAL": _customer(
            FailureCode.PAYER_ACCOUNT_RESTRICTED, Retry.OTHER_METHOD
        ),
        "ACCOUNT_ERROR": _customer(FailureCode.PAYER_ACCOUNT_RESTRICTED, Retry.OTHER_METHOD),
        # closed before: only a new number can be paid
        "ORDER_CLOSED": _customer(FailureCode.NOT_CHARGED, Retry.RESCAN),
        "ORDERREVERSED": _customer(FailureCode.NOT_CHARGED, Retry.RESCAN),
        # the merchant's side and the configuration
        "RULE_LIMIT": _merchant(FailureCode.MERCHANT_LIMIT_EXCEEDED),
        "NO_AUTH": _merchant(FailureCode.MERCHANT_RESTRICTED),
        "MCH_NOT_EXISTS": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        "APPID_MCHID_NOT_MATCH": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        "APPID_NOT_EXIST": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        "OPENID_MISMATCH": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        "SIGN_ERROR": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        "LACK_PARAMS": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        "XML_FORMAT_ERROR": _merchant(FailureCode.CHANNEL_CONFIGURATION),
        # our request; it would be refused anywhere
        "PARAM_ERROR": Declined(
            code=FailureCode.REQUEST_REFUSED, retry=Retry.NONE, failover_useful=False
        ),
        # counts because nothing of ours resends: this is the answer to the only send
        "FREQUENCY_LIMITED": _merchant(FailureCode.CHANNEL_BUSY, Retry.SAME_METHOD),
    }
)

QUERY_CODES: Final[Mapping[str, QueryRow]] = MappingProxyType({"ORDER_NOT_EXIST": NotFound()})

REVERSE_CODES: Final[Mapping[str, CancelRow]] = MappingProxyType(
    {
        "SYSTEM_ERROR": CallAgain(),
        "USERPAYING": CallAgain(),
        "ORDER_NOT_EXIST": NothingThere(),
        "REVERSE_EXPIRE": UseRefund(),  # seven days
        "TRADE_ERROR": UNDECIDED,
        "INVALID_REQUEST": UNDECIDED,
    }
)

CLOSE_CODES: Final[Mapping[str, CancelRow]] = MappingProxyType(
    {
        "SYSTEM_ERROR": CallAgain(),
        "ORDER_NOT_EXIST": NothingThere(),
        "ORDER_PAID": UseRefund(),  # paid: no close can act, the next query decides
        # Closed before, as a repeat hears: the query says it with the order's number beside it.
        "ORDER_CLOSED": UNDECIDED,
    }
)

# "此状态代表退款申请失败" says the page of these words: this refund was not begun.
_NOT_REFUNDED = RefundDeclined(code="refund_refused", needs_action=False)
# A person mends the account, then the same number goes out again.
_ACCOUNT_TO_MEND = RefundDeclined(code="channel_configuration", needs_action=True)

REFUND_CODES: Final[Mapping[str, RefundRow]] = MappingProxyType(
    {
        # Not accepted: a query finds nothing, and the same number goes out again.
        "FREQUENCY_LIMITED": UNDECIDED,
        "NOT_ENOUGH": RefundDeclined(code="merchant_balance", needs_action=True),
        # The page tells the merchant to refund by hand. The number ends with that: sent again later
        # it might pay the same money back a second time.
        "USER_ACCOUNT_ABNORMAL": RefundDeclined(code="payer_account_unusable", needs_action=False),
        "INVALID_REQUEST": _NOT_REFUNDED,
        "RESOURCE_NOT_EXISTS": _NOT_REFUNDED,  # no such order, or it is not paid
        "ORDER_NOT_EXIST": _NOT_REFUNDED,
        "INVALID_TRANSACTIONID": _NOT_REFUNDED,
        # a repeat carries the same request, so what refuses its parameters had refused the first
        # one too
        "PARAM_ERROR": RefundDeclined(code="request_refused", needs_action=False),
        "NO_AUTH": _ACCOUNT_TO_MEND,
        "MCH_NOT_EXISTS": _ACCOUNT_TO_MEND,
        "APPID_MCHID_NOT_MATCH": _ACCOUNT_TO_MEND,
        "SIGN_ERROR": _ACCOUNT_TO_MEND,
    }
)

REFUND_QUERY_CODES: Final[Mapping[str, RefundQueryRow]] = MappingProxyType(
    {"RESOURCE_NOT_EXISTS": RefundNotFound()}
)

LISTED: Final[frozenset[str]] = frozenset().union(
    PAY_CODES, QUERY_CODES, REVERSE_CODES, CLOSE_CODES, REFUND_CODES, REFUND_QUERY_CODES
)

# SUCCESS stands in no table: it is compared first, see `translate`.
#
# REFUND means "was paid, and some or all of it went back"; the answer does not tell some from all.
# Read as Closed it would free the tender for a second charge while most of the first may still be
# with the merchant; read as Succeeded it would book money that may be gone. Our own refunds start
# from a booked yes, so an attempt we still ask about was refunded at WeChat Pay's own desk, or by
# us before a database was rolled back. So it is undecided: nothing is booked, nothing is freed, a
# reversal is repeated until its own answer is definite, and what cannot be reversed stays in doubt
# for a person.
TRADE_STATES: Final[Mapping[Flow, Mapping[str, StateRow]]] = MappingProxyType(
    {
        Flow.CODE: MappingProxyType(
            {
                "USERPAYING": PayerActionNeeded(),
                "ACCEPT": Pending(),
                "NOTPAY": Pending(),  # alone it is still payable
                "CLOSED": Closed(was_charged=False),
                "REVOKED": Closed(was_charged=None),  # a reversal also gives paid money back
                "PAYERROR": UNDECIDED,  # "no" only after a reversal, which the schedule brings
                "REFUND": UNDECIDED,
            }
        ),
        Flow.QR: MappingProxyType(
            {
                "USERPAYING": PayerActionNeeded(),
                "ACCEPT": Pending(),
                "NOTPAY": PayerActionNeeded(),  # not scanned yet, or not paid yet
                "CLOSED": Closed(was_charged=False),
                "REVOKED": Closed(was_charged=None),
                "PAYERROR": UNDECIDED,  # the customer may try the same code again
                "REFUND": UNDECIDED,
            }
        ),
    }
)

# SUCCESS is compared first here too.
REFUND_STATES: Final[Mapping[str, RefundRow]] = MappingProxyType(
    {
        "PROCESSING": RefundPending(),
        "CLOSED": RefundDeclined(code="refund_closed", needs_action=False),
        # Dead card: mended by hand at the channel.
        "ABNORMAL": RefundDeclined(code="payer_account_unusable", needs_action=True),
    }
)

# Words that differ from the tables' in more than underscores.
OTHER_SPELLINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ACCEPTED": "ACCEPT",
        "AUTH_CODE_EXPIRE": "AUTH_CODE_EXPIRED",
        "FREQUENCY_LIMIT": "FREQUENCY_LIMITED",
        "RATELIMIT_EXCEEDED": "FREQUENCY_LIMITED",
        "NOT_SUPPORT_CARD": "NOTSUPORTCARD",  # the page spells it so
        "MCH_NOT_EXIST": "MCH_NOT_EXISTS",
        "ORDER_NOT_EXISTS": "ORDER_NOT_EXIST",
        "REFUND_NOT_EXISTS": "RESOURCE_NOT_EXISTS",
        "REFUND_NOT_EXIST": "RESOURCE_NOT_EXISTS",
        "RESOURCE_NOT_EXIST": "RESOURCE_NOT_EXISTS",
    }
)
_BY_LETTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        spelling.replace("_", ""): word
        for spelling, word in (
            *((word, word) for word in (*LISTED, *REFUND_STATES)),
            *((word, word) for states in TRADE_STATES.values() for word in states),
            *OTHER_SPELLINGS.items(),
        )
    }
)


def word(said: str) -> str:
    """The spelling that the tables have for what the channel said; itself when they have none."""
    return _BY_LETTERS.get(said.replace("_", ""), said)
