"""Clock and Ids: the only sources of time and chance. The flow takes them as ports, so that a whole world can be simulated."""

from __future__ import annotations

import os
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
        """`prefix` + `_` + 32 hex characters; sorts roughly by creation time, so that indexes grow at one end."""
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
    """The real source: 6 bytes of milliseconds, 10 random bytes."""

    def new(self, prefix: str) -> str:
        """See `Ids`."""
        return f"{prefix}_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"

    def token(self) -> str:
        """See `Ids`."""
        return os.urandom(16).hex()
