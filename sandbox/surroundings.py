"""What a channel's desk works with: its account, the money acts,
the channel's settings and its clock.
"""

import datetime as dt
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

import msgspec

from sandbox import limits
from sandbox.acts import Acts
from sandbox.book import now_ms
from sandbox.channel import Account

CHINA = dt.timezone(dt.timedelta(hours=8))


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every channel has as switches: the unproven points of the real one, and its clock.

    One set a channel, in memory only. A channel adds its own by a subclass; a default is what the
    real channel does, or the worse of two where that is not known.
    """

    cancel_is_tombstone: bool = False
    query_lag_ms_max: Annotated[int, msgspec.Meta(ge=0, le=limits.FAULT_DELAY_MS_MAX)] = 2_000
    clock_offset_ms: int = 0


S = TypeVar("S", bound=Settings)


@dataclass(slots=True)
class Surroundings(Generic[S]):
    """One account's world. `save` makes a change of `account.kept` durable (a rotated key)."""

    account: Account
    acts: Acts
    settings: S
    save: Callable[[], Awaitable[None]]
    # For numbers that need not be secret, drawn for every trade.
    chance: random.Random = field(default_factory=random.Random)

    def now_ms(self) -> int:
        """The channel's wall clock, epoch milliseconds."""
        return now_ms() + self.settings.clock_offset_ms

    def china_time(self, epoch_ms: int | None = None) -> dt.datetime:
        """The channel's local time: both wallets speak Asia/Shanghai, which has no summer time."""
        return dt.datetime.fromtimestamp(
            (self.now_ms() if epoch_ms is None else epoch_ms) / 1000, CHINA
        )

    def query_lag_seconds(self, scale: float) -> float:
        """One draw of how long a query may not see a trade whose answer was lost."""
        return self.chance.uniform(0, self.settings.query_lag_ms_max) * scale / 1000
