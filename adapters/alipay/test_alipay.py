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


def fixture(name: str, **changed: Any) -> dict[str, Any]:
    """The fixture with these fields changed; None leaves one out."""
    said: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return {key: value for key, value in (said | changed).items() if value is not None}


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


CALLS: dict[str, Callable[[AlipayChannel], Any]] = {
    "pay": lambda made: made.pay(CODE_PAY),
    "precreate": lambda made: made.pay(QR_PAY),
    "query": lambda made: made.query(TRADE),
    "cancel": lambda made: made.cancel(TRADE),
    "refund": lambda made: made.refund(REFUND),
    "refund_query": lambda made: made.query_refund(REFUND),
}


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
            "Unknown refused_unsigned",
        ),
        (Alipay(b'{"error_response":{"code":"10000"}}'), "Unknown unsigned"),
        (Alipay(b'{"error_response":{}}'), "Unknown unreadable"),
        (Alipay(b"<html>502</html>"), "Unknown unreadable"),
        (Alipay(b""), "Unknown unreadable"),
    ],
)
async def test_what_is_not_believed(call: str, alipay: Alipay, outcome: str) -> None:
    learned = await CALLS[call](channel(alipay))
    assert told(learned) == outcome
    assert outcome != "Unknown refused_unsigned" or "isv.invalid-app-id" in learned.evidence


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
