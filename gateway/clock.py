"""Clock and Ids: the only sources of time and chance.

The flow takes them as ports, so that a whole world can be simulated.

In service every process tells the time of the database (`DatabaseClock`): a host whose own clock is
ten minutes off judges the tills' signatures, names the business day and sets the next visit like
all the others.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.limits import CLOCK_ASKING_MS_MAX, CLOCK_SLEWED_MS_MAX


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
        """`prefix` + `_` + 32 hex characters; sorts roughly by creation time, so that indexes grow
        at one end.
        """
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


class DatabaseClock:
    """The database's wall clock, carried on by this host's monotonic one between two heartbeats.

    Durations are the host's alone.

    Before the database was ever heard, and only then, `now()` is the host's own wall clock. A small
    correction is slewed: the clock runs at half speed until it agrees, and never back. A correction
    larger than `CLOCK_SLEWED_MS_MAX` is somebody setting a clock (or a database that moved to
    another machine): it is followed at once, whichever way, since what is due is compared with that
    clock.
    """

    __slots__ = ("_at", "_behind", "_host", "_known")

    def __init__(self, host: Clock) -> None:
        self._host = host
        self._known: datetime | None = None  # the time to tell at the monotonic moment `_at` ...
        self._at = 0.0
        self._behind = timedelta(0)  # ... which the database is behind by this much

    def now(self) -> datetime:
        """See `Clock`."""
        if self._known is None:
            return self._host.now()
        passed = timedelta(seconds=self._host.monotonic() - self._at)
        return self._known + passed - min(self._behind, passed / 2)

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._host.monotonic()

    def learn(self, told: datetime, asked_at: float) -> None:
        """The database told its time in answer to a question that left
        at the monotonic moment `asked_at`.

        Its word is as old as half the way there and back; an answer that was long under way says
        too little and is left aside, unless nothing better was ever heard.
        """
        at = self._host.monotonic()
        way = at - asked_at
        if self._known is not None and way * 1000 > CLOCK_ASKING_MS_MAX:
            return
        database, shown = told + timedelta(seconds=way / 2), self.now()
        ahead = shown - database
        slewed = self._known is not None and timedelta(0) < ahead <= timedelta(
            milliseconds=CLOCK_SLEWED_MS_MAX
        )
        self._known, self._at = (shown, at) if slewed else (database, at)
        self._behind = ahead if slewed else timedelta(0)

    def host_ahead_s(self) -> float:
        """How far this host's own wall clock is ahead of the time told here, in seconds; 0 before
        the database was heard.
        """
        return (self._host.now() - self.now()).total_seconds()


class SystemIds:
    """The real source: 6 bytes of milliseconds, 10 random bytes."""

    def new(self, prefix: str) -> str:
        """See `Ids`."""
        return f"{prefix}_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"

    def token(self) -> str:
        """See `Ids`."""
        return os.urandom(16).hex()
