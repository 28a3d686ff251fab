"""PINs of people: made here, shown once, and kept as an Argon2id hash.

A PIN is short, so the hash only slows a thief of the database down; a till is held off by the
bounds of `gateway.limits`. Cost: the second choice of OWASP's Password Storage Cheat Sheet.
"""

import os
import secrets
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from security.secret import Secret

PIN_DIGITS: Final = 6
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
MEMORY_KIB: Final = 19_456
ITERATIONS: Final = 2


def new_pin() -> Secret:
    """A new one, every PIN as likely as any other."""
    return Secret(f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}")


def hash_pin(pin: Secret) -> str:
    """The hash as PHC text; takes some 30 ms of one core."""
    kdf = Argon2id(
        salt=os.urandom(SALT_BYTES),
        length=HASH_BYTES,
        iterations=ITERATIONS,
        lanes=1,
        memory_cost=MEMORY_KIB,
    )
    return kdf.derive_phc_encoded(pin.reveal().encode())


def is_pin(pin: Secret, hashed: str) -> bool:
    """Whether this is the PIN that was hashed; as slow as `hash_pin`."""
    try:
        Argon2id.verify_phc_encoded(pin.reveal().encode(), hashed)
    except InvalidKey:
        return False
    return True
