"""RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2):
how Alipay (RSA2), WeChat Pay v3 and UnionPay sign.

Signing takes 0.3 to 0.7 ms at 2048 bits and releases the GIL, so it goes to an executor; verifying
takes 0.02 ms and stays. Keys come as PEM (PKCS#1 or PKCS#8) or as the bare base64 body that
Alipay's console hands out; a wrong PEM label does no harm.
"""

import asyncio
import base64
import binascii
import re
from concurrent.futures import Executor
from typing import Final, final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from gateway.limits import (
    RSA_KEY_BITS_MAX,
    RSA_KEY_BITS_MIN,
    RSA_KEY_TEXT_CHARS_MAX,
    RSA_SIGNATURE_CHARS_MAX,
)
from security.errors import RsaKeyInvalid
from security.secret import Secret

_PADDING: Final = PKCS1v15()
_HASH: Final = SHA256()


@final
class RsaSigner:
    """Signs with one private key.

    The executor is the caller's: it is bounded and shut down there. Raises RsaKeyInvalid.
    """

    def __init__(self, private_key_pem: Secret, executor: Executor) -> None:
        self._key: Final = load_private_key(private_key_pem)
        self._executor: Final = executor

    async def sign(self, message: bytes) -> str:
        """The signature in standard base64, made on a thread of the executor."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self.sign_now, message
        )

    def sign_now(self, message: bytes) -> str:
        """The same, here and now, for tests and command lines:
        on an event loop it would hold up everybody.
        """
        return base64.b64encode(self._key.sign(message, _PADDING, _HASH)).decode("ascii")

    def public_key(self) -> RSAPublicKey:
        """The other half, to check that a configured pair belongs together."""
        return self._key.public_key()

    def __repr__(self) -> str:
        return f"RsaSigner({self._key.key_size} bits)"


def rsa_verify(public_key: RSAPublicKey, message: bytes, signature_b64: str) -> bool:
    """Whether the signature (standard base64, padded, without blanks) is that of the raw bytes.

    Bad input is False, never an error.
    """
    if len(signature_b64) > RSA_SIGNATURE_CHARS_MAX:
        return False
    try:
        signature = base64.b64decode(signature_b64, validate=True)
        if base64.b64encode(signature).decode("ascii") != signature_b64:
            return False
        public_key.verify(signature, message, _PADDING, _HASH)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_private_key(text: Secret) -> RSAPrivateKey:
    """A private key from PEM or bare base64, PKCS#1 or PKCS#8, unencrypted, 2048 to 8192 bits.

    Raises RsaKeyInvalid, without the key.
    """
    der = _der(text.reveal(), wanted="PRIVATE KEY")
    try:
        key = load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RsaKeyInvalid(
            "this is no unencrypted PKCS#1 or PKCS#8 private key: "
            "was it cut, or is it a public key?"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise RsaKeyInvalid("this is a private key, but not an RSA one")
    _refuse_odd_size(key.key_size)
    return key


def load_public_key(text: str) -> RSAPublicKey:
    """A public key from PEM or bare base64, PKCS#1 or SubjectPublicKeyInfo, 2048 to 8192 bits.

    Raises RsaKeyInvalid.
    """
    der = _der(text, wanted="PUBLIC KEY")
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RsaKeyInvalid(
            "this is no PKCS#1 or SubjectPublicKeyInfo public key: "
            "was it cut, or is it a private key?"
        ) from None
    if not isinstance(key, RSAPublicKey):
        raise RsaKeyInvalid("this is a public key, but not an RSA one")
    _refuse_odd_size(key.key_size)
    return key


_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----")


def _der(text: str, *, wanted: str) -> bytes:
    if len(text) > RSA_KEY_TEXT_CHARS_MAX:
        raise RsaKeyInvalid(f"an RSA key has at most {RSA_KEY_TEXT_CHARS_MAX} characters")
    body = text.strip()
    if body.startswith("-----"):
        body = _pem_body(body, wanted)
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RsaKeyInvalid(
            "an RSA key is one PEM block or its bare base64 body; this is neither"
        ) from None


def _pem_body(pem: str, wanted: str) -> str:
    if "ENCRYPTED" in pem:
        raise RsaKeyInvalid("this private key is encrypted: store it decrypted, the vault seals it")
    match = _PEM.fullmatch(pem)
    if match is None:
        raise RsaKeyInvalid(
            "this is not exactly one PEM block from -----BEGIN to -----END: "
            "was it cut, or pasted with its chain?"
        )
    if not match[1].endswith(wanted):
        raise RsaKeyInvalid(f"expected a {wanted}, this PEM block is a {match[1]}")
    return match[2]


def _refuse_odd_size(bits: int) -> None:
    if bits < RSA_KEY_BITS_MIN:
        raise RsaKeyInvalid(
            f"this RSA key has {bits} bits, at least {RSA_KEY_BITS_MIN} are needed: "
            f"make a new pair and upload its public half"
        )
    if bits > RSA_KEY_BITS_MAX:
        raise RsaKeyInvalid(
            f"this RSA key has {bits} bits, more than {RSA_KEY_BITS_MAX}: "
            f"signing with it would take too long"
        )
