"""Four kinds of darkness, as data, and the clock of one run.

| `--how` | what account A does while it is dark |
|---|---|
| `refuse` | nobody listens at either of its hosts; open connections break |
| `hang` | requests are taken, not answered; half are done at once, half when the caller left |
| `500` | HTTP 500 to everything; half of what was asked is done all the same |
| `sick` | as `500`, but for pay calls only: queries and cancels answer, so a probe finds it alive |

Its callbacks are dark too, and come when it is back, except those that it tries again by itself.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from loadtests.drill.house import Channels

OPERATIONS = {
    "alipay": ("pay", "query", "cancel", "precreate", "refund", "refund_query"),
    "wechat": ("pay", "query", "reverse", "precreate", "close", "refund", "refund_query"),
}
HOWS = {
    "refuse": ("refuse_connection",),
    "hang": ("delay_before", "delay_after"),
    "500": ("http_500_before", "http_500_after_charge"),
    "sick": ("http_500_before", "http_500_after_charge"),
}
FIRST_S = 2.0  # of darkness: what it takes to notice, which the aims leave out


class Phase(StrEnum):
    """When a customer came."""

    BEFORE = "before"
    ONSET = "first 2 s dark"
    DARK = "dark"
    AFTER = "light again"


@dataclass(slots=True)
class Clock:
    """Seconds since the load began. `dark_s` and `light_s` are set when they come."""

    began: float = 0.0
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    dark_s: float = float("inf")
    light_s: float = float("inf")

    def start(self) -> None:
        """The load begins."""
        self.began, self.began_at = time.monotonic(), datetime.now(UTC)

    def now(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.began

    def seconds(self, moment: datetime) -> float:
        """A moment of the gateway's clock, which is this machine's, on this one."""
        return (moment - self.began_at).total_seconds()

    def phase(self, arrived_s: float, answered_s: float) -> Phase:
        """Whoever was on the way when it became dark belongs to the first two seconds."""
        if arrived_s < self.dark_s:
            return Phase.BEFORE if answered_s < self.dark_s else Phase.ONSET
        if arrived_s < self.dark_s + FIRST_S:
            return Phase.ONSET
        return Phase.DARK if arrived_s < self.light_s else Phase.AFTER


async def put_out(channels: Channels, channel: str, account: str, how: str, delay_ms: int) -> None:
    """The account goes dark. `delay_ms`: how long a hanging one holds what it was asked."""
    operations = {"refuse": ("pay",), "sick": ("pay", "precreate")}.get(how, OPERATIONS[channel])

    async def shares(operation: str) -> None:
        """Of two faults the first strikes every second time, the other one whatever is left."""
        for place, fault in enumerate(HOWS[how], 1):
            probability = place / len(HOWS[how])
            await channels.break_it(
                channel, account, operation, fault, probability=probability, delay_ms=delay_ms
            )

    await asyncio.gather(
        channels.break_it(channel, account, "callback", "callback_hold"), *map(shares, operations)
    )
