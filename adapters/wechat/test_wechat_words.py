"""Every word of the tables: what it is worth as the answer to each call."""

from typing import Any

import pytest

from adapters.channel import Flow
from adapters.wechat import codes, translate
from adapters.wechat.test_wechat import (
    BALANCE,
    EXPIRED,
    NO_PROOF,
    UNDECIDED,
    UNLISTED,
    US,
    fixture,
    pay,
    refund,
    refusal,
    shape,
    trade,
)
from gateway.domain import outcomes as out
from gateway.domain.outcomes import FailureCode, Retry

INVALID = (out.Declined, FailureCode.AUTH_CODE_INVALID, Retry.RESCAN, False)
REFUSED = (out.Declined, FailureCode.PAYMENT_REFUSED, Retry.OTHER_METHOD, False)
PAYER = (out.Declined, FailureCode.PAYER_ACCOUNT_RESTRICTED, Retry.OTHER_METHOD, False)
BURNT = (out.Declined, FailureCode.NOT_CHARGED, Retry.RESCAN, False)
CONFIG = (out.Declined, FailureCode.CHANNEL_CONFIGURATION, Retry.OTHER_METHOD, True)
LIMIT = (out.Declined, FailureCode.MERCHANT_LIMIT_EXCEEDED, Retry.OTHER_METHOD, True)
RESTRICTED = (out.Declined, FailureCode.MERCHANT_RESTRICTED, Retry.OTHER_METHOD, True)
BUSY = (out.Declined, FailureCode.CHANNEL_BUSY, Retry.SAME_METHOD, True)
NOT_REFUNDED = (out.RefundDeclined, "refund_refused", False)
TO_MEND = (out.RefundDeclined, "channel_configuration", True)

PAY: list[tuple[int, str, tuple[Any, ...]]] = [
    (400, "USERPAYING", (out.PayerActionNeeded,)),
    (500, "USERPAYING", (out.PayerActionNeeded,)),
    (400, "USER_PAYING", (out.PayerActionNeeded,)),
    (202, "ACCEPT", (out.Pending,)),
    (202, "ACCEPTED", (out.Pending,)),
    (500, "SYSTEM_ERROR", UNDECIDED),
    (500, "SYSTEMERROR", UNDECIDED),
    (500, "BANK_ERROR", UNDECIDED),
    (500, "BANKERROR", UNDECIDED),
    (503, "SERVICE_UNAVAILABLE", UNDECIDED),
    (400, "TRADE_ERROR", UNDECIDED),
    (400, "INVALID_REQUEST", UNDECIDED),
    (400, "INVALID_TRANSACTIONID", UNDECIDED),
    (400, "ORDERPAID", (out.AlreadyExists,)),
    (400, "ORDER_PAID", (out.AlreadyExists,)),
    (403, "OUT_TRADE_NO_USED", (out.AlreadyExists,)),
    (403, "NOT_ENOUGH", BALANCE),
    (403, "NOTENOUGH", BALANCE),
    (400, "AUTH_CODE_EXPIRED", EXPIRED),
    (400, "AUTHCODEEXPIRE", EXPIRED),
    (400, "AUTH_CODE_INVALID", INVALID),
    (400, "AUTH_CODE_ERROR", INVALID),
    (400, "NOTSUPORTCARD", REFUSED),
    (400, "NOTSUPPORTCARD", REFUSED),
    (400, "BUYER_MISMATCH", REFUSED),
    (403, "USER_ACCOUNT_ABNORMAL", PAYER),
    (403, "ACCOUNT_ERROR", PAYER),
    (403, "ACCOUNTERROR", PAYER),
    (400, "ORDER_CLOSED", BURNT),
    (400, "ORDERCLOSED", BURNT),
    (400, "ORDERREVERSED", BURNT),
    (400, "ORDER_REVERSED", BURNT),
    (403, "RULE_LIMIT", LIMIT),
    (403, "RULELIMIT", LIMIT),
    (403, "NO_AUTH", RESTRICTED),
    (403, "NOAUTH", RESTRICTED),
    (400, "MCH_NOT_EXISTS", CONFIG),
    (400, "APPID_MCHID_NOT_MATCH", CONFIG),
    (400, "APPID_NOT_EXIST", CONFIG),
    (400, "OPENID_MISMATCH", CONFIG),
    (500, "OPENID_MISMATCH", NO_PROOF),
    (401, "SIGN_ERROR", CONFIG),
    (401, "SIGNERROR", CONFIG),
    (400, "LACK_PARAMS", CONFIG),
    (400, "XML_FORMAT_ERROR", CONFIG),
    (400, "PARAM_ERROR", (out.Declined, FailureCode.REQUEST_REFUSED, Retry.NONE, False)),
    (429, "FREQUENCY_LIMITED", BUSY),
    (429, "FREQUENCY_LIMIT", BUSY),
    (429, "RATELIMIT_EXCEEDED", BUSY),
    (429, "RATE_LIMIT_EXCEEDED", BUSY),
    (500, "NOT_ENOUGH", NO_PROOF),  # a 5xx is never proof
    (503, "FREQUENCY_LIMITED", NO_PROOF),
    (302, "NOT_ENOUGH", NO_PROOF),
    (404, "ORDER_NOT_EXIST", UNDECIDED),  # listed, but not as an answer to a pay
    (400, "NOT_ENOUGH ", UNLISTED),
    (400, "not_enough", UNLISTED),
    (400, "SURPRISE", UNLISTED),
    (400, "", (out.Unknown, "unreadable")),
    (400, "_", UNLISTED),
]
QUERY: list[tuple[int, str, tuple[Any, ...]]] = [
    (404, "ORDER_NOT_EXIST", (out.NotFound,)),
    (404, "ORDERNOTEXIST", (out.NotFound,)),
    (404, "RESOURCE_NOT_EXISTS", UNDECIDED),
    (400, "INVALID_TRANSACTIONID", UNDECIDED),
]
REVERSE: list[tuple[int, str, tuple[Any, ...]]] = [
    (500, "SYSTEM_ERROR", (out.CallAgain,)),
    (400, "USERPAYING", (out.CallAgain,)),
    (400, "USER_PAYING", (out.CallAgain,)),
    (404, "ORDER_NOT_EXIST", (out.NothingThere,)),
    (404, "ORDERNOTEXIST", (out.NothingThere,)),
    (400, "REVERSE_EXPIRE", (out.UseRefund,)),
    (400, "TRADE_ERROR", UNDECIDED),
    (400, "INVALID_REQUEST", UNDECIDED),
]
CLOSE: list[tuple[int, str, tuple[Any, ...]]] = [
    (500, "SYSTEM_ERROR", (out.CallAgain,)),
    (404, "ORDER_NOT_EXIST", (out.NothingThere,)),
    (400, "ORDER_PAID", (out.UseRefund,)),
    (400, "ORDER_CLOSED", UNDECIDED),
]
REFUND: list[tuple[int, str, tuple[Any, ...]]] = [
    (429, "FREQUENCY_LIMITED", UNDECIDED),
    (500, "SYSTEM_ERROR", UNDECIDED),
    (403, "NOT_ENOUGH", (out.RefundDeclined, "merchant_balance", True)),
    (403, "USER_ACCOUNT_ABNORMAL", (out.RefundDeclined, "payer_account_unusable", False)),
    (400, "INVALID_REQUEST", NOT_REFUNDED),
    (404, "RESOURCE_NOT_EXISTS", NOT_REFUNDED),
    (404, "ORDER_NOT_EXIST", NOT_REFUNDED),
    (404, "ORDERNOTEXIST", NOT_REFUNDED),
    (400, "INVALID_TRANSACTIONID", NOT_REFUNDED),
    (500, "INVALID_TRANSACTIONID", NO_PROOF),
    (400, "PARAM_ERROR", (out.RefundDeclined, "request_refused", False)),
    (403, "NO_AUTH", TO_MEND),
    (404, "MCH_NOT_EXISTS", TO_MEND),
    (400, "APPID_MCHID_NOT_MATCH", TO_MEND),
    (401, "SIGN_ERROR", TO_MEND),
]
REFUND_QUERY: list[tuple[int, str, tuple[Any, ...]]] = [
    (404, "RESOURCE_NOT_EXISTS", (out.RefundNotFound,)),
    (404, "REFUND_NOT_EXISTS", (out.RefundNotFound,)),
    (404, "REFUNDNOTEXIST", (out.RefundNotFound,)),
]
CALLS: dict[str, Any] = {
    "codepay": lambda reply: translate.pay_outcome(US, pay(Flow.CODE), reply),
    "native": lambda reply: translate.pay_outcome(US, pay(Flow.QR), reply),
    "query": lambda reply: translate.query_outcome(US, trade(), reply),
    "reverse": lambda reply: translate.reverse_outcome(US, trade(), reply),
    "close": translate.close_outcome,
    "refund": lambda reply: translate.refund_outcome(refund(), reply),
    "refund_query": lambda reply: translate.refund_query_outcome(refund(), reply),
}
WORDS = {
    "codepay": (PAY, codes.PAY_CODES),
    "native": (PAY[2:3] + PAY[5:], codes.PAY_CODES),
    "query": (QUERY, codes.QUERY_CODES),
    "reverse": (REVERSE, codes.REVERSE_CODES),
    "close": (CLOSE, codes.CLOSE_CODES),
    "refund": (REFUND, codes.REFUND_CODES),
    "refund_query": (REFUND_QUERY, codes.REFUND_QUERY_CODES),
}


@pytest.mark.parametrize(
    ("call", "status", "code", "expected"),
    [(call, *row) for call, (rows, _) in WORDS.items() for row in rows],
)
def test_what_a_word_proves(call: str, status: int, code: str, expected: tuple[Any, ...]) -> None:
    outcome = CALLS[call](refusal(code, status))
    assert shape(outcome) == expected
    assert getattr(outcome, "channel_code", code) == code


@pytest.mark.parametrize("call", [call for call in WORDS if call != "native"])
def test_every_word_of_the_tables_has_its_line(call: str) -> None:
    rows, table = WORDS[call]
    assert {codes.word(code) for _, code, _ in rows} >= table.keys()


def test_a_word_has_one_spelling_in_the_tables() -> None:
    tables = (*(table for _, table in WORDS.values()), *codes.TRADE_STATES.values())
    words = {word for table in (*tables, codes.REFUND_STATES) for word in table}
    assert {codes.word(word) for word in words} == words
    assert len({word.replace("_", "") for word in words}) == len(words)
    assert {*codes.OTHER_SPELLINGS.values()} <= words
    assert not words & codes.OTHER_SPELLINGS.keys()


STATES: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
    # trade_state, of a barcode payment, of a QR order
    ("USERPAYING", (out.PayerActionNeeded,), (out.PayerActionNeeded,)),
    ("ACCEPT", (out.Pending,), (out.Pending,)),
    ("NOTPAY", (out.Pending,), (out.PayerActionNeeded,)),
    ("CLOSED", (out.Closed, False), (out.Closed, False)),
    ("REVOKED", (out.Closed, None), (out.Closed, None)),
    ("PAYERROR", UNDECIDED, UNDECIDED),
    ("REFUND", UNDECIDED, UNDECIDED),
]
REFUND_STATES: list[tuple[str, tuple[Any, ...]]] = [
    ("PROCESSING", (out.RefundPending,)),
    ("CLOSED", (out.RefundDeclined, "refund_closed", False)),
    ("ABNORMAL", (out.RefundDeclined, "payer_account_unusable", True)),
]


@pytest.mark.parametrize(("state", "by_code", "by_qr"), STATES)
def test_what_a_trade_state_proves(
    state: str, by_code: tuple[Any, ...], by_qr: tuple[Any, ...]
) -> None:
    reply = fixture("query_succeeded", trade_state=state)
    assert shape(translate.query_outcome(US, trade(Flow.CODE), reply)) == by_code
    assert shape(translate.query_outcome(US, trade(Flow.QR), reply)) == by_qr


@pytest.mark.parametrize(("state", "expected"), REFUND_STATES)
def test_what_a_refund_state_proves(state: str, expected: tuple[Any, ...]) -> None:
    reply = fixture("refund_succeeded", status=state)
    assert shape(translate.refund_query_outcome(refund(), reply)) == expected


def test_every_state_has_its_line() -> None:
    for flow in Flow:
        assert [state for state, *_ in STATES] == [*codes.TRADE_STATES[flow]]
    assert [state for state, _ in REFUND_STATES] == [*codes.REFUND_STATES]
