"""What security refuses, as a tree.

    SecurityError           an operator has to act; the caller of the API only learns that
    │                       something is wrong on our side
    ├── MasterKeyInvalid    the master keys cannot be loaded; the process must not start
    ├── KeyVersionUnknown   sealed under a master key that is not in the keyring
    ├── VaultSealBroken     altered, moved to another row, or sealed under another key of the
    │                       same version
    └── RsaKeyInvalid       a channel's RSA key cannot be used

Each text says what is wrong and what to do, and never holds key material. A request's bad signature
is the caller's affair: `gateway.domain.errors` has SignatureInvalid and SignatureExpired.
"""


class SecurityError(Exception):
    """Something that must be trusted cannot be."""


class MasterKeyInvalid(SecurityError):
    """The master keys cannot be loaded; the text says which file or line, and what to do."""


class KeyVersionUnknown(SecurityError):
    """A sealed value names a master key version that is not in the keyring."""


class VaultSealBroken(SecurityError):
    """A sealed value does not open here."""


class RsaKeyInvalid(SecurityError):
    """An RSA key is unreadable, of the wrong kind, or of an unfit size."""
