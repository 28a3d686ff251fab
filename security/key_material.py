"""New API keys: an id that may be shown anywhere, and a secret that is shown once.

Both come from the operating system's generator (`secrets`), not from the `Ids` port: a simulation
may replay ids, never keys. The prefixes let a person see what a text is, and let secret scanners
and `security.redaction` find a leaked one.
"""

import base64
import secrets
from enum import StrEnum
from typing import Final

from security.secret import Secret

KEY_ID_RANDOM_CHARS: Final = 26
"""130 bits: unique without asking a database."""

SECRET_BYTES: Final = 32
"""As long as the HMAC-SHA256 it keys."""


class KeyKind(StrEnum):
    """Whose key it is; the value is the prefix of its id."""

    TERMINAL = "tk"  # one till
    MERCHANT = "mk"  # a merchant's server, of whatever role


class KeyEnvironment(StrEnum):
    """What a leaked secret would reach; the value is part of its prefix."""

    LIVE = "live"  # real money
    TEST = "test"  # sandbox channels only


def new_key_id(kind: KeyKind) -> str:
    """A public key id, `tk_` or `mk_` and 26 characters of base32 `[A-Z2-7]`."""
    return f"{kind.value}_{_base32(secrets.token_bytes(17))[:KEY_ID_RANDOM_CHARS]}"


def new_secret(environment: KeyEnvironment) -> Secret:
    """A signing secret, `sk_live_` or `sk_test_` and 32 random bytes in lower-case base32 (52
    characters, one word to a double click).
    """
    return Secret(f"sk_{environment.value}_{_base32(secrets.token_bytes(SECRET_BYTES)).lower()}")


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=")
