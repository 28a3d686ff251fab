"""No secret stands in a file of the project: not a key of ours, nor one of a service we use.

What tests need is made by them. A value that a specification publishes is named here.
"""

import base64
import re
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from security.key_material import KeyEnvironment, new_secret
from security.webhook_signature import new_secret as new_webhook_secret
from tests.tidy.tree import files, text_of

SECRETS = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}"),
    # The beginning of every RSA key of 2048 bits or more in PKCS #8 or #1, as channels hand it out.
    "private key without its frame": re.compile(r"\bMII[A-Z][A-Za-z0-9+/]{2}(?:IBADANBg|IBAAKCA)"),
    "API key": re.compile(r"\bsk_(?:live|test)_[a-z2-7]{52}\b"),
    "webhook secret": re.compile(r"\bwhsec_[A-Za-z0-9+/]{32,}={0,2}"),
    "master key": re.compile(r"\bv\d{1,5}:[A-Za-z0-9+/]{43}="),
    "cloud key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "token of a forge": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20})\b"),
    "token of a chat": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
}
PUBLISHED = {
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # the example of the Standard Webhooks specification
}


def found(text: str) -> set[str]:
    """The kinds of secrets in it."""
    return {
        kind
        for kind, pattern in SECRETS.items()
        for match in pattern.finditer(text)
        if match.group() not in PUBLISHED
    }


def test_no_file_holds_a_secret() -> None:
    holding = {str(path): kinds for path in files() if (kinds := found(text_of(path) or ""))}
    assert holding == {}, "make it in the test, or take it out of history and change it"


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found(kind: str) -> None:
    rsa = generate_private_key(65537, 2048)
    pkcs8, pkcs1 = (
        rsa.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
    )
    examples = {
        "private key": [pkcs8, pkcs1],
        "private key without its frame": [pkcs8, pkcs1],
        "API key": [new_secret(each).reveal() for each in KeyEnvironment],
        "webhook secret": [new_webhook_secret().reveal()],
        "master key": [f"v1:{base64.b64encode(secrets.token_bytes(32)).decode()}"],
        "cloud key": ["AKIA" + "A1B2C3D4" * 2],
        "token of a forge": ["ghp_" + secrets.token_hex(18), "glpat-" + secrets.token_hex(10)],
        "token of a chat": ["xoxb-" + secrets.token_hex(12)],
    }
    for example in examples[kind]:
        assert kind in found(f"it is {example!s}, is it not?"), example
