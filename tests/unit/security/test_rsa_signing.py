import asyncio
import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from Cryptodome.Hash import SHA256
from Cryptodome.PublicKey import RSA
from Cryptodome.Signature import pkcs1_15
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from security.errors import RsaKeyInvalid
from security.rsa_signing import RsaSigner, load_private_key, load_public_key, rsa_verify
from security.secret import Secret

PAIR = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
MESSAGE = "amount=128.50&out_trade_no=TG付款".encode()

PKCS8 = PAIR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PKCS1 = PAIR.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
SPKI = PAIR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PUBLIC_PKCS1 = PAIR.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()


def bare(pem):
    return "".join(pem.splitlines()[1:-1])


def relabelled(pem, old, new):
    return pem.replace(f"BEGIN {old}", f"BEGIN {new}").replace(f"END {old}", f"END {new}")


@pytest.fixture(scope="module")
def executor():
    with ThreadPoolExecutor(2, "signing") as threads:
        yield threads


@pytest.fixture
def signer(executor):
    return RsaSigner(Secret(PKCS8), executor)


async def test_signs_on_the_executor(signer):
    signatures = await asyncio.gather(*(signer.sign(MESSAGE) for _ in range(8)))
    assert set(signatures) == {signer.sign_now(MESSAGE)}
    assert rsa_verify(signer.public_key(), MESSAGE, signatures[0])
    assert any(thread.name.startswith("signing") for thread in threading.enumerate())


async def test_another_library_agrees(signer):
    foreign = RSA.import_key(PKCS8)
    signature = await signer.sign(MESSAGE)
    pkcs1_15.new(foreign).verify(SHA256.new(MESSAGE), base64.b64decode(signature))
    theirs = base64.b64encode(pkcs1_15.new(foreign).sign(SHA256.new(MESSAGE))).decode()
    assert theirs == signature
    assert rsa_verify(load_public_key(SPKI), MESSAGE, theirs)


@pytest.mark.parametrize(
    "text",
    [
        PKCS8,
        PKCS1,
        bare(PKCS8),
        bare(PKCS1),
        f"\n{PKCS8}\n\n",
        PKCS8.replace("\n", "\r\n"),
        relabelled(PKCS8, "PRIVATE", "RSA PRIVATE"),
    ],
)
def test_private_key_forms(text):
    assert load_private_key(Secret(text)).private_numbers() == PAIR.private_numbers()


@pytest.mark.parametrize(
    "text",
    [
        SPKI,
        PUBLIC_PKCS1,
        bare(SPKI),
        bare(PUBLIC_PKCS1),
        "\n".join(SPKI.splitlines()[1:-1]),
        relabelled(SPKI, "PUBLIC", "RSA PUBLIC"),
    ],
)
def test_public_key_forms(text):
    assert load_public_key(text).public_numbers() == PAIR.public_key().public_numbers()


def private_text(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


LOCKED = PAIR.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
).decode()
LOCKED_OLD = PAIR.private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")
).decode()
SHORT = rsa.generate_private_key(65537, 1024)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (private_text(SHORT), "1024 bits, at least 2048"),
        (private_text(ec.generate_private_key(ec.SECP256R1())), "not an RSA one"),
        (LOCKED, "encrypted"),
        (LOCKED_OLD, "encrypted"),
        (SPKI, "expected a PRIVATE KEY"),
        (bare(SPKI), "is it a public key"),
        (bare(PKCS8)[:-40], "was it cut"),
        (PKCS8[:-30], "exactly one PEM block"),
        (PKCS8 + PKCS8, "exactly one PEM block"),
        ("not a key", "neither"),
        ("密钥", "neither"),
        ("A" * 20_000, "at most"),
    ],
)
def test_unfit_private_key(text, complaint):
    with pytest.raises(RsaKeyInvalid, match=complaint) as refused:
        load_private_key(Secret(text))
    assert bare(PKCS8)[40:80] not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            SHORT.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "1024 bits, at least 2048",
        ),
        (PKCS8, "expected a PUBLIC KEY"),
        (bare(PKCS8), "is it a private key"),
        (relabelled(SPKI, "PUBLIC KEY", "CERTIFICATE"), "this PEM block is a CERTIFICATE"),
        ("", "no PKCS#1"),
        ("%%%", "neither"),
    ],
)
def test_unfit_public_key(text, complaint):
    with pytest.raises(RsaKeyInvalid, match=complaint):
        load_public_key(text)


def test_every_byte_of_the_message_counts(signer):
    signature = signer.sign_now(MESSAGE)
    for place in range(len(MESSAGE)):
        changed = bytearray(MESSAGE)
        changed[place] ^= 1
        assert not rsa_verify(PAIR.public_key(), bytes(changed), signature)
    assert not rsa_verify(OTHER.public_key(), MESSAGE, signature)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: "=",
        lambda _: "AAAA",
        lambda _: "签名",
        lambda _: "A" * 100_000,
        lambda _: "WECHATPAY/SIGNTEST/" + "A" * 325,
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:100] + "\n" + text[100:],
        lambda text: text + "=",
        lambda text: text.rstrip("="),
        lambda text: text + text,
        lambda text: text[:-4] + "AA==" if text[-4:] != "AA==" else text[:-4] + "AQ==",
        lambda text: text[:-3] + chr(ord(text[-3]) + 1) + "==",
        lambda text: base64.b64encode(b"\0" + base64.b64decode(text)).decode(),
        lambda text: base64.b64decode(text).hex(),
    ],
)
def test_a_spoilt_signature_is_false_not_an_error(signer, spoil):
    signature = signer.sign_now(MESSAGE)
    assert rsa_verify(PAIR.public_key(), MESSAGE, signature)
    assert rsa_verify(PAIR.public_key(), MESSAGE, spoil(signature)) is False


def test_never_shown(signer):
    assert repr(signer) == "RsaSigner(2048 bits)"
