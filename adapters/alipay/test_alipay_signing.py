"""Alipay's canonical strings, the scanner and certificate numbers,
with `python-alipay-sdk` as a second opinion.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar
from urllib.parse import urlencode

import pytest
from alipay import AliPay, DCAliPay
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.alipay import wire
from adapters.alipay.signing import (
    certificate_sn,
    json_members,
    notify_content,
    open_answer,
    read_notify,
    request_content,
    root_certificate_sn,
)
from gateway.domain.money import yuan
from security.rsa_signing import load_public_key, rsa_verify

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PEM = serialization.Encoding.PEM
PRIVATE_PEM = KEY.private_bytes(
    PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()
PUBLIC_PEM = (
    KEY.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)
OTHER = AliPay(appid="1", app_private_key_string=PRIVATE_PEM, alipay_public_key_string=PUBLIC_PEM)
Taken = ParamSpec("Taken")
Given = TypeVar("Given")


def unless_refused(
    reader: Callable[Taken, Given], *args: Taken.args, **named: Taken.kwargs
) -> Given | None:
    try:
        return reader(*args, **named)
    except ValueError:
        return None


# --- canonical strings


@pytest.mark.parametrize(
    ("params", "signed"),
    [
        ({"b": "2", "a": "1"}, "a=1&b=2"),
        ({"a": "1", "sign": "x", "sign_type": "RSA2"}, "a=1&sign_type=RSA2"),
        ({"a": "", "b": " ", "c": "\t", "d": "1"}, "d=1"),
        ({"a": "x&y=z 火"}, "a=x&y=z 火"),
        ({"a_b": "1", "aB": "2", "a": "3"}, "a=3&aB=2&a_b=1"),
    ],
)
def test_a_request_signs_its_filled_parameters(params: dict[str, str], signed: str) -> None:
    assert request_content(params).decode() == signed


@pytest.mark.parametrize(
    ("params", "signed"),
    [
        ({"b": "2", "a": "", "sign": "x", "sign_type": "RSA2"}, "a=&b=2"),
        ({"charset": "utf-8", "body": " "}, "body= &charset=utf-8"),
    ],
)
def test_a_notify_signs_empty_values_too(params: dict[str, str], signed: str) -> None:
    assert notify_content(params).decode() == signed


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
        st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
    )
)
def test_the_other_library_signs_the_same_bytes(params: dict[str, str]) -> None:
    params = {name: value for name, value in params.items() if name != "sign"}
    signature = base64.b64encode(
        KEY.sign(request_content(params), PKCS1v15(), hashes.SHA256())
    ).decode()
    assert OTHER.sign_data(dict(params)) == urlencode(
        [*sorted(params.items()), ("sign", signature)]
    )


# --- the form of a notify


@pytest.mark.parametrize(
    ("body", "params"),
    [
        (b"a=1&b=%E7%81%AB+%2B", {"a": "1", "b": "火 +"}),
        (b"a=&b=2", {"a": "", "b": "2"}),
        (b"&a=1&&b=2&", {"a": "1", "b": "2"}),
        (b"sign=ab+c%2Bd&a=e+f", {"sign": "ab+c+d", "a": "e f"}),
        (b"charset=UTF-8&a=%E7%81%AB", {"charset": "UTF-8", "a": "火"}),
        (b"a=%BB%F0&charset=GBK", {"a": "火", "charset": "GBK"}),
        (b"a=%BB%F0", None),
        (b"a=%E7%81%AB%FF&charset=gbk", None),
        (b"a=1&charset=utf-7", None),
        (b"a=1&charset=%E7%81%AB", None),
        (b"a=1&a=1", None),
        (b"a=1&a=2", None),
        (b"a=%FF", None),
        ("a=火".encode(), None),
        (b"a", None),
        (b"", {}),
        (b"&".join(b"a%d=1" % i for i in range(101)), None),
    ],
)
def test_a_notify_is_read_strictly(body: bytes, params: dict[str, str] | None) -> None:
    notify = unless_refused(read_notify, body)
    assert (notify and notify.params) == params


# --- the scanner


@pytest.mark.parametrize(
    ("text", "members"),
    [
        (b"{}", {}),
        (b' { "a" : 1 , "b":[{"c":"]}"}] } ', {"a": b"1", "b": b'[{"c":"]}"}]'}),
        (
            rb'{"a":{"s":"}\",\"sign\":\"x"},"sign":"y"}',
            {"a": rb'{"s":"}\",\"sign\":\"x"}', "sign": b'"y"'},
        ),
        (rb'{"a":{"url":"https:\/\/x"}}', {"a": rb'{"url":"https:\/\/x"}'}),
        (rb'{"\u0061":"\\"}', {"a": rb'"\\"'}),
        (b'{"a":-1.5e3,"b":true,"c":null}', {"a": b"-1.5e3", "b": b"true", "c": b"null"}),
        (b"", None),
        (b"[]", None),
        (b'{"a":1', None),
        (b'{"a":1}}', None),
        (b'{"a":1}x', None),
        (b'{"a":{"b":1]}', None),
        (b'{"a":"never ends}', None),
        (b'{"a":"x\\"}', None),
        (b'{"a":1,}', None),
        (b'{"a":}', None),
        (b'{"a" 1}', None),
        (b"{a:1}", None),
        (b'{"a":1,"a":2}', None),
        (b'{"a":1,"\\u0061":2}', None),
        (b'{"a":' + b"[" * 33 + b"]" * 33 + b"}", None),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", {"a": b"[" * 32 + b"]" * 32}),
        (b"<html>{}</html>", None),
    ],
)
def test_members_are_cut_out_byte_for_byte(text: bytes, members: dict[str, bytes] | None) -> None:
    assert unless_refused(json_members, text) == members


NASTY_TEXT = st.text(st.one_of(st.sampled_from('{}[]",:\\/ \n'), st.characters(codec="utf-8")))
NASTY = NASTY_TEXT | st.sampled_from(['"sign"', '","sign":"', "}", '\\"}', "\\"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(NASTY, JSON, max_size=5), st.booleans(), st.sampled_from(["", " ", "\n\t"]))
def test_any_document_is_cut_where_it_was_joined(
    document: dict[str, object], ascii_only: bool, blank: str
) -> None:
    parts = {
        name: json.dumps(value, ensure_ascii=ascii_only).replace("/", "\\/").encode()
        for name, value in document.items()
    }
    pad = blank.encode()
    joined = b",".join(
        pad + json.dumps(name).encode() + pad + b":" + pad + part + pad
        for name, part in parts.items()
    )
    assert json_members(pad + b"{" + joined + pad + b"}" + pad) == parts


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]":,\\ a1', max_size=40).map(str.encode))
def test_no_text_makes_the_scanner_fail_otherwise_than_by_refusing(text: bytes) -> None:
    try:
        members = json_members(text)
    except ValueError:
        return
    assert all(value in text for value in members.values())


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b'{"alipay_trade_pay_response":{"code":"10000"},"sign":"s"}', b'{"code":"10000"}'),
        (b'{"error_response":{"code":"40002"}}', b'{"code":"40002"}'),
        (b'{"alipay_trade_query_response":{"code":"10000"},"sign":"s"}', None),
        (b'{"alipay_trade_pay_response":"10000","sign":"s"}', None),
        (b'{"alipay_trade_pay_response":{},"sign":1}', None),
    ],
)
def test_only_the_methods_own_object_is_opened(body: bytes, content: bytes | None) -> None:
    opened = unless_refused(open_answer, body, wire.PAY)
    assert (opened and opened.content) == content


# --- certificates


def certificate(
    issuer: x509.Name, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY
) -> str:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


ISSUER = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ant Financial"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Certification Authority"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Ant Financial Certification Authority R1"),
    ]
)


@pytest.mark.filterwarnings("ignore:X509:DeprecationWarning")
def test_the_other_library_computes_the_same_certificate_numbers() -> None:
    first, second = certificate(ISSUER), certificate(ISSUER)
    curve = certificate(ISSUER, ec.generate_private_key(ec.SECP256R1()))
    assert certificate_sn(first) == certificate_sn(first + second) == DCAliPay.get_cert_sn(first)
    assert root_certificate_sn(f"{first}\n{curve}\n{second}") == DCAliPay.get_root_cert_sn(
        f"{first}\n{second}"
    )
    assert (
        root_certificate_sn(first + curve + second)
        == f"{certificate_sn(first)}_{certificate_sn(second)}"
    )


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", PUBLIC_PEM]
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no certificate in PEM"):
        certificate_sn(text)


def test_a_root_bundle_without_rsa_is_refused() -> None:
    with pytest.raises(ValueError, match="no RSA certificate"):
        root_certificate_sn(certificate(ISSUER, ec.generate_private_key(ec.SECP256R1())))


# --- money and times on the wire


@settings(deadline=None)
@given(st.integers(1, 10_000_000_000))
def test_fen_survive_the_wire(amount: int) -> None:
    assert wire.fen(yuan(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.01", 1),
        ("1", 100),
        ("1.5", 150),
        ("100000000.00", 10_000_000_000),
        *(
            (text, None)
            for text in (
                "",
                "-1",
                "+1",
                "1.",
                ".5",
                "1.005",
                "1e2",
                "01.00",
                "1,000",
                " 1",
                "1\n",
                "١",
                "NaN",
                "99999999999",
            )
        ),
    ],
)
def test_only_plain_yuan_are_read(text: str, amount: int | None) -> None:
    assert wire.fen(text) == amount


def test_a_signature_of_other_bytes_is_none() -> None:
    good = base64.b64encode(KEY.sign(b'{"code":"10000"}', PKCS1v15(), hashes.SHA256())).decode()
    assert rsa_verify(load_public_key(PUBLIC_PEM), b'{"code":"10000"}', good)
    assert not rsa_verify(load_public_key(PUBLIC_PEM), b'{"code": "10000"}', good)
