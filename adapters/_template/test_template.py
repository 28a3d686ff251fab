"""Template's answers and what they prove; one line an answer."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters._template.channel import TemplateChannel
from adapters._template.credentials import Credentials
from adapters._template.signing import HEADER, signature
from adapters.channel import CallbackRefused, PayRequest
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
    """Says what it is told, signed with `key`."""

    def __init__(self, says: Any, key: Secret = KEY, status: int = 200) -> None:
        self.says, self.key, self.status = says, key, status
        self.signing_executor = InlineExecutor()

    async def send(self, call: HttpCall) -> HttpAnswer:
        assert call.method == "POST"
        if isinstance(self.says, Exception):
            raise self.says
        body = json.dumps(self.says).encode()
        return HttpAnswer(
            status=self.status, headers={HEADER: signature(self.key, body)}, body=body
        )


def channel(wire: Wire) -> TemplateChannel:
    stored = {"merchant_id": "m1", "base_url": "https://pay.example.com", "key": KEY.reveal()}
    return TemplateChannel(msgspec.convert(stored, Credentials, dec_hook=decode_hook), wire)


@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (Wire(PAID), "Succeeded"),
        (Wire(PAID | {"amount": 12_851}), "Mismatch"),
        (Wire(PAID | {"out_trade_no": "TG2"}), "Mismatch"),
        (Wire(PAID | {"merchant_id": "m2"}), "Mismatch"),
        (Wire(PAID | {"state": "WAITING"}), "PayerActionNeeded"),
        (Wire(PAID | {"state": "ODD"}), "Unknown"),
        (Wire({"code": "NO_BALANCE"}), "Declined"),
        (Wire({"code": "EXISTS"}), "AlreadyExists"),
        (Wire({"code": "SOMETHING_NEW"}), "Unknown"),
        (Wire(PAID, key=Secret("another")), "Unknown"),
        (Wire(PAID, status=500), "Unknown"),
        (Wire(NotSentError("connect_refused")), "NotSent"),
        (Wire(AnswerLostError("timeout")), "Unknown"),
    ],
)
async def test_what_an_answer_to_a_payment_proves(wire: Wire, outcome: str) -> None:
    assert type(await channel(wire).pay(PAY)).__name__ == outcome


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (PAID | {"state": "WAITING", "qr_code": "https://qr"}, "PayerActionNeeded"),
        (PAID | {"state": "WAITING"}, "Unknown"),
        (PAID | {"out_trade_no": "TG2", "qr_code": "https://qr"}, "Mismatch"),
        ({"code": "EXISTS"}, "AlreadyExists"),
    ],
)
async def test_what_an_answer_to_a_qr_order_proves(said: dict[str, Any], outcome: str) -> None:
    order = replace(PAY, presented=ShownQr())
    assert type(await channel(Wire(said)).pay(order)).__name__ == outcome


@pytest.mark.parametrize(
    ("said", "key", "reason"),
    [
        (PAID, KEY, None),
        (PAID, Secret("another"), "bad_signature"),
        (PAID | {"merchant_id": "m2"}, KEY, "foreign_merchant"),
        (PAID | {"amount": None}, KEY, "malformed"),
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
