import base64
import hashlib
import json
import random
import re
import time

import msgspec
import pytest
import structlog

from gateway.limits import REDACTION_DEPTH_MAX
from security import redaction
from security.redaction import (
    CARD_NUMBER,
    TOO_DEEP,
    Redaction,
    luhn_valid,
    mask_auth_code,
)
from security.secret import Secret

WECHAT, ALIPAY, UNIONPAY = "134567890123456789", "287654321098765432", "6212345678901234567"
ALIPAY_LONG = "301234567890123456789012"
FACE = "fp" + "0a9B" * 8 + "c"
CODES = Redaction(
    (
        re.compile(r"1[0-5][0-9]{16}"),
        re.compile(r"^(?:2[5-9]|30)[0-9]{14,22}$"),  # anchors change nothing
        re.compile(r"62[0-9]{17}"),
        re.compile(r"fp[0-9A-Za-z]{33}"),
    )
)
MASKED = {
    code: code[:2] + "*" * (len(code) - 2) for code in (WECHAT, ALIPAY, UNIONPAY, ALIPAY_LONG)
}
VISA, MASTERCARD, AMEX, UNIONPAY_CARD, UATP = (
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6228480402564890018",
    "135410014004955",
)
KEY = base64.b64encode(bytes(range(256)) * 4).decode()
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----"
SIG = "a7YbEyFokKOFQ0JLY6LaLqH8CSecy8vUr64qrS+snFI="


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        # payment codes
        (WECHAT, MASKED[WECHAT]),
        (ALIPAY, MASKED[ALIPAY]),
        (ALIPAY_LONG, MASKED[ALIPAY_LONG]),
        (UNIONPAY, MASKED[UNIONPAY]),
        (f"付款码{ALIPAY}已过期", f"付款码{MASKED[ALIPAY]}已过期"),
        (f"scanned {WECHAT}, then {ALIPAY}.", f"scanned {MASKED[WECHAT]}, then {MASKED[ALIPAY]}."),
        (f"({UNIONPAY})\n", f"({MASKED[UNIONPAY]})\n"),
        (f"face {FACE}", "face ***"),
        (f'{{"auth_code":"{ALIPAY}"}}', f'{{"auth_code":"{MASKED[ALIPAY]}"}}'),
        (
            f"{{'auth_code': '{ALIPAY}', 'amount': 1}}",
            f"{{'auth_code': '{MASKED[ALIPAY]}', 'amount': 1}}",
        ),
        ("auth_code=99999999999999999999", "auth_code=***"),
        (f"authCode={FACE}&x=1", "authCode=***&x=1"),
        (f"qrNo={UNIONPAY}&txnAmt=1", f"qrNo={MASKED[UNIONPAY]}&txnAmt=1"),
        # card numbers
        (VISA, CARD_NUMBER),
        (f"card {MASTERCARD} declined", f"card {CARD_NUMBER} declined"),
        (AMEX, CARD_NUMBER),
        (UATP, CARD_NUMBER),
        ("4222222222222", CARD_NUMBER),
        ("4111 1111 1111 1111", CARD_NUMBER),
        ("4111-1111-1111-1111", CARD_NUMBER),
        ("3782 822463 10005", CARD_NUMBER),
        (f"{MASTERCARD}=25121010000000000000", CARD_NUMBER),
        (f";{MASTERCARD}D2512101?", f";{CARD_NUMBER}?"),
        (f"卡号{MASTERCARD}。", f"卡号{CARD_NUMBER}。"),
        (f"accNo={MASTERCARD}&", "accNo=***&"),
        # parameters
        (
            f'TILLGATE-HMAC-SHA256 key="tk_A",ts=1,sig="{SIG}"',
            'TILLGATE-HMAC-SHA256 key="tk_A",ts=1,sig="***"',
        ),
        (f"app_id=2021&sign={SIG}&method=x", "app_id=2021&sign=***&method=x"),
        (f'mchid="1",signature="{SIG}",serial_no="7"', 'mchid="1",signature="***",serial_no="7"'),
        (
            f"Wechatpay-Signature: {SIG}\nWechatpay-Serial: 7",
            "Wechatpay-Signature: ***\nWechatpay-Serial: 7",
        ),
        ("https://h/p?token=abc&x=1", "https://h/p?token=***&x=1"),
        ("password = 'two words', host=h", "password = '***', host=h"),
        ('{"api_key": "a\\"b", "n": 1}', '{"api_key": "***", "n": 1}'),
        (
            '{"body":"{\\"pin\\":\\"123456\\",\\"a\\":1}"}',
            '{"body":"{\\"pin\\":\\"***\\",\\"a\\":1}"}',
        ),
        ('{"pin":123456}', '{"pin":***}'),
        ("client_secret: hunter2", "client_secret: ***"),
        ("appAuthToken=201510BBaa", "appAuthToken=***"),
        ('"card":{"pin_block":"0A1B","last4":"0018"}', '"card":{"pin_block":"***","last4":"0018"}'),
        (
            '"card":{"track2_encrypted":"A==","emv":"9F26"}',
            '"card":{"track2_encrypted":"***","emv":"***"}',
        ),
        ("TILLGATE_MASTER_KEY=v1:" + "A" * 43 + "=", "TILLGATE_MASTER_KEY=***"),
        ("password=", "password="),
        ('password=""', 'password=""'),
        ('password="unclosed text', 'password="***'),
        # credentials
        ("Authorization: Bearer eyJhbGciOi.x.y\nHost: h", "Authorization: ***\nHost: h"),
        ("Cookie: a=1; session=abc\r\nHost: h", "Cookie: ***\nHost: h"),
        ("sent Bearer eyJhbGciOi.x.y there", "sent Bearer *** there"),
        ("sent Basic dXNlcjpwYXNzd29yZA== there", "sent Basic *** there"),
        ("used sk_live_abcdefghijklmnop.", "used sk_live_***."),
        ("sk_test_0123456789abcdef", "sk_test_***"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"),
        ("line v2:" + "A" * 43 + "= here", "line v2:*** here"),
        ("MII" + KEY.replace("+", "a").replace("/", "b"), "[key]"),
        # PEM
        (f"before {PEM} after", "before [PEM block] after"),
        (PEM[:200], "[PEM block]"),
        (json.dumps({"k": PEM}), '{"k": "[PEM block]"}'),
    ],
)
def test_hidden(text, redacted):
    assert CODES.text(text) == redacted
    assert CODES.text(redacted) == redacted


def base32(number):
    return base64.b32encode(hashlib.sha256(str(number).encode()).digest()).decode()[:26]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "payment.attempt.sent",
        "pay_" + base32(1),
        "att_" + base32(2).lower(),
        "acct_alipay_1",
        "late.TG" + base32(3),
        "T08-0042",
        "order 20261121000100020003",
        "2026112122001425135012345678",  # Alipay trade_no, 28 digits
        "4200002026202611211234567890",  # WeChat transaction_id, 28 digits
        "202611211234567890128",  # UnionPay queryId, 21 digits
        "2088102146225136",  # Alipay account id that passes Luhn: no card begins with 20
        "2026112100010007",  # order number that begins with a date, passes Luhn
        "2026-11-21T08:35:41.123456Z",
        "2026-11-21 08:35:41 2026-11-22 08:35:41",
        "1795219200",
        "1795219200123",
        "1795219200123456",
        "1795219200123456789",
        "12850",
        "10000000000",
        "4111111111111112",  # as long as a card, fails Luhn
        "amount 12850 fen of 10000000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "sha256:" + hashlib.sha256(b"body").hexdigest(),
        "key=tk_" + base32(4),
        "idempotency_key=idem-0001",
        "signing took 3 ms",
        "sk_",
        "Basic checks: passed",
        "design: done; assign=finance; cosign: x",
        "http://127.0.0.1:8080/v1/payments?order_no=T08-0042",
        "key_version=2 tokens=5 sigma=1",
        '{"code":"ACQ.PAYMENT_AUTH_CODE_INVALID","out_trade_no":"TGABCDEFGHIJKLMNOPQRSTUVWXYZ"}',
        "付款码无效，请重新扫码",
        "fp",
        'next token="',
        "the basic settings, Basic authentication",
    ],
)
def test_untouched(text):
    assert CODES.text(text) is text


def test_ids_are_never_mangled():
    for number in range(20_000):
        out_trade_no = "TG" + base32(number)
        for text in (
            out_trade_no,
            f"pay_{out_trade_no[2:]}",
            f"surplus.{out_trade_no}",
            f"out_trade_no={out_trade_no}&total_amount=128.50",
        ):
            assert CODES.text(text) is text


def test_times_are_never_mangled():
    for moment_us in range(1_795_219_200_000_000, 1_795_219_200_001_000):
        assert CODES.event(
            None, "info", {"ms": moment_us // 1000, "us": moment_us, "ns": moment_us * 1000 + 7}
        ) == {
            "ms": moment_us // 1000,
            "us": moment_us,
            "ns": moment_us * 1000 + 7,
        }


def test_any_card_in_any_surroundings():
    seed = time.time_ns()
    chance = random.Random(seed)
    for _ in range(3000):
        payload = chance.choice("3456789") + "".join(
            chance.choices("0123456789", k=chance.randint(11, 17))
        )
        card = next(payload + digit for digit in "0123456789" if luhn_valid(payload + digit))
        left, right = (
            chance.choice(["", " ", '"', ":", "=", ",", "卡", "\n", "(", "_"]) for _ in range(2)
        )
        assert card not in CODES.text(f"x{left or ' '}{card}{right}"), (
            f"seed {seed}: {card!r} between {left!r} and {right!r}"
        )


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("79927398713", True),
        ("79927398710", False),
        (VISA, True),
        (UNIONPAY_CARD, True),
        (AMEX, True),
        ("0", True),
    ],
)
def test_luhn(digits, valid):
    assert luhn_valid(digits) is valid


@pytest.mark.parametrize(
    ("code", "masked"),
    [
        (ALIPAY, "28****************"),
        (WECHAT, "13****************"),
        ("2" * 24, "22" + "*" * 22),
        ("", "***"),
        ("28", "***"),
        ("123456", "***"),
        ("2" * 15, "***"),
        ("2" * 25, "***"),
        (FACE, "***"),
        ("２" * 18, "***"),
        (ALIPAY + "\n", "***"),
    ],
)
def test_mask_auth_code(code, masked):
    assert mask_auth_code(code) == masked


class Scan(msgspec.Struct):
    auth_code: str
    amount: int


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("amount", 12850, 12850),
        ("ratio", 0.5, 0.5),
        ("paid", True, True),
        ("why", None, None),
        ("why", f"card {VISA}", f"card {CARD_NUMBER}"),
        ("number", int(VISA), CARD_NUMBER),
        ("number", int(WECHAT), CARD_NUMBER),
        ("auth_code", ALIPAY, MASKED[ALIPAY]),
        ("auth_code", "rubbish", "***"),
        ("auth_code", None, None),
        ("signature", True, True),
        ("pin", "123456", "***"),
        ("pin", 123456, "***"),
        ("authorization", "TILLGATE-HMAC-SHA256 key", "***"),
        ("secret", {"a": 1}, {"a": "***"}),
        ("secret", ["a"], "***"),
        # What is hidden whole may have a secret for a name.
        ("secret", {"sk_live_abcdefghijklmnop": 1}, {"sk_live_***": "***"}),
        ("pin", {ALIPAY: 1, VISA: {"a": 1}}, {MASKED[ALIPAY]: "***", CARD_NUMBER: "***"}),
        ("body", b"raw", "[3 bytes]"),
        ("key", Secret("canary"), "***"),
        ("scan", Scan(ALIPAY, 1), f"Scan(auth_code='{MASKED[ALIPAY]}', amount=1)"),
        ("error", ValueError(f"bad {VISA}"), f"ValueError('bad {CARD_NUMBER}')"),
        (
            "seen",
            [VISA, (WECHAT, {"x": ALIPAY})],
            [CARD_NUMBER, [MASKED[WECHAT], {"x": MASKED[ALIPAY]}]],
        ),
        (
            "headers",
            {"Authorization": "Basic abc", "X-Request-Id": "1"},
            {"Authorization": "***", "X-Request-Id": "1"},
        ),
        ("by_code", {ALIPAY: 1}, {MASKED[ALIPAY]: 1}),
        ("exc_info", True, True),
        ("exc_info", VISA, CARD_NUMBER),
    ],
)
def test_event(name, value, shown):
    assert CODES.event(None, "info", {name: value}) == {name: shown}


NAMES = """
authorization Proxy-Authorization cookie Set-Cookie sig sign passwd pwd qrNo pin pin_block
member_code emv pan card_no cardNumber accNo cvv cvv2 cvn2 cvc track_data track1 track2 track3
track2_encrypted secret client_secret password db_password token appAuthToken signature
Wechatpay-Signature private_key app_private_key master_key TILLGATE_MASTER_KEY api_key
api_v3_key APIv3Key auth_code authCode
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_a_secret_is_known_by_its_name_in_an_event_and_in_a_text(name):
    assert CODES.event(None, "info", {name: "canary"}) == {name: "***"}
    assert CODES.event(None, "info", {"body": {name: "canary"}}) == {"body": {name: "***"}}
    for text in (f"{name}=canary", f'{{"{name}": "canary", "x": 1}}', f"{name}: canary"):
        assert "canary" not in CODES.text(text), text


def test_every_name_and_ending_has_its_line():
    plain = {re.sub("[-_]", "", name).lower() for name in NAMES.split()}
    assert plain >= redaction._SECRET_NAMES
    for ending in redaction._SECRET_ENDINGS:
        # By that ending alone: no other name or ending explains it.
        alone = [
            name
            for name in plain - redaction._SECRET_NAMES
            if [each for each in redaction._SECRET_ENDINGS if name.endswith(each)] == [ending]
        ]
        assert alone, f"no name in the list needs the ending {ending}"


def test_only_the_codes_of_channels_that_are_known_are_payment_codes():
    assert Redaction(()).text(ALIPAY) is ALIPAY
    assert Redaction((re.compile("91[0-9]{16}"),)).text("91" + "1" * 16) == "91" + "*" * 16


def test_a_number_too_long_to_print_does_no_harm():
    assert CODES.event(None, "info", {"huge": 10**5000}) == {"huge": 10**5000}


def test_event_is_not_changed_in_place():
    inner = {"auth_code": ALIPAY}
    CODES.event(None, "info", {"inner": inner})
    assert inner == {"auth_code": ALIPAY}


def test_depth_is_bounded():
    value: object = VISA
    for _ in range(1000):
        value = [value]
    shown = CODES.event(None, "info", {"deep": value})["deep"]
    assert str(shown).count("[") == REDACTION_DEPTH_MAX + 1
    assert TOO_DEEP in str(shown)


def test_in_a_structlog_chain():
    lines = []
    log = structlog.wrap_logger(
        structlog.PrintLogger(
            file=type(
                "Sink", (), {"write": lambda _, text: lines.append(text), "flush": lambda _: None}
            )()
        ),
        processors=[
            structlog.processors.format_exc_info,
            CODES.event,
            structlog.processors.JSONRenderer(),
        ],
    )
    event = f"scan {WECHAT} failed"
    try:
        raise ValueError(f"channel said {VISA} is wrong, auth_code={ALIPAY}")
    except ValueError:
        log.exception(
            event, out_trade_no="TG" + base32(1), request={"auth_code": ALIPAY, "pin": "123456"}
        )
    line = "".join(lines)
    assert "TG" + base32(1) in line
    assert not any(secret in line for secret in (VISA, ALIPAY, WECHAT, "123456"))
