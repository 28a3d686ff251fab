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
# A documented word of which no document says whether money moved, or can still move.
LEFT_OPEN: Final = Unknown(reason="left_open")
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
_RECEIPT_LIMIT = _merchant(FailureCode.MERCHANT_LIMIT_EXCEEDED)
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
        # Our own `time_expire` refused a request that came late.
        "NOW_TIME_AFTER_EXPIRE_TIME_ERROR": _customer(FailureCode.NOT_CHARGED, Retry.RESCAN),
        # the customer's code
        "PAYMENT_AUTH_CODE_INVALID": _CODE_INVALID,
        "AUTH_TOKEN_IS_NOT_EXIST": _CODE_INVALID,
        "SOUNDWAVE_PARSER_FAIL": _CODE_INVALID,
        "CERT_EXPIRED": _customer(FailureCode.AUTH_CODE_EXPIRED, Retry.RESCAN),
        # the customer's means
        "BUYER_BALANCE_NOT_ENOUGH": _BALANCE,
        "BUYER_BANKCARD_BALANCE_NOT_ENOUGH": _BALANCE,
        "ERROR_BALANCE_PAYMENT_DISABLE": _PAYER_ACCOUNT,
        "NO_PAYMENT_INSTRUMENTS_AVAILABLE": _PAYER_ACCOUNT,
        # this version of the wallet
        "NOT_SUPPORT_PAYMENT_INST": _customer(FailureCode.PAYMENT_REFUSED, Retry.OTHER_METHOD),
        "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": _PAYER_LIMIT,
        "BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": _PAYER_LIMIT,
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
        "BUYER_NOT_EXIST": _PAYER_ACCOUNT,
        "BUYER_NOT_MAINLAND_CERT": _PAYER_ACCOUNT,
        "BUYER_UNSUPPORT_ADVANCE": _PAYER_ACCOUNT,
        "CUSTOMER_VALIDATE_ERROR": _PAYER_ACCOUNT,
        "PAYER_UNMATCHED": _PAYER_ACCOUNT,
        "USER_LOGONID_DUP": _PAYER_ACCOUNT,
        # the merchant's limits: another account has its own
        "BEYOND_PAY_RESTRICTION": _RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_RESTRICTION": _RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_DAY_RESTRICTION": _RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_SINGLE_RESTRICTION": _RECEIPT_LIMIT,
        "MERCHANT_PERM_RECEIPT_DAY_LIMIT": _RECEIPT_LIMIT,
        "MERCHANT_PERM_RECEIPT_SINGLE_LIMIT": _RECEIPT_LIMIT,
        "PRODUCT_AMOUNT_LIMIT_ERROR": _RECEIPT_LIMIT,
        "RESTRICTED_MERCHANT_INDUSTRY": _RECEIPT_LIMIT,
        # the merchant's standing
        "SELLER_BEEN_BLOCKED": _RESTRICTED,
        "ERROR_SELLER_CERTIFY_LEVEL_LIMIT": _RESTRICTED,
        "SECONDARY_MERCHANT_STATUS_ERROR": _RESTRICTED,
        "SECONDARY_MERCHANT_ISV_PUNISH_INDIRECT": _RESTRICTED,
        # how the account is set up
        "PARTNER_ERROR": _CONFIGURATION,
        "ACCESS_FORBIDDEN": _CONFIGURATION,
        "UN_SUPPORT_TRADE_SCENE": _CONFIGURATION,
        "CURRENCY_NOT_SUPPORT": _CONFIGURATION,
        "INVALID_STORE_ID": _CONFIGURATION,
        "STORE_INFO_INVALID": _CONFIGURATION,
        "SELLER_NOT_EXIST": _CONFIGURATION,
        "INVALID_RECEIVE_ACCOUNT": _CONFIGURATION,
        "SECONDARY_MERCHANT_ID_BLANK": _CONFIGURATION,
        "SECONDARY_MERCHANT_ID_INVALID": _CONFIGURATION,
        "SECONDARY_MERCHANT_NOT_MATCH": _CONFIGURATION,
        "SECONDARY_MERCHANT_ALIPAY_ACCOUNT_INVALID": _CONFIGURATION,
        "DEFAULT_SETTLE_RULE_NOT_EXIST": _CONFIGURATION,
        "SMILE_PAY_MERCHANT_NOT_MATCH": _CONFIGURATION,
        "RISK_MERCHANT_IP_NOT_EXIST": _CONFIGURATION,  # asked of merchants that Alipay watches
        # the same request would be refused anywhere
        "INVALID_PARAMETER": _OUR_REQUEST,
        "ILLEGAL_ARGUMENT": _OUR_REQUEST,
        "EXIST_FORBIDDEN_WORD": _OUR_REQUEST,
        "TOTAL_FEE_EXCEED": _OUR_REQUEST,
        "REQUEST_AMOUNT_EXCEED": _OUR_REQUEST,
        "AMOUNT_OR_CURRENCY_ERROR": _OUR_REQUEST,
        "CARD_TYPE_ERROR": _OUR_REQUEST,
        "SUB_GOODS_SIZE_MAX_COUNT": _OUR_REQUEST,
        # A settlement "failed": before the payment or after it, the page does not say.
        "TRADE_SETTLE_ERROR": LEFT_OPEN,
        # The code was refused, perhaps because this number has one already, which can be paid.
        "APPLY_PC_MERCHANT_CODE_ERROR": LEFT_OPEN,
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
        "ENTERPRISE_PAY_BIZ_ERROR": UNDECIDED,
        "ACCESS_FORBIDDEN": UNDECIDED,
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
        "ACCESS_FORBIDDEN": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
        "REASON_TRADE_STATUS_INVALID": LEFT_OPEN,  # which state it is in, only a query says
    }
)

# What these words refuse was not begun.
_NOT_REFUNDED = RefundDeclined(code="refund_refused", needs_action=False)
# No money can reach the payer this way: the page tells the merchant to refund by hand. The number
# ends with that: sent again later it might pay the same money back a second time.
_PAYER_UNREACHABLE = RefundDeclined(code="payer_account_unusable", needs_action=False)
# A person mends the account or asks Alipay, then the same number goes out again.
_ACCOUNT_TO_MEND = RefundDeclined(code="channel_configuration", needs_action=True)

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
        "REFUND_FEE_ERROR": _NOT_REFUNDED,
        "NOT_ALLOW_PARTIAL_REFUND": _NOT_REFUNDED,
        "ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND": _NOT_REFUNDED,
        "TRADE_NOT_EXIST": _NOT_REFUNDED,
        "TRADE_HAS_FINISHED": _NOT_REFUNDED,
        "TRADE_HAS_CLOSE": _NOT_REFUNDED,
        "TRADE_NOT_ALLOW_REFUND": _NOT_REFUNDED,
        "TRADE_STATUS_ERROR": _NOT_REFUNDED,
        "REASON_TRADE_STATUS_INVALID": _NOT_REFUNDED,
        "ALLOC_AMOUNT_VALIDATE_ERROR": _NOT_REFUNDED,
        "CURRENCY_NOT_SUPPORT": _NOT_REFUNDED,
        "USER_NOT_MATCH_ERR": _NOT_REFUNDED,
        "INVALID_PARAMETER": RefundDeclined(code="request_refused", needs_action=False),
        # the payer's account
        "BUYER_NOT_EXIST": _PAYER_UNREACHABLE,
        "BUYER_ERROR": _PAYER_UNREACHABLE,
        "BUYER_ENABLE_STATUS_FORBID": _PAYER_UNREACHABLE,
        "CUSTOMER_VALIDATE_ERROR": _PAYER_UNREACHABLE,
        # the merchant's account
        "ACCESS_FORBIDDEN": _ACCOUNT_TO_MEND,
        "REFUND_ACCOUNT_NOT_EXIST": _ACCOUNT_TO_MEND,
        "REFUND_ROYALTY_PAYEE_ACCOUNT_NOT_EXIST": _ACCOUNT_TO_MEND,
        "REFUNDALLOC_UNAUTH_LIMIT": _ACCOUNT_TO_MEND,
        "OVERDRAFT_AGREEMENT_NOT_MATCH": _ACCOUNT_TO_MEND,
        "OVERDRAFT_ASSIGN_ACCOUNT_INVALID": _ACCOUNT_TO_MEND,
        # Alipay holds the trade back, and tells a person why.
        "REASON_TRADE_BEEN_FREEZEN": RefundDeclined(code="held_by_channel", needs_action=True),
        # Something failed, before the money moved or after it: the page does not say.
        "ENTERPRISE_PAY_BIZ_ERROR": LEFT_OPEN,
        "TRADE_SETTLE_ERROR": LEFT_OPEN,
        "REASON_ILLEGAL_STATUS": LEFT_OPEN,  # documented for closing a trade only
    }
)

REFUND_QUERY_CODES: Final[Mapping[str, RefundQueryRow]] = _COMMON
REFUND_QUERY_WORDS: Final[Mapping[str, RefundQueryRow]] = MappingProxyType(
    {
        "TRADE_NOT_EXIST": RefundNotFound(),
        "SYSTEM_ERROR": UNDECIDED,
        "ENTERPRISE_PAY_BIZ_ERROR": UNDECIDED,
        "ACCESS_FORBIDDEN": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
    }
)
