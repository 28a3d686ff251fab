"""A clock that stands until a test moves it."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class HandClock:
    """`gateway.clock.Clock`. `seconds`: of both, since 1970 and since nothing in particular."""

    seconds: float = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds
