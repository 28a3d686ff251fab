"""Fault 38, the side of the merchants: an outage is not followed by a storm.

Days pass on virtual time, the courier is the real one.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.limits import WEBHOOK_CONCURRENCY_MAX, WEBHOOK_STEPS_MS, WEBHOOK_TIMEOUT_MS
from gateway.webhooks.courier import Courier
from gateway.webhooks.line import NoReply, Reply
from tests.fakes.outbox import FakeOutbox
from tests.simulation.clock import SimClock, SimIds
from tests.simulation.virtual_loop import VirtualLoop, on_virtual_time

HOUR = 3_600.0
DAY = 24 * HOUR
LOOK_MS = 5_000  # what falls due is found this much later: hours are looked through in a second


@dataclass(slots=True)
class Merchants:
    """A line on virtual time.

    Each url has an outage until a moment; it hangs or refuses until then, and takes a while to
    answer after.
    """

    clock: SimClock
    outages: dict[str, tuple[float, int | None]] = field(default_factory=dict)
    sent: list[tuple[float, str, str]] = field(default_factory=list)  # when, where, which event
    open: Counter[str] = field(default_factory=Counter)
    open_most: Counter[str] = field(default_factory=Counter)
    heard: dict[str, set[bytes]] = field(default_factory=dict)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        now, event_id = self.clock.monotonic(), headers["webhook-id"]
        self.sent.append((now, url, event_id))
        self.heard.setdefault(event_id, set()).add(body)
        self.open[url] += 1
        self.open_most[url] = max(self.open_most[url], self.open[url])
        try:
            return await self._answer(url, now)
        finally:
            self.open[url] -= 1

    async def _answer(self, url: str, now: float) -> Reply:
        until, status = self.outages.get(url, (0.0, None))
        if now >= until:
            await asyncio.sleep(0.05)
            return Reply(200, {}, "")
        if status is None:
            await asyncio.sleep(WEBHOOK_TIMEOUT_MS / 1000)
            raise NoReply("no answer in time")
        return Reply(status, {}, "try later")

    def to(self, url: str, since: float = 0.0, before: float = 1e12) -> list[str]:
        """The events sent there, in order."""
        return [
            event_id for at, where, event_id in self.sent if where == url and since <= at < before
        ]


@dataclass(slots=True)
class Town:
    """One courier, an outbox and the merchants, on one virtual loop."""

    clock: SimClock
    outbox: FakeOutbox
    merchants: Merchants
    courier: Courier

    @classmethod
    def on(cls, loop: VirtualLoop, *, seed: int = 1, look_ms: int = LOOK_MS) -> Town:
        clock = SimClock(loop)
        outbox, merchants = FakeOutbox(clock), Merchants(clock)
        return cls(
            clock,
            outbox,
            merchants,
            Courier(
                outbox=outbox,
                line=merchants,
                cases=outbox,
                clock=clock,
                ids=SimIds(),
                chance=random.Random(seed),
                interval_ms=look_ms,
            ),
        )

    async def lives(self, seconds: float) -> None:
        """The courier works for so long."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.courier.run(stop))
        await asyncio.sleep(seconds)
        stop.set()
        await running


def test_fault_38_a_long_queue_of_a_dead_merchant_is_no_storm():
    """300 events wait for a merchant that hangs for two hours.

    Before it is back: a few tries; then all of them, side by side in bounds.
    """

    async def town(loop: VirtualLoop) -> None:
        here = Town.on(loop)
        here.merchants.outages["https://a.example/"] = (2 * HOUR, None)
        waiting = [
            here.outbox.put(event_id=f"evt_{n}", endpoint_id="we_a", url="https://a.example/")
            for n in range(300)
        ]
        await here.lives(8 * HOUR)
        tries = len(here.merchants.to("https://a.example/", before=2 * HOUR))
        assert tries < 60, "without a rest every event would have hung six times: 1800 tries"
        assert here.merchants.open_most["https://a.example/"] <= WEBHOOK_CONCURRENCY_MAX
        assert {here.outbox.state(each) for each in waiting} == {"delivered"}
        after = Counter(here.merchants.to("https://a.example/", since=2 * HOUR))
        assert set(after.values()) == {1}, "each is sent once when it is back"
        moments = Counter(int(at) for at, *_ in here.merchants.sent if at >= 2 * HOUR)
        assert max(moments.values()) < 100, "and not all at the same moment"

    on_virtual_time(town)


def test_fault_38_forty_dead_merchants_delay_nobody():
    """More hanging merchants than there are slots for;
    the healthy one's events go out at once, all the time.
    """

    async def town(loop: VirtualLoop) -> None:
        here = Town.on(loop)
        for merchant in range(40):
            url = f"https://dead{merchant}.example/"
            here.merchants.outages[url] = (DAY, None)
            for n in range(20):
                here.outbox.put(
                    event_id=f"evt_{merchant}_{n}",
                    endpoint_id=f"we_{merchant}",
                    merchant_id=f"mer_{merchant}",
                    url=url,
                )
        running = asyncio.create_task(here.lives(2 * HOUR))
        await asyncio.sleep(60)  # the first round hangs; by now they rest
        for n in range(60):
            put_at = here.clock.monotonic()
            healthy = here.outbox.put(
                event_id=f"evt_healthy_{n}",
                endpoint_id="we_healthy",
                merchant_id="mer_healthy",
                url="https://b.example/",
            )
            await asyncio.sleep(60)
            arrived = next(
                at for at, _, event_id in here.merchants.sent if event_id == healthy.event_id
            )
            assert arrived - put_at <= LOOK_MS / 1000 + 0.1
        await running

    on_virtual_time(town)


def test_fault_38_jitter_pulls_apart_what_failed_together():
    async def town(loop: VirtualLoop) -> None:
        here = Town.on(loop)
        for n in range(4):  # fewer than make it rest
            here.outbox.put(event_id=f"evt_{n}", endpoint_id="we_a", url="https://a.example/")
        here.merchants.outages["https://a.example/"] = (1.0, 500)
        await here.lives(1.0)
        due = sorted(row.due for row in here.outbox.rows.values())
        assert len(set(due)) == 4
        assert (
            WEBHOOK_STEPS_MS[0] / 1000 <= due[0] < due[-1] <= WEBHOOK_STEPS_MS[0] / 1000 * 1.2 + 1
        )

    on_virtual_time(town)
