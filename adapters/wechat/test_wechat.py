"""What WeChat Pay's words mean to us: one line a word, the expectation last."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.channel import Flow, PayRequest, RefundRequest, TradeRef
from adapters.wechat import orders, translate
from adapters.wechat.orders import Merchant
from adapters.wechat.translate import Reply
from gateway.domain import outcomes as out
from gateway.domain.outcomes import FailureCode, Retry
from gateway.domain.presenting import PaymentCode, ShownQr
from security.secret import Secret

FIXTURES = Path(__file__).parent / "fixtures"
US = Merchant(appid="wxd678efh567hg6787", mchid="1230000109")
NUMBER, REFUND_NO = "T0K7Q3ZD5M2N8R4X6W1Y9A0B5C7E", "T0R4H8J2K6M1P5S9V3X7Z0C4F8L2"
TRADE_NO = "4200002411202611210000000001"
SENT_AT = dt.datetime(2026, 11, 21, 4, 30, 0, 999_999, tzinfo=dt.UTC)
AUTH_CODE = "134567890123456789"


def pay(flow: Flow = Flow.CODE, **changed: Any) -> PayRequest:
    terms: dict[str, Any] = {
        "out_trade_no": NUMBER,
        "amount": 12850,
        "currency": "CNY",
        "description": "午餐",
        "presented": PaymentCode(Secret(AUTH_CODE)) if flow is Flow.CODE else ShownQr(),
        "store_id": "store_1",
        "terminal_id": "term_1",
        "operator_id": "op_1",
        "sent_at": SENT_AT,
        "not_after": SENT_AT + dt.timedelta(seconds=300),
        "notify_url": "https://pay.example/callbacks/acct_1",
        "deadline": 2.0,
    }
    return PayRequest(**(terms | changed))


def trade(flow: Flow = Flow.CODE) -> TradeRef:
    return TradeRef(
        out_trade_no=NUMBER,
        amount=12850,
        currency="CNY",
        flow=flow,
        sent_at=SENT_AT,
        channel_trade_no=None,
        deadline=2.0,
    )


def refund(**changed: Any) -> RefundRequest:
    terms: dict[str, Any] = {
        "out_trade_no": NUMBER,
        "channel_trade_no": TRADE_NO,
        "out_refund_no": REFUND_NO,
        "total_amount": 12850,
        "refund_amount": 2850,
        "currency": "CNY",
        "reason": "上错菜",
        "notify_url": None,
        "deadline": 2.0,
    }
    return RefundRequest(**(terms | changed))


def fixture(name: str, http: int = 200, **changed: Any) -> Reply:
    document = json.loads((FIXTURES / f"{name}.json").read_text())
    document = {key: value for key, value in (document | changed).items() if value is not None}
    return Reply(status=http, body=json.dumps(document, ensure_ascii=False).encode())


def nulled(name: str, *fields: str) -> Reply:
    """WeChat Pay may write null for a field that it could leave out."""
    document = json.loads((FIXTURES / f"{name}.json").read_text()) | dict.fromkeys(fields)
    return Reply(status=200, body=json.dumps(document).encode())


def refusal(code: str, status: int = 400) -> Reply:
    return Reply(
        status=status, body=json.dumps({"code": code, "message": "SUCCESS NOT_ENOUGH"}).encode()
    )


def shape(outcome: Any) -> tuple[Any, ...]:
    """What a table compares: the type and what a cashier or the failover would read from it."""
    match outcome:
        case out.Declined():
            return out.Declined, outcome.code, outcome.retry, outcome.failover_useful
        case out.Unknown():
            return out.Unknown, outcome.reason
        case out.Closed() | out.Reversed():
            return type(outcome), outcome.was_charged
        case out.RefundDeclined():
            return out.RefundDeclined, outcome.code, outcome.needs_action
        case out.Mismatch():
            return out.Mismatch, outcome.field
        case _:
            return (type(outcome),)


UNDECIDED, NO_PROOF, UNLISTED = (
    (out.Unknown, "undecided"),
    (out.Unknown, "no_proof"),
    (out.Unknown, "unlisted_code"),
)
BALANCE = (out.Declined, FailureCode.INSUFFICIENT_BALANCE, Retry.OTHER_METHOD, False)
EXPIRED = (out.Declined, FailureCode.AUTH_CODE_EXPIRED, Retry.RESCAN, False)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (fixture("codepay_succeeded"), (out.Succeeded,)),
        (fixture("codepay_succeeded", 202), (out.Succeeded,)),
        (fixture("codepay_accepted", 202), (out.Pending,)),
        (fixture("codepay_user_paying", 202), (out.PayerActionNeeded,)),
        (fixture("query_user_paying"), (out.PayerActionNeeded,)),
        (fixture("codepay_balance_not_enough", 403), BALANCE),
        (fixture("codepay_balance_not_enough", 200), NO_PROOF),
        (fixture("codepay_code_expired", 400), EXPIRED),
        (fixture("codepay_system_error", 500), UNDECIDED),
        (refusal("USER_PAYING", 202), (out.PayerActionNeeded,)),
        (fixture("codepay_succeeded", trade_state="ACCEPTED"), (out.Pending,)),
        (fixture("codepay_succeeded", trade_state="USER_PAYING"), (out.PayerActionNeeded,)),
        (
            nulled("codepay_succeeded", "success_time", "payer", "promotion_detail"),
            (out.Succeeded,),
        ),
        (nulled("codepay_succeeded", "appid", "attach"), (out.Succeeded,)),
        (nulled("codepay_succeeded", "transaction_id"), (out.Unknown, "incomplete")),
        (
            fixture("codepay_succeeded", amount={"total": 12850, "currency": None}),
            (out.Succeeded,),
        ),
        (fixture("codepay_succeeded", promotion_detail=[{"amount": "5"}]), (out.Succeeded,)),
        (fixture("query_closed"), (out.Unknown, "ended")),
        (fixture("query_revoked"), (out.Unknown, "ended")),
        (fixture("query_refunded"), UNDECIDED),
        (fixture("codepay_succeeded", trade_state="SURPRISE"), UNLISTED),
        (fixture("codepay_succeeded", trade_state=None), (out.Unknown, "unreadable")),
        (fixture("codepay_succeeded", transaction_id=None), (out.Unknown, "incomplete")),
        (fixture("codepay_succeeded", amount=None), (out.Unknown, "incomplete")),
        (fixture("codepay_succeeded", mchid=None), (out.Unknown, "incomplete")),
        (fixture("codepay_succeeded", out_trade_no=None), (out.Unknown, "incomplete")),
        (fixture("codepay_succeeded", amount={"total": "12850"}), (out.Unknown, "unreadable")),
        (fixture("codepay_succeeded", amount={"total": 12850.5}), (out.Unknown, "unreadable")),
        (fixture("codepay_succeeded", amount={"total": 12851}), (out.Mismatch, "amount")),
        (
            fixture("codepay_succeeded", amount={"total": 12850, "currency": "HKD"}),
            (out.Mismatch, "currency"),
        ),
        (fixture("codepay_succeeded", out_trade_no="T0OTHER"), (out.Mismatch, "out_trade_no")),
        (fixture("codepay_succeeded", mchid="1230000110"), (out.Mismatch, "mchid")),
        (fixture("codepay_succeeded", appid="wxother"), (out.Mismatch, "appid")),
        (Reply(status=200, body=b""), (out.Unknown, "unreadable")),
        (Reply(status=200, body=b"<html>"), (out.Unknown, "unreadable")),
        (Reply(status=200, body=b"[" * 60_000), (out.Unknown, "unreadable")),
        (Reply(status=502, body=b"<html>Bad Gateway</html>"), (out.Unknown, "unreadable")),
    ],
)
def test_answers_to_codepay(reply: Reply, expected: tuple[Any, ...]) -> None:
    assert shape(translate.pay_outcome(US, pay(), reply)) == expected


@pytest.mark.parametrize(
    ("reply", "flow", "expected"),
    [
        (fixture("query_succeeded"), Flow.QR, (out.Succeeded,)),
        (fixture("query_not_paid"), Flow.CODE, (out.Pending,)),
        (fixture("query_not_paid"), Flow.QR, (out.PayerActionNeeded,)),
        (fixture("query_user_paying"), Flow.CODE, (out.PayerActionNeeded,)),
        (fixture("query_not_paid", trade_state="ACCEPT"), Flow.CODE, (out.Pending,)),
        (fixture("query_not_paid", trade_state="ACCEPTED"), Flow.QR, (out.Pending,)),
        (nulled("query_not_paid", "trade_state"), Flow.CODE, (out.Unknown, "unreadable")),
        (refusal("ORDERNOTEXIST", 404), Flow.CODE, (out.NotFound,)),
        (fixture("query_closed"), Flow.QR, (out.Closed, False)),
        (fixture("query_revoked"), Flow.CODE, (out.Closed, None)),
        (fixture("query_not_paid", trade_state="PAYERROR"), Flow.CODE, UNDECIDED),
        (fixture("query_refunded"), Flow.CODE, UNDECIDED),
        (fixture("query_refunded"), Flow.QR, UNDECIDED),
        (fixture("query_order_not_exist", 404), Flow.CODE, (out.NotFound,)),
        (fixture("query_order_not_exist", 500), Flow.CODE, NO_PROOF),
        (fixture("query_order_not_exist", 200), Flow.CODE, NO_PROOF),
        # Another trade's end proves nothing.
        (fixture("query_closed", out_trade_no="T0OTHER"), Flow.QR, (out.Mismatch, "out_trade_no")),
        (fixture("query_closed", out_trade_no=None), Flow.QR, (out.Unknown, "incomplete")),
        (fixture("query_succeeded", amount={"total": 1}), Flow.QR, (out.Mismatch, "amount")),
        (refusal("NOT_ENOUGH"), Flow.CODE, UNDECIDED),
        (refusal("SURPRISE"), Flow.CODE, UNLISTED),
    ],
)
def test_answers_to_a_query(reply: Reply, flow: Flow, expected: tuple[Any, ...]) -> None:
    assert shape(translate.query_outcome(US, trade(flow), reply)) == expected


@pytest.mark.parametrize(
    ("reply", "reversal", "close"),
    [
        (Reply(status=204, body=b""), (out.Reversed, None), (out.Reversed, False)),
        (fixture("reverse_done"), (out.Reversed, None), (out.Unknown, "unreadable")),
        (fixture("reverse_done", recall="Y"), (out.CallAgain,), (out.Unknown, "unreadable")),
        (
            fixture("reverse_done", out_trade_no="T0OTHER"),
            (out.Unknown, "other_trade"),
            (out.Unknown, "unreadable"),
        ),
        (
            fixture("reverse_done", mchid="1"),
            (out.Unknown, "other_trade"),
            (out.Unknown, "unreadable"),
        ),
        (Reply(status=200, body=b""), (out.Reversed, None), (out.Unknown, "unreadable")),
        (Reply(status=202, body=b""), (out.Unknown, "unreadable"), (out.Unknown, "unreadable")),
        (Reply(status=200, body=b"{}"), (out.Unknown, "unreadable"), (out.Unknown, "unreadable")),
        (refusal("USERPAYING", 200), (out.CallAgain,), UNDECIDED),
        (refusal("TRADE_ERROR", 200), UNDECIDED, UNDECIDED),
        (Reply(status=200, body=b"ok"), (out.Unknown, "unreadable"), (out.Unknown, "unreadable")),
        (refusal("SYSTEM_ERROR", 500), (out.CallAgain,), (out.CallAgain,)),
        (refusal("SYSTEMERROR", 500), (out.CallAgain,), (out.CallAgain,)),
        (refusal("USERPAYING"), (out.CallAgain,), UNDECIDED),
        (refusal("USER_PAYING"), (out.CallAgain,), UNDECIDED),
        (refusal("ORDERNOTEXIST", 404), (out.NothingThere,), (out.NothingThere,)),
        (refusal("ORDER_NOT_EXIST", 404), (out.NothingThere,), (out.NothingThere,)),
        (refusal("ORDER_NOT_EXIST", 502), NO_PROOF, NO_PROOF),
        (refusal("REVERSE_EXPIRE"), (out.UseRefund,), UNDECIDED),
        (refusal("ORDERPAID"), UNDECIDED, (out.UseRefund,)),
        (refusal("ORDER_PAID"), UNDECIDED, (out.UseRefund,)),
        (refusal("TRADE_ERROR"), UNDECIDED, UNDECIDED),
        (refusal("INVALID_REQUEST"), UNDECIDED, UNDECIDED),
        # The query says it with the number beside it.
        (refusal("ORDER_CLOSED"), UNDECIDED, UNDECIDED),
        (refusal("SURPRISE"), UNLISTED, UNLISTED),
    ],
)
def test_answers_to_a_cancel(
    reply: Reply, reversal: tuple[Any, ...], close: tuple[Any, ...]
) -> None:
    assert shape(translate.reverse_outcome(US, trade(), reply)) == reversal
    assert shape(translate.close_outcome(reply)) == close


ABNORMAL = (out.RefundDeclined, "payer_account_unusable", True)
CLOSED = (out.RefundDeclined, "refund_closed", False)
REFUSED = (out.RefundDeclined, "refund_refused", False)


@pytest.mark.parametrize(
    ("reply", "refunded", "queried"),
    [
        (fixture("refund_processing"), (out.RefundPending,), (out.RefundPending,)),
        (fixture("refund_succeeded"), (out.RefundSucceeded,), (out.RefundSucceeded,)),
        (fixture("refund_abnormal"), ABNORMAL, ABNORMAL),
        (fixture("refund_processing", status="CLOSED"), CLOSED, CLOSED),
        (
            fixture("refund_succeeded", status=None, refund_status="SUCCESS"),
            (out.RefundSucceeded,),
            (out.RefundSucceeded,),
        ),
        (
            fixture("refund_succeeded", refund_status="SUCCESS"),
            (out.RefundSucceeded,),
            (out.RefundSucceeded,),
        ),
        (
            fixture("refund_succeeded", refund_status="PROCESSING"),
            (out.Unknown, "unreadable"),
            (out.Unknown, "unreadable"),
        ),
        (
            fixture("refund_succeeded", status=None),
            (out.Unknown, "unreadable"),
            (out.Unknown, "unreadable"),
        ),
        (
            nulled("refund_succeeded", "success_time", "transaction_id", "refund_status"),
            (out.RefundSucceeded,),
            (out.RefundSucceeded,),
        ),
        (fixture("refund_processing", status="SURPRISE"), UNLISTED, UNLISTED),
        (
            fixture("refund_succeeded", amount={"refund": 2851}),
            (out.Mismatch, "refund_amount"),
            (out.Mismatch, "refund_amount"),
        ),
        (
            fixture("refund_succeeded", amount={"refund": 2850, "total": 1}),
            (out.Mismatch, "total_amount"),
            (out.Mismatch, "total_amount"),
        ),
        (
            fixture("refund_succeeded", out_refund_no="T0OTHER"),
            (out.Mismatch, "out_refund_no"),
            (out.Mismatch, "out_refund_no"),
        ),
        (
            fixture("refund_succeeded", out_trade_no="T0OTHER"),
            (out.Mismatch, "out_trade_no"),
            (out.Mismatch, "out_trade_no"),
        ),
        (
            fixture("refund_succeeded", amount=None),
            (out.Unknown, "incomplete"),
            (out.Unknown, "incomplete"),
        ),
        (
            fixture("refund_succeeded", out_refund_no=None),
            (out.Unknown, "incomplete"),
            (out.Unknown, "incomplete"),
        ),
        (refusal("NOT_ENOUGH", 403), (out.RefundDeclined, "merchant_balance", True), UNDECIDED),
        (refusal("NOT_ENOUGH", 500), NO_PROOF, UNDECIDED),
        (refusal("PARAM_ERROR"), (out.RefundDeclined, "request_refused", False), UNDECIDED),
        (
            refusal("SIGN_ERROR", 401),
            (out.RefundDeclined, "channel_configuration", True),
            UNDECIDED,
        ),
        # Not "rejected": the same number goes out again.
        (refusal("FREQUENCY_LIMITED", 429), UNDECIDED, UNDECIDED),
        (refusal("SYSTEM_ERROR", 500), UNDECIDED, UNDECIDED),
        (refusal("INVALID_REQUEST"), REFUSED, UNDECIDED),
        (fixture("refund_query_not_exist", 404), REFUSED, (out.RefundNotFound,)),
        (fixture("refund_query_not_exist", 500), NO_PROOF, NO_PROOF),
        (refusal("REFUND_NOT_EXISTS", 404), REFUSED, (out.RefundNotFound,)),
        (refusal("SURPRISE"), UNLISTED, UNLISTED),
    ],
)
def test_answers_about_a_refund(
    reply: Reply, refunded: tuple[Any, ...], queried: tuple[Any, ...]
) -> None:
    assert shape(translate.refund_outcome(refund(), reply)) == refunded
    assert shape(translate.refund_query_outcome(refund(), reply)) == queried


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("火锅🍲", "火锅"),
        ("🍲火🍜锅", "火锅"),
        ("👨\u200d👩\u200d👧 lunch", " lunch"),
        ("❤\ufe0f 1\ufe0f\u20e3", "❤ 1\u20e3"),
        ("\ud83c lone", " lone"),
        ("𠮷野家", "野家"),
        ("\uffee|é|面", "\uffee|é|面"),
    ],
)
def test_only_characters_of_up_to_three_bytes_are_sent(text: str, kept: str) -> None:
    assert orders.fitted(text, 127) == kept


@given(text=st.text(st.characters(max_codepoint=0xFFFF, codec="utf-8")), bound=st.integers(0, 200))
def test_a_cut_keeps_whole_characters(text: str, bound: int) -> None:
    whole = orders.fitted(text, 4 * len(text))
    kept = orders.fitted(text, bound)
    assert whole.startswith(kept)
    assert len(kept.encode()) <= bound
    assert kept == whole or len(whole[: len(kept) + 1].encode()) > bound


@given(text=st.text(), bound=st.integers(0, 200))
def test_every_text_is_sent_in_characters_that_wechat_pay_reads(text: str, bound: int) -> None:
    kept = orders.fitted(text, bound)
    assert all(len(character.encode()) <= 3 for character in kept)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "trade_state", "status", "amount", "total"]), inner
        )
    ),
)


@given(document=JSON, status=st.integers(100, 599))
def test_nothing_signed_but_odd_raises_or_proves(document: Any, status: int) -> None:
    reply = Reply(status=status, body=json.dumps(document).encode())
    outcomes = (
        translate.pay_outcome(US, pay(), reply),
        translate.query_outcome(US, trade(), reply),
        translate.refund_outcome(refund(), reply),
        translate.refund_query_outcome(refund(), reply),
    )
    assert not any(
        isinstance(outcome, out.Succeeded | out.Closed | out.RefundSucceeded)
        for outcome in outcomes
    )
