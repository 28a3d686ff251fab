"""Signatures and seals: exact texts, the published vector, every way to be refused,
and the SDK as second opinion.
"""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from wechatpayv3 import utils as sdk

from adapters.wechat import signing
from adapters.wechat.wire import Resource
from security.rsa_signing import RsaSigner
from security.secret import Secret

NOW = dt.datetime(2026, 11, 21, 4, 30, tzinfo=dt.UTC)
AT = str(int(NOW.timestamp()))
PUB = "PUB_KEY_ID_0112300001092026112100000001"
BODY = '{"code_url":"weixin://wxpay/付款"}'.encode()
PLATFORM, STRANGER = (generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


def pem(key: RSAPrivateKey) -> str:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def certificate(key: RSAPrivateKey, serial: int) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com Root CA")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), serial, NOW, NOW + dt.timedelta(days=1825)
    )
    return builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def public_pem(key: RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def sealed(
    key: RSAPrivateKey = PLATFORM,
    body: bytes = BODY,
    serial: str = PUB,
    at: str = AT,
    nonce: str = "c5ac7061fccab6bf",
) -> dict[str, str]:
    """Headers as the platform sends them."""
    signature = sdk.rsa_sign(key, f"{at}\n{nonce}\n{body.decode()}\n")
    return {
        "Wechatpay-Timestamp": at,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": signature,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature-Type": signing.SCHEME,
    }


KEYS = signing.platform_keys({PUB: public_pem(PLATFORM)}, [certificate(STRANGER, 0x0F2A7C01)])


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in sealed().items() if key != name}


@pytest.mark.parametrize(
    ("headers", "body", "doubt"),
    [
        (sealed(), BODY, None),
        ({name.lower(): value for name, value in sealed().items()}, BODY, None),
        ({name.upper(): value for name, value in sealed().items()}, BODY, None),
        (without("Wechatpay-Signature-Type"), BODY, None),
        (sealed(body=b""), b"", None),
        (sealed(at=str(int(AT) - 300)), BODY, None),
        (sealed(at=str(int(AT) + 300)), BODY, None),
        (sealed(key=STRANGER, serial="0F2A7C01"), BODY, None),  # several keys at once
        (sealed(key=STRANGER, serial="f2a7c01"), BODY, None),
        (sealed(at=str(int(AT) - 301)), BODY, "stale"),
        (sealed(at=str(int(AT) + 301)), BODY, "stale"),
        (sealed(at="1e9"), BODY, "stale"),
        (sealed(at="-1"), BODY, "stale"),
        (sealed(at="9" * 5000), BODY, "stale"),
        (sealed(at="١٧٩٥٢٣٣٠٠٠"), BODY, "stale"),
        ({}, BODY, "unsigned"),
        (without("Wechatpay-Signature"), BODY, "unsigned"),
        (without("Wechatpay-Serial"), BODY, "unsigned"),
        (without("Wechatpay-Nonce"), BODY, "unsigned"),
        (without("Wechatpay-Timestamp"), BODY, "unsigned"),
        (
            sealed() | {"Wechatpay-Signature-Type": "WECHATPAY2-SM2-WITH-SM3"},
            BODY,
            "unknown_scheme",
        ),
        (sealed(serial="PUB_KEY_ID_0"), BODY, "unknown_key"),
        (sealed(serial="0F2A7C02"), BODY, "unknown_key"),
        (sealed(key=STRANGER), BODY, "bad_signature"),  # a key of ours, under another one's name
        (sealed(serial="0F2A7C01"), BODY, "bad_signature"),
        (sealed(), BODY + b" ", "bad_signature"),
        (sealed() | {"Wechatpay-Nonce": "付"}, BODY, "bad_signature"),
        (
            sealed()
            | {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + sealed()["Wechatpay-Signature"]},
            BODY,
            "bad_signature",
        ),
        (sealed() | {"Wechatpay-Signature": "A" * 100_000}, BODY, "bad_signature"),
    ],
)
def test_doubt(headers: dict[str, str], body: bytes, doubt: str | None) -> None:
    assert signing.doubt(KEYS, headers, body, NOW) == doubt


GENUINE = sealed()


@given(
    name=st.sampled_from(["Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature"]),
    at=st.integers(0),
    to=st.characters(),
)
def test_no_changed_header_character_is_believed(name: str, at: int, to: str) -> None:
    text = GENUINE[name]
    at %= len(text)
    changed = text[:at] + to + text[at + 1 :]
    assert (signing.doubt(KEYS, GENUINE | {name: changed}, BODY, NOW) is None) == (changed == text)


@given(at=st.integers(0, len(BODY) - 1), to=st.integers(0, 255))
def test_no_changed_body_byte_is_believed(at: int, to: int) -> None:
    changed = BODY[:at] + bytes([to]) + BODY[at + 1 :]
    assert (signing.doubt(KEYS, GENUINE, changed, NOW) is None) == (changed == BODY)


def test_request_message_is_five_lines_of_raw_bytes() -> None:
    message = signing.request_message(
        "POST", "/v3/x?mchid=1", 1795235400, "n0nce", '{"a":"店"}'.encode()
    )
    assert message == 'POST\n/v3/x?mchid=1\n1795235400\nn0nce\n{"a":"店"}\n'.encode()
    assert signing.request_message("GET", "/v3/x", 1, "n", b"") == b"GET\n/v3/x\n1\nn\n\n"


def test_the_sdk_agrees_with_our_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wechatpayv3.utils.time.time", lambda: 1795235400.9)
    theirs = sdk.build_authorization(
        "/v3/x?mchid=1", "POST", "1900", "5A7C", PLATFORM, data='{"a":"店"}', nonce_str="N0NCE"
    )
    message = signing.request_message(
        "POST", "/v3/x?mchid=1", 1795235400, "N0NCE", '{"a":"店"}'.encode()
    )
    signature = RsaSigner(Secret(pem(PLATFORM)), ThreadPoolExecutor(1)).sign_now(message)
    ours = signing.authorization(
        mchid="1900", serial="5A7C", timestamp=1795235400, nonce="N0NCE", signature=signature
    )
    assert ours == theirs


VECTOR = {
    "algorithm": signing.SEAL,
    "nonce": "uluk4a9R25RW",
    "associated_data": "associatedData",
    "ciphertext": "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=",
}
VECTOR_KEY = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"  # wechatpay-java, AeadAesCipherTest


@pytest.mark.parametrize(
    ("changed", "key", "content"),
    [
        ({}, VECTOR_KEY, b"message"),
        ({}, VECTOR_KEY[::-1], None),
        ({"associated_data": "associatedDatb"}, VECTOR_KEY, None),
        ({"associated_data": ""}, VECTOR_KEY, None),
        ({"nonce": "uluk4a9R25RX"}, VECTOR_KEY, None),
        ({"nonce": "short"}, VECTOR_KEY, None),
        ({"nonce": ""}, VECTOR_KEY, None),
        ({"nonce": "n" * 5000}, VECTOR_KEY, None),
        ({"ciphertext": "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwA="}, VECTOR_KEY, None),
        ({"ciphertext": "AAAA"}, VECTOR_KEY, None),  # shorter than a tag
        ({"ciphertext": ""}, VECTOR_KEY, None),
        ({"ciphertext": "u"}, VECTOR_KEY, None),  # no base64
        ({"ciphertext": "付款"}, VECTOR_KEY, None),
        ({"algorithm": "AEAD_SM4_GCM"}, VECTOR_KEY, None),
    ],
)
def test_opened(changed: dict[str, str], key: str, content: bytes | None) -> None:
    assert signing.opened(key, Resource(**(VECTOR | changed))) == content


def test_the_sdk_opens_the_same() -> None:
    sealed_content = {name: text for name, text in VECTOR.items() if name != "algorithm"}
    ours = signing.opened(VECTOR_KEY, Resource(**VECTOR))
    assert ours == sdk.aes_decrypt(**sealed_content, apiv3_key=VECTOR_KEY).encode()


def test_a_wrong_platform_key_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="PEM"):
        signing.platform_keys({}, ["no certificate"])
