"""Secrets at rest: sealed with AES-256-GCM, bound to the row they belong to;
and keyed digests of one-time secrets.

A sealed value:

| bytes | what |
|---|---|
| 1 | format, `0x01` |
| 2 | master key version, big-endian |
| 12 | random nonce |
| rest | ciphertext and 16-byte tag |

The first three bytes and `about` (for example `channel_account/acct_…`) are authenticated with it
(NIST SP 800-38D "AAD"), so a value copied into another row, or relabelled to another key, does not
open. Neither job uses a master key itself: each has a key derived from it by HKDF-SHA256 (RFC 5869)
under its own label. Random nonces are good for 2**32 values a key; a keyring seals some thousands.
"""

import hmac
import os
import struct
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.limits import (
    DIGEST_PURPOSES_MAX,
    MASTER_KEY_BYTES,
    SEAL_ABOUT_CHARS_MAX,
    SEALED_PLAINTEXT_BYTES_MAX,
)
from security.errors import VaultSealBroken
from security.keyring import MasterKeys

FORMAT: Final = 1

_HEADER: Final = struct.Struct(">BH")
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_CIPHERTEXT_AT: Final = _HEADER.size + _NONCE_BYTES
_SEALED_BYTES_MIN: Final = _CIPHERTEXT_AT + _TAG_BYTES
_SEALED_BYTES_MAX: Final = _SEALED_BYTES_MIN + SEALED_PLAINTEXT_BYTES_MAX


@final
class Vault:
    """Seals under the current master key, opens under any in the keyring."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys: Final = keys
        self._ciphers: Final = {
            version: AESGCM(_derived(keys.key(version), "seal")) for version in keys.versions
        }
        self._digest_keys: Final[dict[str, bytes]] = {}

    def seal(self, plaintext: bytes, *, about: str) -> bytes:
        """`plaintext` (at most 64 KiB), openable only with the same `about`.

        Raises ValueError when either is out of bounds.
        """
        if len(plaintext) > SEALED_PLAINTEXT_BYTES_MAX:
            raise ValueError(f"a sealed value holds at most {SEALED_PLAINTEXT_BYTES_MAX} bytes")
        header = _HEADER.pack(FORMAT, self._keys.current_version)
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._ciphers[self._keys.current_version]
        return header + nonce + cipher.encrypt(nonce, plaintext, _bound_to(header, about))

    def open(self, sealed: bytes, *, about: str) -> bytes:
        """What was sealed.

        Raises VaultSealBroken (altered, or another row's) or KeyVersionUnknown (its master key is
        gone).
        """
        version = sealed_version(sealed, about=about)
        self._keys.key(version)
        nonce = sealed[_HEADER.size : _CIPHERTEXT_AT]
        try:
            return self._ciphers[version].decrypt(
                nonce, sealed[_CIPHERTEXT_AT:], _bound_to(sealed[: _HEADER.size], about)
            )
        except InvalidTag:
            raise VaultSealBroken(
                f"the sealed value of {about} does not open under master key v{version}: "
                f"it was altered, belongs to another row, or v{version} was another key "
                f"when it was sealed; restore the row or the key file, or enter the secret again"
            ) from None

    def resealed(self, sealed: bytes, *, about: str) -> bytes:
        """The same value under the current master key; unchanged if it is there already, so it may
        be repeated. Raises as `open`.
        """
        plaintext = self.open(sealed, about=about)
        return (
            sealed
            if sealed_version(sealed, about=about) == self._keys.current_version
            else self.seal(plaintext, about=about)
        )

    def digest(self, purpose: str, text: str) -> str:
        """A fingerprint of a one-time secret (an auth code): HMAC-SHA256 as 64 hex characters;
        differs between purposes.

        Keyed by the *lowest* version of the keyring, so a rotation changes no fingerprint: the same
        request must compare equal before and after it, on hosts that have the new key and on those
        that do not yet, and in a unique index. The price: the lowest version may leave the key file
        only when no fingerprint under it counts any more (idempotency claims: 30 days). Taken out
        sooner, a till's retry is refused as `idempotency_key_reused`; nothing is charged twice.
        """
        key = self._digest_keys.get(purpose) or self._new_digest_key(purpose)
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def __repr__(self) -> str:
        return f"Vault({self._keys!r})"

    def _new_digest_key(self, purpose: str) -> bytes:
        assert purpose, "a digest needs a purpose"
        assert len(self._digest_keys) < DIGEST_PURPOSES_MAX, "purposes are constants, never data"
        key = _derived(self._keys.key(self._keys.first_version), f"digest/{purpose}")
        return self._digest_keys.setdefault(purpose, key)


def sealed_version(sealed: bytes, *, about: str) -> int:
    """The master key version a value was sealed under, for counting what a rotation still has to
    reseal. Raises VaultSealBroken.
    """
    if not _SEALED_BYTES_MIN <= len(sealed) <= _SEALED_BYTES_MAX:
        raise VaultSealBroken(
            f"the sealed value of {about} has {len(sealed)} bytes, so it was cut or never sealed: "
            f"restore the row"
        )
    form, version = _HEADER.unpack_from(sealed)
    if form != FORMAT:
        raise VaultSealBroken(
            f"the sealed value of {about} has format {form}, known is {FORMAT}: "
            f"was it written by a newer release?"
        )
    return int(version)


def _bound_to(header: bytes, about: str) -> bytes:
    if not 1 <= len(about) <= SEAL_ABOUT_CHARS_MAX:
        raise ValueError(f"about names the row, in 1 to {SEAL_ABOUT_CHARS_MAX} characters")
    return header + about.encode()


def _derived(master_key: bytes, label: str) -> bytes:
    return HKDF(
        algorithm=SHA256(), length=MASTER_KEY_BYTES, salt=None, info=f"tillgate/1/{label}".encode()
    ).derive(master_key)
