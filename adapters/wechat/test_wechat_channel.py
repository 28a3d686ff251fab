"""The channel over a transport that answers from a script and signs like WeChat Pay: what leaves,
what is believed, what is kept.
"""

import datetime as dt
import json
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from wechatpayv3 import utils as sdk

from adapters.channel import REFUSED_UNSIGNED, UNLISTED_CODE, Flow
from adapters.transport import AnswerLostError, HttpAnswer, HttpCall, NotSentError, TransportError
from adapters.wechat.channel import WechatChannel, build
from adapters.wechat.credentials import Credentials
from adapters.wechat.test_wechat import (
    AUTH_CODE,
    NUMBER,
    REFUND_NO,
    SENT_AT,
    TRADE_NO,
    US,
    fixture,
    pay,
    refund,
    shape,
    trade,
)
from adapters.wechat.test_wechat_signing import certificate, pem, public_pem
from gateway.domain import outcomes as out
from security.secret import decode_hook

PUB, API_V3_KEY = "PUB_KEY_ID_0112300001092026112100000001", "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
MERCHANT_KEY, PLATFORM, NEXT, STRANGER = (
    generate_private_key(public_exponent=65537, key_size=2048) for _ in range(4)
)
EXECUTOR = ThreadPoolExecutor(1)
CREDENTIALS: dict[str, Any] = {
    "appid": US.appid,
    "mchid": US.mchid,
    "base_url": "https://api.mch.weixin.qq.com",
    "mode": "public_key",
    "profile": "standard",
    "merchant_serial": "5A7C0F" + "0" * 34,
    "merchant_private_key": pem(MERCHANT_KEY),
    "api_v3_key": API_V3_KEY,
    "platform_keys": {PUB: public_pem(PLATFORM)},
    "platform_certificates": [certificate(NEXT, 0xABCDEF)],
}


class StillClock:
    """It is always the moment the pay was sent, plus `later`."""

    def __init__(self, later: float = 0) -> None:
        self.later = later

    def now(self) -> dt.datetime:
        return SENT_AT + dt.timedelta(seconds=self.later)

    def monotonic(self) -> float:
        return self.later


class ScriptedTransport:
    """Keeps every call; answers each with the next word of the script."""

    def __init__(self, *script: HttpAnswer | TransportError) -> None:
        self.script = list(script)
        self.calls: list[HttpCall] = []

    @property
    def signing_executor(self) -> Executor:
        return EXECUTOR

    async def send(self, call: HttpCall) -> HttpAnswer:
        self.calls.append(call)
        word = self.script.pop(0)
        if isinstance(word, TransportError):
            raise word
        return word


def channel(
    *script: HttpAnswer | TransportError, **changed: Any
) -> tuple[WechatChannel, ScriptedTransport]:
    credentials = msgspec.convert(CREDENTIALS | changed, Credentials, dec_hook=decode_hook)
    transport = ScriptedTransport(*script)
    return build(credentials, transport, StillClock()), transport


def signed(
    body: bytes, status: int = 200, key: Any = PLATFORM, serial: str = PUB, at: int | None = None
) -> HttpAnswer:
    at = int(SENT_AT.timestamp()) if at is None else at
    headers = {
        "Wechatpay-Timestamp": str(at),
        "Wechatpay-Nonce": "5K8264ILTKCH16CQ2502",
        "Wechatpay-Serial": serial,
    }
    signature = sdk.rsa_sign(key, f"{at}\n{headers['Wechatpay-Nonce']}\n{body.decode()}\n")
    return HttpAnswer(
        status=status, headers=headers | {"Wechatpay-Signature": signature}, body=body
    )


def told(name: str, status: int = 200, **changed: Any) -> HttpAnswer:
    return signed(fixture(name, status, **changed).body, status)


async def test_codepay_is_signed_over_what_leaves() -> None:
    wechat, transport = channel(told("codepay_succeeded"))
    outcome = await wechat.pay(pay(description="面" * 100, notify_url="https://never.sent"))
    [call] = transport.calls
    assert (call.method, call.url, call.deadline) == (
        "POST",
        "https://api.mch.weixin.qq.com/v3/pay/transactions/codepay",
        2.0,
    )
    assert json.loads(call.body) == {
        "appid": US.appid,
        "mchid": US.mchid,
        "description": "面" * 42,
        "out_trade_no": NUMBER,
        "payer": {"auth_code": AUTH_CODE},
        "amount": {"total": 12850, "currency": "CNY"},
        "scene_info": {"device_id": "term_1", "store_info": {"id": "store_1"}},
    }
    fields = dict(
        part.split("=", 1)
        for part in call.headers["Authorization"]
        .removeprefix("WECHATPAY2-SHA256-RSA2048 ")
        .split(",")
    )
    fields = {name: value.strip('"') for name, value in fields.items()}
    assert (fields["mchid"], fields["serial_no"], fields["timestamp"]) == (
        US.mchid,
        "5A7C0F" + "0" * 34,
        str(int(SENT_AT.timestamp())),
    )
    head = f"POST\n/v3/pay/transactions/codepay\n{fields['timestamp']}"
    assert sdk.rsa_verify(
        head,
        fields["nonce_str"],
        call.body.decode(),
        fields["signature"],
        MERCHANT_KEY.public_key(),
    )
    assert call.headers["Wechatpay-Serial"] == PUB
    assert isinstance(outcome, out.Succeeded)
    assert (outcome.amount, outcome.received_amount, outcome.channel_trade_no) == (
        12850,
        12850,
        TRADE_NO,
    )
    assert outcome.paid_at == dt.datetime(2026, 11, 21, 4, 30, 5, tzinfo=dt.UTC)
    assert outcome.payer_masked == "oUpF****eS6o"


@pytest.mark.parametrize(
    ("description", "reason", "sent"),
    [
        ("火锅🍲", "辣🌶了", ("火锅", "辣了")),
        ("🍲🍜", "🌶", (NUMBER, None)),
        (" 🍲 ", " ", (NUMBER, None)),
    ],
)
async def test_what_wechat_pay_refuses_is_not_sent(
    description: str, reason: str, sent: tuple[str, str | None]
) -> None:
    wechat, transport = channel(
        told("codepay_succeeded"), told("native_created"), told("refund_processing")
    )
    await wechat.pay(pay(description=description))
    await wechat.pay(pay(Flow.QR, description=description))
    await wechat.refund(refund(reason=reason))
    codepay, native, back = (json.loads(call.body) for call in transport.calls)
    assert (codepay["description"], native["description"]) == (sent[0], sent[0])
    assert back.get("reason") == sent[1]


async def test_native_carries_the_expiry_and_where_to_call_back() -> None:
    wechat, transport = channel(
        told("native_created"), told("native_created"), notify_url="https://pay.example/fallback"
    )
    outcome = await wechat.pay(pay(Flow.QR))
    await wechat.pay(pay(Flow.QR, notify_url=None))
    first, second = (json.loads(call.body) for call in transport.calls)
    assert first["time_expire"] == "2026-11-21T12:35:00+08:00"  # rounded down
    assert (first["notify_url"], second["notify_url"]) == (
        "https://pay.example/callbacks/acct_1",
        "https://pay.example/fallback",
    )
    assert outcome == out.PayerActionNeeded(
        qr_code="weixin://wxpay/bizpayurl?pr=p4lpSuKzz", evidence=outcome.evidence
    )


async def test_paths_and_bodies_of_the_calls_that_follow() -> None:
    done = signed(b"", 204)
    wechat, transport = channel(
        told("query_not_paid"), done, done, told("refund_processing"), told("refund_processing")
    )
    await wechat.query(trade())
    await wechat.cancel(trade(Flow.CODE))
    await wechat.cancel(trade(Flow.QR))
    await wechat.refund(refund())
    await wechat.query_refund(refund())
    of_trade = f"https://api.mch.weixin.qq.com/v3/pay/transactions/out-trade-no/{NUMBER}"
    refunds = "https://api.mch.weixin.qq.com/v3/refund/domestic/refunds"
    body = {
        "out_trade_no": NUMBER,
        "out_refund_no": REFUND_NO,
        "amount": {"refund": 2850, "total": 12850, "currency": "CNY"},
    }
    assert [
        (call.operation, call.method, call.url, json.loads(call.body or "null"))
        for call in transport.calls
    ] == [
        ("query", "GET", f"{of_trade}?mchid={US.mchid}", None),
        ("reverse", "POST", f"{of_trade}/reverse", {"appid": US.appid, "mchid": US.mchid}),
        ("close", "POST", f"{of_trade}/close", {"mchid": US.mchid}),
        ("refund", "POST", refunds, body | {"reason": "上错菜"}),
        ("refund_query", "GET", f"{refunds}/{REFUND_NO}", None),
    ]
    assert len({call.headers["Authorization"] for call in transport.calls}) == len(transport.calls)


async def test_certificate_mode_names_no_platform_key_and_keeps_a_path_prefix() -> None:
    answer = signed(fixture("query_not_paid").body, key=NEXT, serial="00abcdef")
    wechat, transport = channel(
        answer, mode="platform_certificate", base_url="http://127.0.0.1:1/wechat/", platform_keys={}
    )
    assert isinstance(await wechat.query(trade()), out.Pending)
    assert "Wechatpay-Serial" not in transport.calls[0].headers
    assert transport.calls[0].url.startswith("http://127.0.0.1:1/wechat/v3/pay/")


BODY = fixture("codepay_succeeded").body
LATE = int(SENT_AT.timestamp()) - 301


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (NotSentError("connect_refused"), out.NotSent(reason="connect_refused")),
        (AnswerLostError("timeout"), out.Unknown(reason="timeout")),
        (
            HttpAnswer(status=200, headers={}, body=BODY),
            out.Unknown(reason="unsigned", evidence="HTTP 200"),
        ),
        (
            HttpAnswer(status=204, headers={}, body=b""),
            out.Unknown(reason="unsigned", evidence="HTTP 204"),
        ),
        (
            HttpAnswer(status=502, headers={}, body=b"<html>"),
            out.Unknown(reason="unsigned", evidence="HTTP 502"),
        ),
        (
            HttpAnswer(status=401, headers={}, body=b'{"code":"SIGN_ERROR"}'),
            out.Unknown(
                reason="refused_unsigned", evidence='HTTP 401, unsigned: {"code":"SIGN_ERROR"}'
            ),
        ),
        (
            HttpAnswer(status=403, headers={}, body=b'{"code":"NOT_ENOUGH"}'),
            out.Unknown(
                reason="refused_unsigned", evidence='HTTP 403, unsigned: {"code":"NOT_ENOUGH"}'
            ),
        ),
        (
            HttpAnswer(status=429, headers={}, body=b""),
            out.Unknown(reason="refused_unsigned", evidence="HTTP 429, unsigned: "),
        ),
        (signed(BODY, key=STRANGER), out.Unknown(reason="bad_signature", evidence="HTTP 200")),
        (
            signed(BODY, key=STRANGER, serial="5A7C0F"),
            out.Unknown(reason="unknown_key", evidence="HTTP 200"),
        ),
        (signed(BODY, at=LATE), out.Unknown(reason="stale", evidence="HTTP 200")),
    ],
)
async def test_what_is_not_believed(word: HttpAnswer | TransportError, expected: Any) -> None:
    wechat, transport = channel(*[word] * 6)
    assert await wechat.pay(pay()) == expected
    assert await wechat.query(trade()) == expected
    assert await wechat.cancel(trade()) == expected
    assert await wechat.cancel(trade(Flow.QR)) == expected
    assert await wechat.refund(refund()) == expected
    assert await wechat.query_refund(refund()) == expected
    assert len(transport.calls) == 6  # one request a call, whatever came of it


async def test_an_unsigned_refusal_is_unknown_and_quoted() -> None:
    wechat, _ = channel(HttpAnswer(status=400, headers={}, body=b'{"code": "PARAM_ERROR"}'))
    outcome = await wechat.pay(pay())
    assert shape(outcome) == (out.Unknown, REFUSED_UNSIGNED)
    assert outcome.evidence == 'HTTP 400, unsigned: {"code": "PARAM_ERROR"}'


async def test_an_unlisted_code_is_unknown_and_its_words_are_told_whole() -> None:
    wechat, _ = channel(signed(b'{"code": "SURPRISE", "message": "?"}', 400))
    outcome = await wechat.pay(pay())
    assert shape(outcome) == (out.Unknown, UNLISTED_CODE)
    assert outcome.evidence == 'HTTP 400 {"code": "SURPRISE", "message": "?"}'


@pytest.mark.parametrize(
    ("main", "second", "hosts"),
    [
        (
            "https://api.mch.weixin.qq.com",
            None,
            ["https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com"],
        ),
        (
            "https://api2.mch.weixin.qq.com/",
            None,
            ["https://api2.mch.weixin.qq.com", "https://api.mch.weixin.qq.com"],
        ),
        (
            "https://api.mch.weixin.qq.com",
            "https://line.example/w",
            ["https://api.mch.weixin.qq.com", "https://line.example/w"],
        ),
        ("https://line.example/w/", None, ["https://line.example/w"]),
    ],
)
async def test_the_request_names_the_host(main: str, second: str | None, hosts: list[str]) -> None:
    lost = [AnswerLostError("timeout") for _ in hosts]
    wechat, transport = channel(*lost, base_url=main, second_base_url=second)
    assert wechat.hosts == len(hosts)
    for host in range(wechat.hosts):
        await wechat.pay(msgspec.structs.replace(pay(), host=host))
    assert [call.url for call in transport.calls] == [
        f"{host}/v3/pay/transactions/codepay" for host in hosts
    ]
    assert len({call.body for call in transport.calls}) == 1
    for call in transport.calls:
        fields = dict(
            part.split("=", 1)
            for part in call.headers["Authorization"]
            .removeprefix("WECHATPAY2-SHA256-RSA2048 ")
            .split(",")
        )
        fields = {name: value.strip('"') for name, value in fields.items()}
        # The path is signed, the host is not.
        head = f"POST\n{urlsplit(call.url).path}\n{fields['timestamp']}"
        assert sdk.rsa_verify(
            head,
            fields["nonce_str"],
            call.body.decode(),
            fields["signature"],
            MERCHANT_KEY.public_key(),
        )
