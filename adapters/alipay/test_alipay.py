"""The Alipay adapter from the caller's side: what each answer proves, what goes out, which
callbacks are believed.

`Alipay` below is the other end of the wire, reduced to a key: it signs whatever a test tells it to
say. The real protocol server stands in `sandbox/alipay`; tests/integration/test_alipay_sandbox.py
runs against it.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from msgspec.structs import replace

from adapters.alipay.channel import AlipayChannel
from adapters.alipay.credentials import Credentials
from adapters.channel import Flow, PayRequest, RefundRequest, TradeRef
from adapters.transport import AnswerLostError, HttpAnswer, HttpCall, InlineExecutor, NotSentError
from gateway.clock import SystemClock
from gateway.domain.outcomes import Succeeded
from gateway.domain.presenting import PaymentCode, ShownQr
from security.secret import Secret, decode_hook

FIXTURES = Path(__file__).parent / "fixtures"
NUMBER = "TG4K2Q7ZB3M6R5XWY8H2DCVN9PAE"
APP_ID, SELLER_ID = "2021000000000001", "2088000000000001"
SENT_AT = datetime(2026, 11, 21, 12, 15, 5, 700_000, tzinfo=UTC)
OURS, THEIRS = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in "ab")


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def private_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    ).decode()


def signature(content: bytes, key: rsa.RSAPrivateKey = THEIRS) -> str:
    return base64.b64encode(key.sign(content, PKCS1v15(), hashes.SHA256())).decode()


class SettledClock(SystemClock):
    def now(self) -> datetime:
        return SENT_AT


class Alipay:
    """Says what it is told, and remembers what it was asked.

    Give `says` a fixture's name, an inner object, raw bytes or an error.
    """

    def __init__(
        self, says: Any, status: int = 200, signing_key: rsa.RSAPrivateKey = THEIRS
    ) -> None:
        self.says, self.status, self.signing_key = says, status, signing_key
        self.asked: list[dict[str, str]] = []
        self.signing_executor = InlineExecutor()

    async def send(self, call: HttpCall) -> HttpAnswer:
        assert (call.method, call.url) == (
            "POST",
            "https://openapi.alipay.com/gateway.do?charset=utf-8",
        )
        params = dict(parse_qsl(call.body.decode(), strict_parsing=True))
        self.asked.append(params)
        if isinstance(self.says, Exception):
            raise self.says
        body = self.says if isinstance(self.says, bytes) else self._envelope(params["method"])
        return HttpAnswer(status=self.status, headers={}, body=body)

    def _envelope(self, method: str) -> bytes:
        said = fixture(self.says) if isinstance(self.says, str) else self.says
        content = (
            json.dumps(said, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()
        )
        sign = signature(content, self.signing_key).encode()
        return b'{"%s_response":%s,"sign":"%s"}' % (
            method.replace(".", "_").encode(),
            content,
            sign,
        )


def fixture(name: str, **changed: str | None) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return {key: value for key, value in (said | changed).items() if value is not None}


def business_failed(sub_code: str) -> dict[str, str]:
    return {"code": "40004", "msg": "Business Failed", "sub_code": sub_code}


def account(**changed: Any) -> Credentials:
    stored = {
        "app_id": APP_ID,
        "seller_id": SELLER_ID,
        "gateway_url": "https://openapi.alipay.com/gateway.do",
        "mode": "public_key",
        "app_private_key": private_pem(OURS),
        "alipay_public_key": public_pem(THEIRS),
        "notify_url": "https://pay.example.com/callbacks/acct_1",
    }
    return msgspec.convert(stored | changed, Credentials, dec_hook=decode_hook)


def channel(alipay: Alipay) -> AlipayChannel:
    return AlipayChannel(account(), alipay, SettledClock())


CODE_PAY = PayRequest(
    out_trade_no=NUMBER,
    amount=12_850,
    currency="CNY",
    description="一号店 / 火锅 = 2&3",
    presented=PaymentCode(Secret("281234567890123456")),
    store_id="store_1",
    terminal_id="term_1",
    operator_id="",
    sent_at=SENT_AT,
    not_after=SENT_AT + timedelta(seconds=70),
    notify_url=None,
    deadline=0.0,
)
QR_PAY = replace(CODE_PAY, presented=ShownQr(), not_after=SENT_AT + timedelta(seconds=299))
TRADE = TradeRef(
    out_trade_no=NUMBER,
    amount=12_850,
    currency="CNY",
    flow=Flow.CODE,
    sent_at=SENT_AT,
    channel_trade_no=None,
    deadline=0.0,
)
REFUND = RefundRequest(
    out_trade_no=NUMBER,
    channel_trade_no=None,
    out_refund_no="RF1",
    total_amount=12_850,
    refund_amount=2_850,
    currency="CNY",
    reason="dish returned",
    notify_url=None,
    deadline=0.0,
)


def told(outcome: Any) -> str:
    """An outcome in a word or two, for the tables below."""
    name = type(outcome).__name__
    match name:
        case "Declined":
            return (
                f"Declined {outcome.code.value} {outcome.retry.value} "
                f"{'elsewhere' if outcome.failover_useful else 'here'}"
            )
        case "Unknown" | "NotSent":
            return f"{name} {outcome.reason}"
        case "Mismatch":
            return f"Mismatch {outcome.field}"
        case "Closed" | "Reversed":
            return f"{name} charged={outcome.was_charged}"
        case "RefundDeclined":
            return f"RefundDeclined {outcome.code}{' mendable' if outcome.needs_action else ''}"
    return name


# --- what an answer proves

PAY_TOLD = [
    ("pay_succeeded", "Succeeded"),
    ("pay_payer_typing", "PayerActionNeeded"),
    ("pay_code_invalid", "Declined auth_code_invalid rescan here"),
    ("pay_system_error", "Unknown undecided"),
    (fixture("pay_succeeded", total_amount="128.51"), "Mismatch total_amount"),
    (fixture("pay_succeeded", total_amount="12850"), "Mismatch total_amount"),
    (fixture("pay_succeeded", total_amount="1.285e2"), "Mismatch total_amount"),
    (fixture("pay_succeeded", out_trade_no="TG0"), "Mismatch out_trade_no"),
    (fixture("pay_succeeded", seller_id="2088000000000002"), "Mismatch seller_id"),
    (fixture("pay_succeeded", total_amount=None), "Unknown incomplete"),
    (fixture("pay_succeeded", out_trade_no=None), "Unknown incomplete"),
    (fixture("pay_succeeded", trade_no=None), "Unknown incomplete"),
    (fixture("pay_payer_typing", out_trade_no="TG0"), "Mismatch out_trade_no"),
    (
        {"code": "40005", "sub_code": "isv.app-call-limited"},
        "Declined channel_busy other_method elsewhere",
    ),
    (
        {"code": "40002", "sub_code": "isv.invalid-signature"},
        "Declined channel_configuration other_method elsewhere",
    ),
    ({"code": "99999"}, "Unknown unlisted_code"),
    ({"code": 10000}, "Unknown unreadable"),
    ({}, "Unknown unreadable"),
    (business_failed("ACQ.SYSTEM_ERROR"), "Unknown undecided"),
    (business_failed("aop.ACQ.SYSTEM_ERROR"), "Unknown undecided"),
    (business_failed("AQC.SYSTEM_ERROR"), "Unknown undecided"),
    (
        business_failed("AQC.BUYER_BALANCE_NOT_ENOUGH"),
        "Declined insufficient_balance other_method here",
    ),
    (business_failed("ACQ.NOT_BUYER_BALANCE_NOT_ENOUGH"), "Unknown unlisted_code"),
    (business_failed("ACQ.TRADE_HAS_SUCCESS"), "AlreadyExists"),
    (business_failed("ACQ.CONTEXT_INCONSISTENT"), "AlreadyExists"),
    (business_failed("ACQ.TRADE_HAS_CLOSE"), "Declined not_charged rescan here"),
    (
        business_failed("ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR"),
        "Declined payer_limit_exceeded other_method here",
    ),
    (business_failed("ACQ.PAYMENT_REQUEST_HAS_RISK"), "Declined risk_refused other_method here"),
    (business_failed("ACQ.PULL_MOBILE_CASHIER_FAIL"), "Declined payment_refused rescan here"),
    (
        business_failed("ACQ.SELLER_BEEN_BLOCKED"),
        "Declined merchant_restricted other_method elsewhere",
    ),
    (
        business_failed("ACQ.MERCHANT_AGREEMENT_INVALID"),
        "Declined merchant_restricted other_method elsewhere",
    ),
    (business_failed("ACQ.TOTAL_FEE_EXCEED"), "Declined request_refused none here"),
    (business_failed("ACQ.SOMETHING_NEW"), "Unknown unlisted_code"),
    (business_failed(""), "Unknown unlisted_code"),
]
QUERY_TOLD = [
    ("query_paid", "Succeeded"),
    (fixture("query_paid", trade_status="TRADE_FINISHED"), "Succeeded"),
    (fixture("query_paid", total_amount="1.00"), "Mismatch total_amount"),
    (fixture("query_paid", out_trade_no="TG0"), "Mismatch out_trade_no"),
    (fixture("query_paid", trade_status="TRADE_ODD"), "Unknown unlisted_code"),
    ("query_waiting", "PayerActionNeeded"),
    ("query_closed_unpaid", "Closed charged=None"),
    ("query_closed_after_refund", "Closed charged=True"),
    (fixture("query_closed_unpaid", out_trade_no="TG0"), "Mismatch out_trade_no"),
    ("query_not_found", "NotFound"),
    (business_failed("ACQ.SYSTEM_ERROR"), "Unknown undecided"),
    ({"code": "40005"}, "Unknown undecided"),
    (business_failed("ACQ.PAYMENT_FAIL"), "Unknown unlisted_code"),
]
CANCEL_TOLD = [
    ("cancel_closed_unpaid", "Reversed charged=False"),
    ("cancel_gave_money_back", "Reversed charged=True"),
    ("cancel_nothing_there", "NothingThere"),
    ("cancel_try_again", "CallAgain"),
    (fixture("cancel_closed_unpaid", out_trade_no="TG0"), "Unknown foreign_order"),
    (fixture("cancel_closed_unpaid", out_trade_no=None), "Unknown incomplete"),
    (fixture("cancel_closed_unpaid", action="odd"), "Unknown unlisted_code"),
    ({"code": "20000", "sub_code": "isp.unknow-error"}, "CallAgain"),
    (business_failed("ACQ.SYSTEM_ERROR"), "CallAgain"),
    (business_failed("ACQ.TRADE_CANCEL_TIME_OUT"), "UseRefund"),
    (business_failed("ACQ.TRADE_HAS_FINISHED"), "UseRefund"),
    (business_failed("ACQ.CANCEL_NOT_ALLOWED"), "UseRefund"),
    (business_failed("ACQ.SELLER_BALANCE_NOT_ENOUGH"), "Unknown undecided"),
    (business_failed("ACQ.SOMETHING_NEW"), "Unknown unlisted_code"),
]
REFUND_TOLD = [
    ("refund_done", "RefundSucceeded"),
    (fixture("refund_done", refund_fee="100.00"), "RefundSucceeded"),
    (fixture("refund_done", refund_fee="28.49"), "Mismatch refund_fee"),
    (fixture("refund_done", refund_fee=None), "Unknown incomplete"),
    (fixture("refund_done", out_trade_no="TG0"), "Mismatch out_trade_no"),
    ("refund_repeated", "RefundPending"),
    (business_failed("ACQ.SELLER_BALANCE_NOT_ENOUGH"), "RefundDeclined merchant_balance mendable"),
    (business_failed("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"), "RefundDeclined refund_refused"),
    (business_failed("ACQ.DISCORDANT_REPEAT_REQUEST"), "Unknown undecided"),
    (business_failed("ACQ.REFUND_CHARGE_ERROR"), "Unknown undecided"),
    ({"code": "40005"}, "Unknown undecided"),
]
REFUND_QUERY_TOLD = [
    ("refund_query_done", "RefundSucceeded"),
    (fixture("refund_query_done", refund_amount="28.51"), "Mismatch refund_amount"),
    (fixture("refund_query_done", out_request_no="RF2"), "Mismatch out_request_no"),
    (fixture("refund_query_done", refund_status="REFUND_PROCESSING"), "RefundPending"),
    (fixture("refund_query_done", refund_status="REFUND_ODD"), "Unknown unlisted_code"),
    ("refund_query_unknown_number", "RefundNotFound"),
    (business_failed("ACQ.TRADE_NOT_EXIST"), "RefundNotFound"),
    (business_failed("ACQ.SYSTEM_ERROR"), "Unknown undecided"),
]
PRECREATE_TOLD = [
    ("precreate_shown", "PayerActionNeeded"),
    (fixture("precreate_shown", qr_code=None), "Unknown incomplete"),
    (fixture("precreate_shown", out_trade_no="TG0"), "Mismatch out_trade_no"),
    ({"code": "10003"}, "Unknown unlisted_code"),
    (business_failed("ACQ.TRADE_HAS_SUCCESS"), "AlreadyExists"),
]
CALLS: dict[str, Callable[[AlipayChannel], Any]] = {
    "pay": lambda made: made.pay(CODE_PAY),
    "precreate": lambda made: made.pay(QR_PAY),
    "query": lambda made: made.query(TRADE),
    "cancel": lambda made: made.cancel(TRADE),
    "refund": lambda made: made.refund(REFUND),
    "refund_query": lambda made: made.query_refund(REFUND),
}
TOLD = {
    "pay": PAY_TOLD,
    "precreate": PRECREATE_TOLD,
    "query": QUERY_TOLD,
    "cancel": CANCEL_TOLD,
} | {
    "refund": REFUND_TOLD,
    "refund_query": REFUND_QUERY_TOLD,
}


@pytest.mark.parametrize(
    ("call", "says", "outcome"),
    [(call, says, outcome) for call, rows in TOLD.items() for says, outcome in rows],
)
async def test_what_an_answer_proves(call: str, says: Any, outcome: str) -> None:
    alipay = Alipay(says)
    learned = await CALLS[call](channel(alipay))
    assert told(learned) == outcome
    assert len(alipay.asked) == 1
    assert learned.evidence.startswith('{"alipay_trade_')


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("alipay", "outcome"),
    [
        (Alipay(NotSentError("connect_refused")), "NotSent connect_refused"),
        (Alipay(AnswerLostError("timeout")), "Unknown timeout"),
        (Alipay("pay_succeeded", status=500), "Unknown http_500"),
        (Alipay("pay_succeeded", status=429), "Unknown http_429"),
        (Alipay("pay_succeeded", signing_key=OURS), "Unknown bad_signature"),
        (Alipay("pay_code_invalid", signing_key=OURS), "Unknown bad_signature"),
        (
            Alipay(b'{"error_response":{"code":"40002","sub_code":"isv.invalid-app-id"}}'),
            "Unknown unsigned",
        ),
        (Alipay(b"<html>502</html>"), "Unknown unreadable"),
        (Alipay(b""), "Unknown unreadable"),
    ],
)
async def test_what_is_not_believed(call: str, alipay: Alipay, outcome: str) -> None:
    assert told(await CALLS[call](channel(alipay))) == outcome


async def test_a_success_is_told_whole() -> None:
    paid = await channel(Alipay("pay_succeeded")).pay(CODE_PAY)
    assert isinstance(paid, Succeeded)
    assert (paid.amount, paid.channel_trade_no, paid.received_amount) == (
        12_850,
        "2026112122001425561407385962",
        12_850,
    )
    assert paid.paid_at == datetime(2026, 11, 21, 12, 15, 9, tzinfo=UTC)
    assert paid.payer_masked == "159****0000"
    assert [(each.amount, each.funded_by) for each in paid.discounts] == [
        (200, "merchant"),
        (300, "channel"),
    ]
