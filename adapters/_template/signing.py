"""Template's signatures, pure: hex HMAC-SHA256 over the path, a line end, and the raw body; answers
and callbacks sign the body alone.
"""

import hashlib
import hmac

from security.secret import Secret

HEADER = "X-Signature"


def signature(key: Secret, signed: bytes) -> str:
    """What stands in the header."""
    return hmac.new(key.reveal().encode(), signed, hashlib.sha256).hexdigest()


def request_content(path: str, body: bytes) -> bytes:
    """What a request signs."""
    return path.encode() + b"\n" + body


def is_signed(key: Secret, signed: bytes, got: str) -> bool:
    """Whether `got` is the key's signature of exactly these bytes."""
    return hmac.compare_digest(
        signature(key, signed).encode(), got.encode("utf-8", "surrogatepass")
    )
