"""Clock and Ids: the only sources of time and chance. The flow takes them as ports, so that a whole world can be simulated."""

from __future__ import annotations

import base64
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """`now()` for instants people and channels see, `monotonic()` for durations and deadlines."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; no meaning between processes."""
        ...


class Ids(Protocol):
    """Identifiers nobody can guess."""

    def new(self, prefix: str) -> str:
        """`prefix` + `_` + 26 characters; sorts roughly by creation time, so that indexes grow at one end."""
        ...

    def token(self) -> str:
        """A random token for locks and nonces, 32 hex characters."""
        ...


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()


class SystemIds:
    """The real source: 6 bytes of milliseconds, 10 random bytes, base32 in lower case."""

    def new(self, prefix: str) -> str:
        """See `Ids`."""
        raw = (time.time_ns() // 1_000_000).to_bytes(6, "big") + secrets.token_bytes(10)
        # RFC 4648's extended-hex alphabet keeps the order of the bytes, the plain one does not.
        return f"{prefix}_{base64.b32hexencode(raw).decode('ascii').rstrip('=').lower()}"

    def token(self) -> str:
        """See `Ids`."""
        return secrets.token_hex(16)
