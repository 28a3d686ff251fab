"""What each answer of Alipay's proves: one line an answer, the expectation last."""

from typing import Any

import pytest

from adapters.alipay import codes
from adapters.alipay.test_alipay import CALLS, TRADE, Alipay, channel, fixture, told


def business_failed(sub_code: str, **more: Any) -> dict[str, Any]:
    return {"code": "40004", "msg": "Business Failed", "sub_code": sub_code} | more


SHAPES: dict[str, list[tuple[Any, str]]] = {
    "pay": [
        ("pay_succeeded", "Succeeded"),
        ("pay_payer_typing", "PayerActionNeeded"),
        ("pay_code_invalid", "Declined auth_code_invalid rescan here"),
        ("pay_system_error", "Unknown undecided"),
        (fixture("pay_succeeded", total_amount="128.51"), "Mismatch total_amount"),
        (fixture("pay_succeeded", total_amount="12850"), "Mismatch total_amount"),
        (fixture("pay_succeeded", total_amount="1.285e2"), "Mismatch total_amount"),
        (fixture("pay_succeeded", total_amount=128.5), "Succeeded"),
        (fixture("pay_succeeded", total_amount=128.51), "Mismatch total_amount"),
        (fixture("pay_succeeded", total_amount=0), "Mismatch total_amount"),
        (fixture("pay_succeeded", out_trade_no="TG0"), "Mismatch out_trade_no"),
        (fixture("pay_succeeded", seller_id="2088000000000002"), "Mismatch seller_id"),
        (fixture("pay_succeeded", total_amount=None), "Unknown incomplete"),
        (fixture("pay_succeeded", out_trade_no=None), "Unknown incomplete"),
        (fixture("pay_succeeded", trade_no=None), "Unknown incomplete"),
        (fixture("pay_succeeded") | {"seller_id": None, "gmt_payment": None}, "Succeeded"),
        (fixture("pay_succeeded") | {"trade_no": None}, "Unknown incomplete"),
        (fixture("pay_payer_typing", out_trade_no="TG0"), "Mismatch out_trade_no"),
        ({"code": "99999"}, "Unknown unlisted_code"),
        ({"code": 10000}, "Unknown unreadable"),
        ({}, "Unknown unreadable"),
        (business_failed("aop.ACQ.SYSTEM_ERROR"), "Unknown undecided"),
        (business_failed("AQC.SYSTEM_ERROR"), "Unknown undecided"),
        (
            business_failed("AQC.BUYER_BALANCE_NOT_ENOUGH"),
            "Declined insufficient_balance other_method here",
        ),
        (business_failed("ACQ.NOT_BUYER_BALANCE_NOT_ENOUGH"), "Unknown unlisted_code"),
        (business_failed("ACQ.SOMETHING_NEW"), "Unknown unlisted_code"),
        (business_failed(""), "Unknown unlisted_code"),
    ],
    "precreate": [
        ("precreate_shown", "PayerActionNeeded"),
        (fixture("precreate_shown", qr_code=None), "Unknown incomplete"),
        (fixture("precreate_shown", out_trade_no="TG0"), "Mismatch out_trade_no"),
        ({"code": "10003"}, "Unknown unlisted_code"),
        (business_failed("ACQ.TRADE_HAS_SUCCESS"), "AlreadyExists"),
        (business_failed("ACQ.APPLY_PC_MERCHANT_CODE_ERROR"), "Unknown left_open"),
    ],
    "query": [
        ("query_paid", "Succeeded"),
        (fixture("query_paid", trade_status="TRADE_FINISHED"), "Succeeded"),
        (fixture("query_paid", total_amount="1.00"), "Mismatch total_amount"),
        (fixture("query_paid", out_trade_no="TG0"), "Mismatch out_trade_no"),
        (fixture("query_paid", trade_status="TRADE_ODD"), "Unknown unlisted_code"),
        (fixture("query_paid", trade_status=None), "Unknown status_absent"),
        ("query_waiting", "PayerActionNeeded"),
        ("query_closed_unpaid", "Closed charged=None"),
        ("query_closed_after_refund", "Closed charged=True"),
        (fixture("query_closed_unpaid", out_trade_no="TG0"), "Mismatch out_trade_no"),
        ("query_not_found", "NotFound"),
        (business_failed("ACQ.PAYMENT_FAIL"), "Unknown unlisted_code"),
    ],
    "cancel": [
        ("cancel_closed_unpaid", "Reversed charged=False"),
        ("cancel_gave_money_back", "Reversed charged=True"),
        ("cancel_nothing_there", "NothingThere"),
        ("cancel_try_again", "CallAgain"),
        (fixture("cancel_nothing_there") | {"action": None}, "NothingThere"),
        (fixture("cancel_closed_unpaid", out_trade_no="TG0"), "Unknown foreign_order"),
        (fixture("cancel_closed_unpaid", out_trade_no=None), "Unknown incomplete"),
        (fixture("cancel_closed_unpaid", action="odd"), "Unknown unlisted_code"),
        (business_failed("ACQ.SOMETHING_NEW"), "Unknown unlisted_code"),
        (business_failed("ACQ.SOMETHING_NEW", retry_flag="N"), "Unknown unlisted_code"),
        (business_failed("ACQ.SOMETHING_NEW", retry_flag="Y"), "CallAgain"),
        (business_failed("ACQ.SELLER_BALANCE_NOT_ENOUGH", retry_flag="Y"), "CallAgain"),
        (business_failed("ACQ.TRADE_CANCEL_TIME_OUT", retry_flag="Y"), "UseRefund"),
    ],
    "refund": [
        ("refund_done", "RefundSucceeded"),
        (fixture("refund_done", refund_fee="100.00"), "RefundSucceeded"),
        (fixture("refund_done", refund_fee=28.5), "RefundSucceeded"),
        (fixture("refund_done", refund_fee=28), "Mismatch refund_fee"),
        (fixture("refund_done", refund_fee="28.49"), "Mismatch refund_fee"),
        (fixture("refund_done", refund_fee=None), "Unknown incomplete"),
        (fixture("refund_done", out_trade_no="TG0"), "Mismatch out_trade_no"),
        ("refund_repeated", "RefundPending"),
    ],
    "refund_query": [
        ("refund_query_done", "RefundSucceeded"),
        (fixture("refund_query_done", refund_amount=28.5), "RefundSucceeded"),
        (fixture("refund_query_done", refund_amount="28.51"), "Mismatch refund_amount"),
        (fixture("refund_query_done", out_request_no="RF2"), "Mismatch out_request_no"),
        (fixture("refund_query_done", refund_status="REFUND_PROCESSING"), "RefundPending"),
        (fixture("refund_query_done", refund_status="REFUND_ODD"), "Unknown unlisted_code"),
        (fixture("refund_query_done", refund_status=None), "Unknown status_absent"),
        ("refund_query_unknown_number", "RefundNotFound"),
    ],
}

# Every code and word of the tables: what it is worth as the answer to the call.
CONFIGURATION = "Declined channel_configuration other_method elsewhere"
RESTRICTED = "Declined merchant_restricted other_method elsewhere"
RECEIPT_LIMIT = "Declined merchant_limit_exceeded other_method elsewhere"
PAYER_ACCOUNT = "Declined payer_account_restricted other_method here"
PAYER_LIMIT = "Declined payer_limit_exceeded other_method here"
BALANCE = "Declined insufficient_balance other_method here"
CODE_INVALID = "Declined auth_code_invalid rescan here"
REFUSED = "Declined payment_refused rescan here"
BURNT = "Declined not_charged rescan here"
OUR_REQUEST = "Declined request_refused none here"
UNDECIDED, LEFT_OPEN = "Unknown undecided", "Unknown left_open"
NOT_REFUNDED = "RefundDeclined refund_refused"
PAYER_UNREACHABLE = "RefundDeclined payer_account_unusable"
ACCOUNT_TO_MEND = "RefundDeclined channel_configuration mendable"
_UNDECIDED_CODES = dict.fromkeys(
    ("20000", "20001", "40001", "40002", "40003", "40005", "40006"), UNDECIDED
)

WORDS: dict[str, dict[str, str]] = {
    "pay": {
        "10003": "PayerActionNeeded",
        "20000": UNDECIDED,
        "20001": CONFIGURATION,
        "40001": CONFIGURATION,
        "40002": CONFIGURATION,
        "40003": CONFIGURATION,
        "40005": "Declined channel_busy other_method elsewhere",
        "40006": CONFIGURATION,
        "SYSTEM_ERROR": UNDECIDED,
        "TRADE_HAS_SUCCESS": "AlreadyExists",
        "CONTEXT_INCONSISTENT": "AlreadyExists",
        "TRADE_BUYER_NOT_MATCH": "AlreadyExists",
        "TRADE_STATUS_ERROR": "AlreadyExists",
        "TRADE_HAS_CLOSE": BURNT,
        "NOW_TIME_AFTER_EXPIRE_TIME_ERROR": BURNT,
        "PAYMENT_AUTH_CODE_INVALID": CODE_INVALID,
        "AUTH_TOKEN_IS_NOT_EXIST": CODE_INVALID,
        "SOUNDWAVE_PARSER_FAIL": CODE_INVALID,
        "CERT_EXPIRED": "Declined auth_code_expired rescan here",
        "BUYER_BALANCE_NOT_ENOUGH": BALANCE,
        "BUYER_BANKCARD_BALANCE_NOT_ENOUGH": BALANCE,
        "ERROR_BALANCE_PAYMENT_DISABLE": PAYER_ACCOUNT,
        "NO_PAYMENT_INSTRUMENTS_AVAILABLE": PAYER_ACCOUNT,
        "NOT_SUPPORT_PAYMENT_INST": "Declined payment_refused other_method here",
        "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": PAYER_LIMIT,
        "BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": PAYER_LIMIT,
        "PULL_MOBILE_CASHIER_FAIL": REFUSED,
        "PAYMENT_FAIL": REFUSED,
        "PAYMENT_REQUEST_HAS_RISK": "Declined risk_refused other_method here",
        "MOBILE_PAYMENT_SWITCH_OFF": PAYER_ACCOUNT,
        "USER_FACE_PAYMENT_SWITCH_OFF": PAYER_ACCOUNT,
        "ERROR_BUYER_CERTIFY_LEVEL_LIMIT": PAYER_ACCOUNT,
        "BUYER_SELLER_EQUAL": PAYER_ACCOUNT,
        "BUYER_ENABLE_STATUS_FORBID": PAYER_ACCOUNT,
        "NOT_CERTIFIED_USER": PAYER_ACCOUNT,
        "BUYER_NOT_EXIST": PAYER_ACCOUNT,
        "BUYER_NOT_MAINLAND_CERT": PAYER_ACCOUNT,
        "BUYER_UNSUPPORT_ADVANCE": PAYER_ACCOUNT,
        "CUSTOMER_VALIDATE_ERROR": PAYER_ACCOUNT,
        "PAYER_UNMATCHED": PAYER_ACCOUNT,
        "USER_LOGONID_DUP": PAYER_ACCOUNT,
        "BEYOND_PAY_RESTRICTION": RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_RESTRICTION": RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_DAY_RESTRICTION": RECEIPT_LIMIT,
        "BEYOND_PER_RECEIPT_SINGLE_RESTRICTION": RECEIPT_LIMIT,
        "MERCHANT_PERM_RECEIPT_DAY_LIMIT": RECEIPT_LIMIT,
        "MERCHANT_PERM_RECEIPT_SINGLE_LIMIT": RECEIPT_LIMIT,
        "PRODUCT_AMOUNT_LIMIT_ERROR": RECEIPT_LIMIT,
        "RESTRICTED_MERCHANT_INDUSTRY": RECEIPT_LIMIT,
        "SELLER_BEEN_BLOCKED": RESTRICTED,
        "ERROR_SELLER_CERTIFY_LEVEL_LIMIT": RESTRICTED,
        "SECONDARY_MERCHANT_STATUS_ERROR": RESTRICTED,
        "SECONDARY_MERCHANT_ISV_PUNISH_INDIRECT": RESTRICTED,
        "MERCHANT_STATUS_NOT_NORMAL": RESTRICTED,  # by its family, as the next one
        "MERCHANT_AGREEMENT_INVALID": RESTRICTED,
        "PARTNER_ERROR": CONFIGURATION,
        "ACCESS_FORBIDDEN": CONFIGURATION,
        "UN_SUPPORT_TRADE_SCENE": CONFIGURATION,
        "CURRENCY_NOT_SUPPORT": CONFIGURATION,
        "INVALID_STORE_ID": CONFIGURATION,
        "STORE_INFO_INVALID": CONFIGURATION,
        "SELLER_NOT_EXIST": CONFIGURATION,
        "INVALID_RECEIVE_ACCOUNT": CONFIGURATION,
        "SECONDARY_MERCHANT_ID_BLANK": CONFIGURATION,
        "SECONDARY_MERCHANT_ID_INVALID": CONFIGURATION,
        "SECONDARY_MERCHANT_NOT_MATCH": CONFIGURATION,
        "SECONDARY_MERCHANT_ALIPAY_ACCOUNT_INVALID": CONFIGURATION,
        "DEFAULT_SETTLE_RULE_NOT_EXIST": CONFIGURATION,
        "SMILE_PAY_MERCHANT_NOT_MATCH": CONFIGURATION,
        "RISK_MERCHANT_IP_NOT_EXIST": CONFIGURATION,
        "INVALID_PARAMETER": OUR_REQUEST,
        "ILLEGAL_ARGUMENT": OUR_REQUEST,
        "EXIST_FORBIDDEN_WORD": OUR_REQUEST,
        "TOTAL_FEE_EXCEED": OUR_REQUEST,
        "REQUEST_AMOUNT_EXCEED": OUR_REQUEST,
        "AMOUNT_OR_CURRENCY_ERROR": OUR_REQUEST,
        "CARD_TYPE_ERROR": OUR_REQUEST,
        "SUB_GOODS_SIZE_MAX_COUNT": OUR_REQUEST,
        "TRADE_SETTLE_ERROR": LEFT_OPEN,
        "APPLY_PC_MERCHANT_CODE_ERROR": LEFT_OPEN,
    },
    "query": _UNDECIDED_CODES
    | {
        "TRADE_NOT_EXIST": "NotFound",
        "SYSTEM_ERROR": UNDECIDED,
        "ENTERPRISE_PAY_BIZ_ERROR": UNDECIDED,
        "ACCESS_FORBIDDEN": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
    },
    "cancel": _UNDECIDED_CODES
    | {
        "20000": "CallAgain",
        "40005": "CallAgain",
        "SYSTEM_ERROR": "CallAgain",
        "TRADE_NOT_EXIST": "NothingThere",
        "TRADE_CANCEL_TIME_OUT": "UseRefund",
        "TRADE_HAS_FINISHED": "UseRefund",
        "CANCEL_NOT_ALLOWED": "UseRefund",
        "SELLER_BALANCE_NOT_ENOUGH": UNDECIDED,
        "REASON_TRADE_BEEN_FREEZEN": UNDECIDED,
        "REASON_TRADE_REFUND_FEE_ERR": UNDECIDED,
        "ACCESS_FORBIDDEN": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
        "REASON_TRADE_STATUS_INVALID": LEFT_OPEN,
    },
    "refund": _UNDECIDED_CODES
    | {
        "SYSTEM_ERROR": UNDECIDED,
        "DISCORDANT_REPEAT_REQUEST": UNDECIDED,
        "REFUND_CHARGE_ERROR": UNDECIDED,
        "SELLER_BALANCE_NOT_ENOUGH": "RefundDeclined merchant_balance mendable",
        "REFUND_AMT_NOT_EQUAL_TOTAL": NOT_REFUNDED,
        "REASON_TRADE_REFUND_FEE_ERR": NOT_REFUNDED,
        "REFUND_FEE_ERROR": NOT_REFUNDED,
        "NOT_ALLOW_PARTIAL_REFUND": NOT_REFUNDED,
        "ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND": NOT_REFUNDED,
        "TRADE_NOT_EXIST": NOT_REFUNDED,
        "TRADE_HAS_FINISHED": NOT_REFUNDED,
        "TRADE_HAS_CLOSE": NOT_REFUNDED,
        "TRADE_NOT_ALLOW_REFUND": NOT_REFUNDED,
        "TRADE_STATUS_ERROR": NOT_REFUNDED,
        "REASON_TRADE_STATUS_INVALID": NOT_REFUNDED,
        "ALLOC_AMOUNT_VALIDATE_ERROR": NOT_REFUNDED,
        "CURRENCY_NOT_SUPPORT": NOT_REFUNDED,
        "USER_NOT_MATCH_ERR": NOT_REFUNDED,
        "INVALID_PARAMETER": "RefundDeclined request_refused",
        "BUYER_NOT_EXIST": PAYER_UNREACHABLE,
        "BUYER_ERROR": PAYER_UNREACHABLE,
        "BUYER_ENABLE_STATUS_FORBID": PAYER_UNREACHABLE,
        "CUSTOMER_VALIDATE_ERROR": PAYER_UNREACHABLE,
        "ACCESS_FORBIDDEN": ACCOUNT_TO_MEND,
        "REFUND_ACCOUNT_NOT_EXIST": ACCOUNT_TO_MEND,
        "REFUND_ROYALTY_PAYEE_ACCOUNT_NOT_EXIST": ACCOUNT_TO_MEND,
        "REFUNDALLOC_UNAUTH_LIMIT": ACCOUNT_TO_MEND,
        "OVERDRAFT_AGREEMENT_NOT_MATCH": ACCOUNT_TO_MEND,
        "OVERDRAFT_ASSIGN_ACCOUNT_INVALID": ACCOUNT_TO_MEND,
        "REASON_TRADE_BEEN_FREEZEN": "RefundDeclined held_by_channel mendable",
        "ENTERPRISE_PAY_BIZ_ERROR": LEFT_OPEN,
        "TRADE_SETTLE_ERROR": LEFT_OPEN,
        "REASON_ILLEGAL_STATUS": LEFT_OPEN,
    },
    "refund_query": _UNDECIDED_CODES
    | {
        "TRADE_NOT_EXIST": "RefundNotFound",
        "SYSTEM_ERROR": UNDECIDED,
        "ENTERPRISE_PAY_BIZ_ERROR": UNDECIDED,
        "ACCESS_FORBIDDEN": UNDECIDED,
        "INVALID_PARAMETER": UNDECIDED,
    },
}
TABLES: dict[str, tuple[Any, Any, Any]] = {
    "pay": (codes.PAY_CODES, codes.PAY_WORDS, codes.PAY_FAMILIES),
    "query": (codes.QUERY_CODES, codes.QUERY_WORDS, {}),
    "cancel": (codes.CANCEL_CODES, codes.CANCEL_WORDS, {}),
    "refund": (codes.REFUND_CODES, codes.REFUND_WORDS, {}),
    "refund_query": (codes.REFUND_QUERY_CODES, codes.REFUND_QUERY_WORDS, {}),
}


def saying(word: str) -> dict[str, Any]:
    """The answer with this code or word, as complete as the refusal of our own trade is."""
    if word.isdigit():
        return fixture("pay_payer_typing") | {"code": word, "sub_code": "isv.any"}
    return business_failed(f"ACQ.{word}", out_trade_no=TRADE.out_trade_no)


ROWS = [(call, says, outcome) for call, rows in SHAPES.items() for says, outcome in rows] + [
    (call, saying(word), outcome)
    for call, words in WORDS.items()
    for word, outcome in words.items()
]


@pytest.mark.parametrize(("call", "says", "outcome"), ROWS)
async def test_what_an_answer_proves(call: str, says: Any, outcome: str) -> None:
    alipay = Alipay(says)
    learned = await CALLS[call](channel(alipay))
    assert told(learned) == outcome
    assert len(alipay.asked) == 1
    assert learned.evidence.startswith('{"alipay_trade_')


@pytest.mark.parametrize("call", TABLES)
def test_every_word_of_the_tables_has_its_line(call: str) -> None:
    by_code, by_word, families = TABLES[call]
    listed = {*by_code, *by_word}
    told_by_family = {
        word for word in WORDS[call].keys() - listed if word.startswith(tuple(families))
    }
    assert WORDS[call].keys() == listed | told_by_family
    assert all(any(word.startswith(family) for word in told_by_family) for family in families)
