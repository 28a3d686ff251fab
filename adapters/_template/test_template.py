"""Template's answers and what they prove; one line an answer."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters._template import translate
from adapters._template.channel import TemplateChannel
from adapters._template.credentials import Credentials
from adapters._template.signing import HEADER, signature
from adapters.channel import CallbackRefused, Flow, PayRequest, RefundRequest, TradeRef
from adapters.transport import AnswerLostError, HttpAnswer, HttpCall, InlineExecutor, NotSentError
from gateway.domain.presenting import PaymentCode, ShownQr
from security.secret import Secret, decode_hook

KEY = Secret("0123456789abcdef")
PAID: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "paid.json").read_text())
SENT_AT = datetime(2026, 11, 21, 12, 15, tzinfo=UTC)
PAY = PayRequest(
    out_trade_no="TG1",
    amount=12_850,
    currency="CNY",
    description="lunch",
    presented=PaymentCode(Secret("911234567890123400")),
    store_id="store_1",
    terminal_id="term_1",
    operator_id="",
    sent_at=SENT_AT,
    not_after=SENT_AT + timedelta(seconds=70),
    notify_url=None,
    deadline=0.0,
)


class Wire:
    """Says what it is told, signed with `key`; without a key it signs nothing."""

    def __init__(self, says: Any, key: Secret | None = KEY, status: int = 200) -> None:
        self.says, self.key, self.status = says, key, status
        self.signing_executor = InlineExecutor()

    async def send(self, call: HttpCall) -> HttpAnswer:
        assert call.method == "POST"
        if isinstance(self.says, Exception):
            raise self.says
        body = self.says if isinstance(self.says, bytes) else json.dumps(self.says).encode()
        headers = {} if self.key is None else {HEADER: signature(self.key, body)}
        return HttpAnswer(status=self.status, headers=headers, body=body)


def channel(wire: Wire) -> TemplateChannel:
    stored = {"merchant_id": "m1", "base_url": "https://pay.example.com", "key": KEY.reveal()}
    return TemplateChannel(msgspec.convert(stored, Credentials, dec_hook=decode_hook), wire)


def told(outcome: Any) -> str:
    """An outcome in a word or two, for the tables below."""
    reason = getattr(outcome, "reason", "") or getattr(outcome, "field", "")
    return f"{type(outcome).__name__} {reason}".strip()


@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (Wire(PAID), "Succeeded"),
        (Wire(PAID | {"amount": 12_851}), "Mismatch amount"),
        (Wire(PAID | {"out_trade_no": "TG2"}), "Mismatch out_trade_no"),
        (Wire(PAID | {"merchant_id": "m2"}), "Mismatch merchant_id"),
        (Wire(PAID | {"trade_no": None}), "Unknown incomplete"),
        (Wire(PAID | {"qr_code": None, "out_refund_no": None}), "Succeeded"),  # left out
        (Wire(PAID | {"amount": 128.5}), "Unknown unreadable"),
        (Wire(PAID | {"state": "WAITING"}), "PayerActionNeeded"),
        (Wire(PAID | {"state": "CLOSED"}), "Unknown unlisted_code"),  # not as the answer to a pay
        (Wire(PAID | {"state": "ODD"}), "Unknown unlisted_code"),
        (Wire(PAID | {"state": None}), "Unknown status_absent"),
        (Wire({"code": "SOMETHING_NEW"}), "Unknown unlisted_code"),
        (Wire(PAID, key=Secret("another")), "Unknown bad_signature"),
        (Wire(PAID, key=None), "Unknown bad_signature"),
        (Wire({"code": "BAD_SIGNATURE"}, key=None, status=401), "Unknown refused_unsigned"),
        (Wire({"code": "BAD_REQUEST"}, status=400), "Unknown http_400"),
        (Wire(PAID, status=500), "Unknown http_500"),
        (Wire(b"<html>"), "Unknown unreadable"),
        (Wire(b"[" * 60_000), "Unknown unreadable"),
        (Wire(NotSentError("connect_refused")), "NotSent connect_refused"),
        (Wire(AnswerLostError("timeout")), "Unknown timeout"),
    ],
)
async def test_what_an_answer_to_a_payment_proves(wire: Wire, outcome: str) -> None:
    assert told(await channel(wire).pay(PAY)) == outcome


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (PAID | {"state": "WAITING", "qr_code": "https://qr"}, "PayerActionNeeded"),
        (PAID | {"state": "WAITING"}, "Unknown incomplete"),
        (PAID | {"out_trade_no": "TG2", "qr_code": "https://qr"}, "Mismatch out_trade_no"),
        ({"code": "EXISTS"}, "AlreadyExists"),
    ],
)
async def test_what_an_answer_to_a_qr_order_proves(said: dict[str, Any], outcome: str) -> None:
    order = replace(PAY, presented=ShownQr())
    assert told(await channel(Wire(said)).pay(order)) == outcome


TRADE = TradeRef(
    out_trade_no="TG1",
    amount=12_850,
    currency="CNY",
    flow=Flow.CODE,
    sent_at=SENT_AT,
    channel_trade_no=None,
    deadline=0.0,
)
REFUND = RefundRequest(
    out_trade_no="TG1",
    channel_trade_no=None,
    out_refund_no="RF1",
    total_amount=12_850,
    refund_amount=2_850,
    currency="CNY",
    reason="",
    notify_url=None,
    deadline=0.0,
)
CALLS: dict[str, Any] = {
    "pay": lambda made: made.pay(PAY),
    "query": lambda made: made.query(TRADE),
    "cancel": lambda made: made.cancel(TRADE),
    "refund": lambda made: made.refund(REFUND),
    "refund_query": lambda made: made.query_refund(REFUND),
}
WORDS = {
    "pay": {
        "NO_BALANCE": "Declined",
        "CODE_INVALID": "Declined",
        "MERCHANT_BLOCKED": "Declined",
        "EXPIRED": "Declined",
        "EXISTS": "AlreadyExists",
        "SYSTEM_ERROR": "Unknown undecided",
    },
    "query": {"NOT_FOUND": "NotFound", "SYSTEM_ERROR": "Unknown undecided"},
    "cancel": {
        "NOT_FOUND": "NothingThere",
        "AGAIN": "CallAgain",
        "SYSTEM_ERROR": "CallAgain",
        "TOO_LATE": "UseRefund",
    },
    "refund": {"NOT_REFUNDABLE": "RefundDeclined", "SYSTEM_ERROR": "Unknown undecided"},
    "refund_query": {"NOT_FOUND": "RefundNotFound", "SYSTEM_ERROR": "Unknown undecided"},
}
TABLES = {
    "pay": translate.PAY_CODES,
    "query": translate.QUERY_CODES,
    "cancel": translate.CANCEL_CODES,
    "refund": translate.REFUND_CODES,
    "refund_query": translate.REFUND_QUERY_CODES,
}


@pytest.mark.parametrize(
    ("call", "word", "outcome"),
    [(call, word, outcome) for call, words in WORDS.items() for word, outcome in words.items()],
)
async def test_what_a_word_proves(call: str, word: str, outcome: str) -> None:
    assert told(await CALLS[call](channel(Wire({"code": word})))) == outcome


def test_every_word_of_the_tables_has_its_line() -> None:
    assert {call: [*table] for call, table in TABLES.items()} == {
        call: [*words] for call, words in WORDS.items()
    }


@pytest.mark.parametrize(
    ("said", "key", "reason"),
    [
        (PAID, KEY, None),
        (PAID, Secret("another"), "bad_signature"),
        (PAID | {"merchant_id": "m2"}, KEY, "foreign_merchant"),
        (PAID | {"amount": None}, KEY, "malformed"),
        (PAID | {"qr_code": None}, KEY, None),
    ],
)
def test_which_callbacks_are_believed(
    said: dict[str, Any], key: Secret, reason: str | None
) -> None:
    body = json.dumps(said).encode()
    reader = channel(Wire(None))
    if reason is None:
        assert (
            reader.read_callback({HEADER.lower(): signature(key, body)}, body).out_trade_no == "TG1"
        )
    else:
        with pytest.raises(CallbackRefused, match=reason):
            reader.read_callback({HEADER: signature(key, body)}, body)
