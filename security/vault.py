"""Secrets at rest: sealed with AES-256-GCM, bound to the row they belong to and to everything that
row may do; and keyed digests of one-time secrets.

A sealed value:

| bytes | what |
|---|---|
| 1 | form |
| 2 | master key version, big-endian |
| 12 | random nonce |
| rest | ciphertext and 16-byte tag |

The first three bytes are authenticated with it, and what it is bound to (NIST SP 800-38D "AAD"):

| form | bound to |
|---|---|
| 1 | the row's name alone, as `api_key/tk_…` |
| 2 | the name and the rights: merchant, store, role, …; each part ended by a NUL |

So a value copied into another row, or relabelled to another key, does not open; nor does one of
form 2 whose row was given to another merchant or another role. Form 1 is of earlier releases:
`rekey` seals it anew, and then it can be refused (TILLGATE_OLD_SEALS).

Neither job uses a master key itself: each has a key derived from it by HKDF-SHA256 (RFC 5869)
under its own label. Random nonces are good for 2**32 values a key; a keyring seals some thousands.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, final

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
from security.errors import NoCommonSeal, SealFormUnknown, VaultSealBroken
from security.keyring import MasterKeys

TO_ROW: Final = 1
TO_RIGHTS: Final = 2
FORMS: Final = (TO_ROW, TO_RIGHTS)

_HEADER: Final = struct.Struct(">BH")
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_CIPHERTEXT_AT: Final = _HEADER.size + _NONCE_BYTES
_SEALED_BYTES_MIN: Final = _CIPHERTEXT_AT + _TAG_BYTES
_SEALED_BYTES_MAX: Final = _SEALED_BYTES_MIN + SEALED_PLAINTEXT_BYTES_MAX
_CHECK_BYTES: Final = 4  # tells two keys apart, and nothing about either


@dataclass(frozen=True, slots=True)
class About:
    """What a sealed value is bound to.

    `row` is its kind and id. `rights` is what the row's other columns say about it, each as
    `merchant=mer_1`; a column that is NULL is left out.
    """

    row: str
    rights: tuple[str, ...] = ()

    def bound(self, header: bytes) -> bytes:
        """The bytes authenticated with a value. Raises ValueError when it names no row."""
        if not self.row or sum(map(len, (self.row, *self.rights))) > SEAL_ABOUT_CHARS_MAX:
            raise ValueError(f"about names the row, in 1 to {SEAL_ABOUT_CHARS_MAX} characters")
        form, _ = _HEADER.unpack(header)
        if form == TO_ROW:
            return header + self.row.encode()
        parts = (self.row, *self.rights)
        if any("\0" in part for part in parts):
            raise ValueError("a part of about holds a NUL")
        return header + "".join(f"{part}\0" for part in parts).encode()


class Seal(NamedTuple):
    """How a value is sealed: under which master key, in which form."""

    version: int
    form: int


@final
class Vault:
    """Opens under every master key in the keyring, and seals as the living workers can open.

    `opens_old`: whether values of form 1 still open.
    """

    def __init__(self, keys: MasterKeys, *, opens_old: bool = True) -> None:
        self._keys: Final = keys
        self._opens_old: Final = opens_old
        self._ciphers: Final = {
            version: AESGCM(_derived(keys.key(version), "seal")) for version in keys.versions
        }
        self._digest_keys: Final[dict[str, bytes]] = {}

    @property
    def knows(self) -> frozenset[str]:
        """What this process can open, for its sign of life.

        A version is named with a check of its key: two hosts may hold two keys of one number.
        """
        forms = FORMS if self._opens_old else (TO_RIGHTS,)
        return frozenset(map(self._word, self._keys.versions)) | {f"seal/{form}" for form in forms}

    @property
    def newest(self) -> Seal:
        """What everything is sealed with once every worker can open it."""
        return Seal(self._keys.current_version, TO_RIGHTS)

    def agreed(self, living: Iterable[Collection[str] | None]) -> Seal:
        """The newest way to seal that every living worker can open, by what each of them `knows`;
        None is a worker of a release that does not say. It opens what earlier releases sealed, and
        its keyring holds our lowest version if it holds any of ours.

        Raises NoCommonSeal.
        """
        silent = {self._word(self._keys.first_version), f"seal/{TO_ROW}"}
        everywhere = self.knows.intersection(
            *(silent if words is None else words for words in living)
        )
        versions = [each for each in self._keys.versions if self._word(each) in everywhere]
        forms = [form for form in FORMS if f"seal/{form}" in everywhere]
        if not versions or not forms:
            raise NoCommonSeal(
                "there is no master key, or no form of a seal, that every living worker knows: "
                "give each host the same key file, restart `tillgate serve` and `tillgate work`, "
                "and look at `tillgate doctor`"
            )
        return Seal(max(versions), max(forms))

    def seal(self, plaintext: bytes, *, about: About, as_: Seal) -> bytes:
        """`plaintext` (at most 64 KiB), openable only with the same `about`.

        Raises ValueError when either is out of bounds.
        """
        if len(plaintext) > SEALED_PLAINTEXT_BYTES_MAX:
            raise ValueError(f"a sealed value holds at most {SEALED_PLAINTEXT_BYTES_MAX} bytes")
        header = _HEADER.pack(as_.form, as_.version)
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._ciphers[as_.version]
        return header + nonce + cipher.encrypt(nonce, plaintext, about.bound(header))

    def open(self, sealed: bytes, *, about: About) -> bytes:
        """What was sealed.

        Raises VaultSealBroken (altered, another row's, or of other rights), KeyVersionUnknown (its
        master key is not here) or SealFormUnknown.
        """
        version, form = sealed_as(sealed, about=about)
        if form == TO_ROW and not self._opens_old:
            raise VaultSealBroken(
                f"the sealed value of {about.row} has the form of earlier releases, and "
                f"TILLGATE_OLD_SEALS refuses it: was the row taken from an old backup? "
                f"Enter the secret again"
            )
        self._keys.key(version)
        nonce = sealed[_HEADER.size : _CIPHERTEXT_AT]
        try:
            return self._ciphers[version].decrypt(
                nonce, sealed[_CIPHERTEXT_AT:], about.bound(sealed[: _HEADER.size])
            )
        except InvalidTag:
            raise VaultSealBroken(
                f"the sealed value of {about.row} does not open under master key v{version}: "
                f"it was altered, belongs to another row or to other rights, or v{version} was "
                f"another key when it was sealed; restore the row or the key file, or enter the "
                f"secret again"
            ) from None

    def resealed(self, sealed: bytes, *, about: About, as_: Seal) -> bytes:
        """The same value, sealed as `as_` says; unchanged if it is already, so it may be repeated.

        Raises as `open`.
        """
        plaintext = self.open(sealed, about=about)
        if sealed_as(sealed, about=about) == as_:
            return sealed
        return self.seal(plaintext, about=about, as_=as_)

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

    def _word(self, version: int) -> str:
        check = _derived(self._keys.key(version), "check")[:_CHECK_BYTES]
        return f"master_key/{version}/{check.hex()}"

    def _new_digest_key(self, purpose: str) -> bytes:
        assert purpose, "a digest needs a purpose"
        assert len(self._digest_keys) < DIGEST_PURPOSES_MAX, "purposes are constants, never data"
        key = _derived(self._keys.key(self._keys.first_version), f"digest/{purpose}")
        return self._digest_keys.setdefault(purpose, key)


def sealed_as(sealed: bytes, *, about: About) -> Seal:
    """How a value was sealed, for counting what a rotation still has to seal anew.

    Raises VaultSealBroken or SealFormUnknown.
    """
    if not _SEALED_BYTES_MIN <= len(sealed) <= _SEALED_BYTES_MAX:
        raise VaultSealBroken(
            f"the sealed value of {about.row} has {len(sealed)} bytes, so it was cut or never "
            f"sealed: restore the row"
        )
    form, version = _HEADER.unpack_from(sealed)
    if form not in FORMS:
        raise SealFormUnknown(
            f"the sealed value of {about.row} has form {form}, known are {FORMS}: "
            f"was it written by a newer release?"
        )
    return Seal(version, form)


def _derived(master_key: bytes, label: str) -> bytes:
    return HKDF(
        algorithm=SHA256(), length=MASTER_KEY_BYTES, salt=None, info=f"tillgate/1/{label}".encode()
    ).derive(master_key)
