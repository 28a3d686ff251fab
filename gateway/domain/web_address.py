"""A merchant's web address in one spelling, so that two addresses are compared as texts, here and
in the database alike.

Scheme and host in small letters, the scheme's own port left out, a path of at least "/". Then the
origin (RFC 6454: scheme, host, port) is the text before the path, and "of the same origin" is
"begins with that origin and a slash". Nothing is looked up; which hosts may be called at all is
`security.public_address`'s question.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.limits import WEBHOOK_URL_CHARS_MAX


class WebAddress(NamedTuple):
    """`url` begins with `origin` and a slash."""

    url: str
    origin: str


def web_address(text: str) -> WebAddress:
    """The address in its one spelling. Raises ValueError, whose text may be shown."""
    if len(text) > WEBHOOK_URL_CHARS_MAX:
        raise ValueError(f"an address has at most {WEBHOOK_URL_CHARS_MAX} characters")
    if not _WRITTEN.fullmatch(text):
        raise ValueError(
            "write https://host/path in printable ASCII, without blanks, backslashes, "
            "a fragment (#) or a user (@)"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(
            "the host or the port is not one: "
            "brackets are for IPv6, ports are numbers of 1 to 65535"
        ) from None
    if not parts.hostname or port == 0:
        raise ValueError("the address names no host, or port 0")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    origin = f"{parts.scheme}://{host}" + (
        f":{port}" if port is not None and port != _PORTS[parts.scheme] else ""
    )
    query = f"?{parts.query}" if parts.query else ""
    return WebAddress(f"{origin}{parts.path or '/'}{query}", origin)


# No user before the host, no fragment behind it, nothing that two parsers could read differently.
_WRITTEN = re.compile(
    r"(?i:https?)://[A-Za-z0-9._:\[\]-]+(?:[/?][A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*)?"
)
_PORTS = {"https": 443, "http": 80}
