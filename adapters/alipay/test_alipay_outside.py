"""What leaves for Alipay, and whom an account trusts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from adapters.alipay.channel import AlipayChannel, build
from adapters.alipay.credentials import Credentials
from adapters.alipay.manifest import MANIFEST
from adapters.alipay.signing import (
    certificate_sn,
    request_content,
    root_certificate_sn,
)
from adapters.alipay.test_alipay import (
    CODE_PAY,
    NUMBER,
    OURS,
    QR_PAY,
    REFUND,
    THEIRS,
    TRADE,
    Alipay,
    SettledClock,
    account,
    channel,
    public_pem,
    told,
)
from adapters.alipay.test_alipay_callbacks import PAID, notify
from adapters.channel import CallbackRefused, Flow
from gateway.domain.presenting import PaymentCode
from security.errors import RsaKeyInvalid
from security.rsa_signing import load_public_key, rsa_verify
from security.secret import Secret

# --- what leaves


async def sent_by(call: Any, says: str) -> tuple[dict[str, str], dict[str, Any]]:
    alipay = Alipay(says)
    await call(channel(alipay))
    params = alipay.asked[0]
    assert rsa_verify(load_public_key(public_pem(OURS)), request_content(params), params["sign"])
    return params, msgspec.json.decode(params["biz_content"])


async def test_a_barcode_payment_carries_its_fence() -> None:
    params, biz = await sent_by(lambda made: made.pay(CODE_PAY), "pay_succeeded")
    assert (params["method"], params["timestamp"]) == ("alipay.trade.pay", "2026-11-21 20:15:05")
    assert params["notify_url"] == "https://pay.example.com/callbacks/acct_1"
    assert biz == {
        "out_trade_no": NUMBER,
        "total_amount": "128.50",
        "subject": "一号店 火锅 2 3",
        "auth_code": "281234567890123456",
        "scene": "bar_code",
        "product_code": "FACE_TO_FACE_PAYMENT",
        "query_options": [
            "voucher_detail_list",
            "fund_bill_list",
            "mdiscount_amount",
            "discount_amount",
        ],
        "time_expire": "2026-11-21 20:16:15",
        "timeout_express": "2m",
        "store_id": "store_1",
        "terminal_id": "term_1",
    }


async def test_a_face_is_a_code_of_a_scene_of_its_own() -> None:
    face = "fp" + "0aZ" * 11
    _, biz = await sent_by(
        lambda made: made.pay(replace(CODE_PAY, presented=PaymentCode(Secret(face)))),
        "pay_succeeded",
    )
    assert (biz["scene"], biz["auth_code"]) == ("security_code", face)


async def test_a_qr_code_counts_in_whole_minutes_rounded_up() -> None:
    params, biz = await sent_by(lambda made: made.pay(QR_PAY), "precreate_shown")
    assert params["method"] == "alipay.trade.precreate"
    assert (biz["qr_code_timeout_express"], biz["timeout_express"]) == ("5m", "5m")
    assert "auth_code" not in biz


@pytest.mark.parametrize(
    ("call", "says", "method", "biz"),
    [
        (
            "query",
            "query_paid",
            "alipay.trade.query",
            {
                "out_trade_no": NUMBER,
                "query_options": ["voucher_detail_list", "fund_bill_list", "mdiscount_amount"],
            },
        ),
        ("cancel", "cancel_nothing_there", "alipay.trade.cancel", {"out_trade_no": NUMBER}),
        (
            "refund",
            "refund_done",
            "alipay.trade.refund",
            {
                "out_trade_no": NUMBER,
                "refund_amount": "28.50",
                "out_request_no": "RF1",
                "refund_reason": "dish returned",
            },
        ),
        (
            "query_refund",
            "refund_query_done",
            "alipay.trade.fastpay.refund.query",
            {"out_trade_no": NUMBER, "out_request_no": "RF1", "query_options": ["gmt_refund_pay"]},
        ),
    ],
)
async def test_the_calls_that_follow_name_our_number(
    call: str, says: str, method: str, biz: dict[str, Any]
) -> None:
    subject = TRADE if call in {"query", "cancel"} else REFUND
    params, sent = await sent_by(lambda made: getattr(made, call)(subject), says)
    assert (params["method"], sent) == (method, biz)


async def test_a_repeated_refund_is_the_same_request() -> None:
    alipay = Alipay("refund_repeated")
    made = channel(alipay)
    await made.refund(REFUND)
    await made.refund(REFUND)
    assert alipay.asked[0] == alipay.asked[1]


# --- certificate mode


def certified(key: rsa.RSAPrivateKey, serial: int) -> str:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Ant Financial"),
        ]
    )
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
    )
    built = (
        builder.not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


CERTIFICATES = {
    "mode": "certificate",
    "alipay_public_key": None,
    "app_certificate": certified(OURS, 11),
    "alipay_certificate": certified(THEIRS, 22),
    "alipay_root_certificate": certified(THEIRS, 33),
}


class CertifiedAlipay(Alipay):
    """Names the certificate it signed with."""

    def __init__(self, says: Any, sn: str) -> None:
        super().__init__(says)
        self.sn = sn

    def _envelope(self, method: str) -> bytes:
        return super()._envelope(method)[:-1] + b',"alipay_cert_sn":"%s"}' % self.sn.encode()


@pytest.mark.parametrize(
    ("sn", "outcome"),
    [
        (certificate_sn(CERTIFICATES["alipay_certificate"] or ""), "Succeeded"),
        (certificate_sn(certified(THEIRS, 23)), "Unknown unknown_certificate"),
        ("", "Unknown unknown_certificate"),
    ],
)
async def test_only_the_pinned_certificate_is_believed(sn: str, outcome: str) -> None:
    alipay = CertifiedAlipay("pay_succeeded", sn)
    paid = await AlipayChannel(account(**CERTIFICATES), alipay, SettledClock()).pay(CODE_PAY)
    assert told(paid) == outcome
    assert alipay.asked[0]["app_cert_sn"] == certificate_sn(CERTIFICATES["app_certificate"] or "")
    assert alipay.asked[0]["alipay_root_cert_sn"] == root_certificate_sn(
        CERTIFICATES["alipay_root_certificate"] or ""
    )


async def test_an_answer_without_a_certificate_number_is_not_believed_in_certificate_mode() -> None:
    paid = await AlipayChannel(
        account(**CERTIFICATES), Alipay("pay_succeeded"), SettledClock()
    ).pay(CODE_PAY)
    assert told(paid) == "Unknown unknown_certificate"


def test_a_callback_of_another_certificate_is_refused_without_asking_for_it() -> None:
    believer = AlipayChannel(
        account(**CERTIFICATES), Alipay(AssertionError("a callback makes no call")), SettledClock()
    )
    assert believer.read_callback({}, PAID).kind == "pay"
    with pytest.raises(CallbackRefused, match="bad_signature"):
        believer.read_callback({}, notify("notify_paid", alipay_cert_sn="0" * 32))


# --- the account and the manifest


@pytest.mark.parametrize(
    "changed",
    [
        {"alipay_public_key": None},
        {"mode": "certificate"},
        {"mode": "hmac"},
        {"profile": "fast"},
        {"gateway_url": "openapi.alipay.com"},
        {"gateway_url": "https://openapi.alipay.com/gateway.do?charset=gbk"},
        {"second_gateway_url": "https://openapi.alipay.com/gateway.do"},
        {"second_gateway_url": "openapi2.alipay.com"},
        {"seller_id": ""},
        {"app_private_key": ""},
        {"sandbox": True},
    ],
)
def test_an_account_that_cannot_work_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        account(**changed)


@pytest.mark.parametrize("changed", [{"alipay_public_key": "AAAA"}, {"app_private_key": "AAAA"}])
def test_keys_that_cannot_be_read_are_refused_when_the_channel_is_made(
    changed: dict[str, str],
) -> None:
    with pytest.raises(RsaKeyInvalid):
        build(account(**changed), Alipay("pay_succeeded"), SettledClock())


@pytest.mark.parametrize(
    ("auth_code", "ours"),
    [
        ("2512345678901234", True),
        ("30" + "1" * 22, True),
        ("281234567890123456", True),
        ("30" + "1" * 23, False),
        ("251234567890123", False),
        ("241234567890123456", False),
        ("311234567890123456", False),
        ("134567890123456789", False),
        ("28123456789012345٦", False),
        ("281234567890123456\n", False),
        ("fp" + "0aZ" * 11, True),
        ("fp" + "0" * 32, False),
        ("fp" + "0" * 34, False),
        ("FP" + "0" * 33, False),
        ("fp" + "-" * 33, False),
    ],
)
def test_whose_payment_code_it_is(auth_code: str, ours: bool) -> None:
    assert any(pattern.fullmatch(auth_code) for pattern in MANIFEST.auth_codes) == ours


def test_the_schedule_cancels_before_the_request_dies_at_alipay() -> None:
    code = MANIFEST.schedule(Flow.CODE, "standard")
    assert code.acts_until_ms is not None
    assert code.typing_cancel_ms is not None
    assert (
        code.cancel_not_before_ms
        < (code.absent_cancel_ms or 0)
        < (code.unknown_cancel_ms or 0)
        < code.typing_cancel_ms
        < code.acts_until_ms
    )
    assert MANIFEST.schedule(Flow.CODE, "short").acts_until_ms == 7_000
    assert MANIFEST.credentials is Credentials
