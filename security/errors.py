"""What security refuses, as a tree.

    SecurityError           an operator has to act; the caller of the API only learns that
    │                       something is wrong on our side
    ├── MasterKeyInvalid    the master keys cannot be loaded; the process must not start
    ├── NotOpenedHere       this process cannot open it, another one may
    │   ├── KeyVersionUnknown   sealed under a master key that is not in the keyring
    │   └── SealFormUnknown     sealed as a newer release does
    ├── VaultSealBroken     altered, moved to another row or to other rights, or sealed under
    │                       another key of the same version
    ├── NoCommonSeal        no way to seal that every living worker can open
    └── RsaKeyInvalid       a channel's RSA key cannot be used

Each text says what is wrong and what to do, and never holds key material. A request's bad signature
is the caller's affair: `gateway.domain.errors` has SignatureInvalid and SignatureExpired.
"""


class SecurityError(Exception):
    """Something that must be trusted cannot be."""


class MasterKeyInvalid(SecurityError):
    """The master keys cannot be loaded; the text says which file or line, and what to do."""


class NotOpenedHere(SecurityError):
    """A sealed value that this process is not equipped to open; another worker may be."""


class KeyVersionUnknown(NotOpenedHere):
    """A sealed value names a master key version that is not in the keyring."""


class SealFormUnknown(NotOpenedHere):
    """A sealed value has a form that a newer release writes."""


class NoCommonSeal(SecurityError):
    """Nothing can be sealed now that every living worker would open."""


class VaultSealBroken(SecurityError):
    """A sealed value does not open here."""


class RsaKeyInvalid(SecurityError):
    """An RSA key is unreadable, of the wrong kind, or of an unfit size."""
