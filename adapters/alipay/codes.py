"""Alipay's words and what they prove, as data.

A word that stands in no table here is `Unknown`, and counted.

Sources: opendocs.alipay.com, the common codes and the error tables of alipay.trade.pay, .query,
.cancel and .refund. `code` decides, unless it is 40004 ("business failed"): then `sub_code` does.
Every row is a ready-made outcome; `translate` adds the word as it was received.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from adapters.channel import UNLISTED_CODE
from gateway.domain.outcomes import (
    AlreadyExists,
    CallAgain,
    Declined,
    FailureCode,
    NotFound,
    NothingThere,
    PayerActionNeeded,
    RefundDeclined,
    RefundNotFound,
    Retry,
    Unknown,
    UseRefund,
)

DONE: Final = "10000"
BUSINESS_FAILED: Final = "40004"

UNDECIDED: Final = Unknown(reason="undecided")  # a listed word that proves nothing
UNLISTED: Final = Unknown(reason=UNLISTED_CODE)

PayRow: TypeAlias = PayerActionNeeded | Declined | AlreadyExists | Unknown
QueryRow: TypeAlias = NotFound | Unknown
CancelRow: TypeAlias = NothingThere | CallAgain | UseRefund | Unknown
RefundRow: TypeAlias = RefundDeclined | Unknown
RefundQueryRow: TypeAlias = RefundNotFound | Unknown


def word(sub_code: str) -> str:
    """`ACQ.SYSTEM_ERROR`, `aop.ACQ.SYSTEM_ERROR` and the misspelt `AQC.SYSTEM_ERROR` are one word:
    what follows the last dot.

    Not "contains": a new, longer word must not be taken for the shorter one inside it.
    """
    return sub_code.strip().rpartition(".")[2].upper()


def _customer(code: FailureCode, retry: Retry) -> Declined:
    """The customer's side: another account of ours would hear the same."""
    return Declined(code=code, retry=retry, failover_useful=False)


def _merchant(code: FailureCode) -> Declined:
    """Our side or Alipay's: another account may well accept."""
    return Declined(code=code, retry=Retry.OTHER_METHOD, failover_useful=True)


_BALANCE = _customer(FailureCode.INSUFFICIENT_BALANCE, Retry.OTHER_METHOD)
_CODE_INVALID = _customer(FailureCode.AUTH_CODE_INVALID, Retry.RESCAN)
_PAYER_LIMIT = _customer(FailureCode.PAYER_LIMIT_EXCEEDED, Retry.OTHER_METHOD)
_RECEIPT_LIMIT = _customer(FailureCode.MERCHANT_LIMIT_EXCEEDED, Retry.OTHER_METHOD)
_PAYER_ACCOUNT = _customer(FailureCode.PAYER_ACCOUNT_RESTRICTED, Retry.OTHER_METHOD)
_REFUSED = _customer(FailureCode.PAYMENT_REFUSED, Retry.RESCAN)
_OUR_REQUEST = Declined(code=FailureCode.REQUEST_REFUSED, retry=Retry.NONE, failover_useful=False)
_RESTRICTED = _merchant(FailureCode.MERCHANT_RESTRICTED)
_CONFIGURATION = _merchant(FailureCode.CHANNEL_CONFIGURATION)

# --- alipay.trade.pay and alipay.trade.precreate

PAY_CODES: Final[Mapping[str, PayRow]] = MappingProxyType(
    {
        "10003": PayerActionNeeded(),  # the buyer is typing the password
        "20000": UNDECIDED,  # isp.unknow-error, aop.unknow-error
        "20001": _CONFIGURATION,
        "40001": _CONFIGURATION,
        "40002": _CONFIGURATION,
        "40003": _CONFIGURATION,
        # isv.app-call-limited, isv.method-call-limited: nothing was begun.
        "40005": _merchant(FailureCode.CHANNEL_BUSY),
        "40006": _CONFIGURATION,
    }
)

PAY_WORDS: Final[Mapping[str, PayRow]] = MappingProxyType(
    {
        "SYSTEM_ERROR": UNDECIDED,
        # this number is known already
        "TRADE_HAS_SUCCESS": AlreadyExists(),
        "CONTEXT_INCONSISTENT": AlreadyExists(),
        "TRADE_BUYER_NOT_MATCH": AlreadyExists(),
        "TRADE_STATUS_ERROR": AlreadyExists(),
        # Closed before: only a new number can be paid.
        "TRADE_HAS_CLOSE": _customer(FailureCode.NOT_CHARGED, Retry.RESCAN),
        # the customer's code
        "PAYMENT_AUTH_CODE_INVALID": _CODE_INVALID,
        "AUTH_TOKEN_IS_NOT_EXIST": _CODE_INVALID,
        "SOUNDWAVE_PARSER_FAIL": _CODE_INVALID,
        # the customer's means
        "BUYER_BALANCE_NOT_ENOUGH": _BALANCE,
        "BUYER_BANKCARD_BALANCE_NOT_ENOUGH": _BALANCE,
        "ERROR_BALANCE_PAYMENT_DISABLE": _PAYER_ACCOUNT,
        "NO_PAYMENT_INSTRUMENTS_AVAILABLE": _PAYER_ACCOUNT,
        "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": _PAYER_LIMIT,
        "BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": _PAYER_LIMIT,
        "BEYOND_PAY_RESTRICTION": _RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_RESTRICTION": _RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_SINGLE_RESTRICTION": _RECEIPT_LIMIT,
        # the customer's account, or no reason given
        "PULL_MOBILE_CASHIER_FAIL": _REFUSED,
        "PAYMENT_FAIL": _REFUSED,
        "PAYMENT_REQUEST_HAS_RISK": _customer(FailureCode.RISK_REFUSED, Retry.OTHER_METHOD),
        "MOBILE_PAYMENT_SWITCH_OFF": _PAYER_ACCOUNT,
        "USER_FACE_PAYMENT_SWITCH_OFF": _PAYER_ACCOUNT,
        "ERROR_BUYER_CERTIFY_LEVEL_LIMIT": _PAYER_ACCOUNT,
        "BUYER_SELLER_EQUAL": _PAYER_ACCOUNT,
        "BUYER_ENABLE_STATUS_FORBID": _PAYER_ACCOUNT,
        "NOT_CERTIFIED_USER": _PAYER_ACCOUNT,
        # the merchant's side
        "SELLER_BEEN_BLOCKED": _RESTRICTED,
        "PARTNER_ERROR": _CONFIGURATION,
        "ACCESS_FORBIDDEN": _CONFIGURATION,
        "INVALID_STORE_ID": _CONFIGURATION,
        "PRODUCT_AMOUNT_LIMIT_ERROR": _merchant(FailureCode.MERCHANT_LIMIT_EXCEEDED),
        # the same request would be refused anywhere
        "INVALID_PARAMETER": _OUR_REQUEST,
        "EXIST_FORBIDDEN_WORD": _OUR_REQUEST,
        "TOTAL_FEE_EXCEED": _OUR_REQUEST,
    }
)
# A whole family by its prefix.
PAY_FAMILIES: Final[Mapping[str, PayRow]] = MappingProxyType({"MERCHANT_": _RESTRICTED})

# --- the calls that follow; the common codes (limits, permissions, faults) prove nothing about a
# trade that may exist

_COMMON: Final = MappingProxyType(
    dict.fromkeys(("20000", "20001", "40001", "40002", "40003", "40005", "40006"), UNDECIDED)
)

QUERY_CODES: Final[Mapping[str, QueryRow]] = _COMMON
QUERY_WORDS: Final[Mapping[str, QueryRow]] = MappingProxyType(
    {
        "TRADE_NOT_EXIST": NotFound(),
        "SYSTEM_ERROR": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
    }
)

CANCEL_CODES: Final[Mapping[str, CancelRow]] = MappingProxyType(
    {**_COMMON, "20000": CallAgain(), "40005": CallAgain()}
)
CANCEL_WORDS: Final[Mapping[str, CancelRow]] = MappingProxyType(
    {
        "SYSTEM_ERROR": CallAgain(),
        "TRADE_NOT_EXIST": NothingThere(),
        "TRADE_CANCEL_TIME_OUT": UseRefund(),  # older than 24 hours
        "TRADE_HAS_FINISHED": UseRefund(),
        "CANCEL_NOT_ALLOWED": UseRefund(),
        # still paid; a person must look
        "SELLER_BALANCE_NOT_ENOUGH": UNDECIDED,
        "REASON_TRADE_BEEN_FREEZEN": UNDECIDED,
        "REASON_TRADE_REFUND_FEE_ERR": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
    }
)

_NOT_REFUNDED = RefundDeclined(code="refund_refused", needs_action=False)

REFUND_CODES: Final[Mapping[str, RefundRow]] = _COMMON
REFUND_WORDS: Final[Mapping[str, RefundRow]] = MappingProxyType(
    {
        "SYSTEM_ERROR": UNDECIDED,
        # The number was used with another amount: what it moved is for a query to say.
        "DISCORDANT_REPEAT_REQUEST": UNDECIDED,
        "REFUND_CHARGE_ERROR": UNDECIDED,  # later, with the same number
        "SELLER_BALANCE_NOT_ENOUGH": RefundDeclined(code="merchant_balance", needs_action=True),
        "REFUND_AMT_NOT_EQUAL_TOTAL": _NOT_REFUNDED,
        "REASON_TRADE_REFUND_FEE_ERR": _NOT_REFUNDED,
        "TRADE_HAS_FINISHED": _NOT_REFUNDED,
        "TRADE_NOT_ALLOW_REFUND": _NOT_REFUNDED,
        "TRADE_STATUS_ERROR": _NOT_REFUNDED,
    }
)

REFUND_QUERY_CODES: Final[Mapping[str, RefundQueryRow]] = _COMMON
REFUND_QUERY_WORDS: Final[Mapping[str, RefundQueryRow]] = MappingProxyType(
    {
        "TRADE_NOT_EXIST": RefundNotFound(),
        "SYSTEM_ERROR": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
    }
)
