"""One simulated lunch: some tills, some workers, two wallets, and a storm.

Then the storm ends, and the books are judged.

Everything follows from the seed, the weather included; `run_world(seed)` says what happened and
what does not fit.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from adapters.alipay.manifest import MANIFEST as ALIPAY
from adapters.wechat.manifest import MANIFEST as WECHAT
from gateway.domain.errors import GatewayError
from gateway.flow.accounts import RemoteAccount
from gateway.flow.in_doubt import InDoubt
from tests.fakes.accounts import remote_account
from tests.fakes.channel import SimChannel
from tests.fakes.claims import MemoryClaims
from tests.fakes.far_side import Nature, Trade
from tests.fakes.store import MemoryStore
from tests.simulation.checker import violations
from tests.simulation.clock import SimClock, SimIds
from tests.simulation.till import Journal, Till
from tests.simulation.virtual_loop import VirtualLoop, on_virtual_time
from tests.simulation.worker import MERCHANT, Surroundings, Weather, Worker, owned_task

STORM_S = 90.0  # faults happen this long
DRAIN_S_MAX = 3_600.0  # and this long after it, at the latest, everything is decided
WORKERS = 2
ORDERS = 6
ACCOUNTS = 2  # of each wallet
CALM = Weather()

# How a world's channels and surroundings may be. The last number of a line is how often such a
# world comes.
NATURES: dict[str, tuple[Nature, int]] = {
    "honest": (Nature(), 2),
    "slow": (Nature(slow=0.4, callbacks_twice=0.3), 2),
    "forgetful": (
        Nature(
            unreachable=0.1,
            lost_before=0.25,
            lost_after=0.25,
            again=0.3,
            refund_waits=0.5,
            too_late=0.2,
        ),
        3,
    ),
    "late": (
        Nature(
            late=0.5,
            lost_after=0.2,
            slow=0.3,
            again=0.2,
            tombstone=False,
            callbacks_twice=0.3,
            too_late=0.1,
        ),
        4,
    ),
    "torn": (Nature(unreachable=0.4, blocked=0.3, lost_before=0.1, lost_after=0.1, slow=0.2), 3),
    "silent": (Nature(late=0.3, lost_before=0.3, lost_after=0.3, callback=0.0, tombstone=False), 2),
    "breaks its word": (Nature(lost_after=0.3, breaks_contract=0.6, never_types=0.8, types=0.6), 2),
}
WEATHERS: list[Weather] = [
    Weather(),
    Weather(store_away=0.1, reply_lost=0.1),
    Weather(store_slow_s=1.5, reply_lost=0.05),
    Weather(redis_away=0.5, store_slow_s=0.05),
    Weather(redis_grants_all=True, store_slow_s=0.05),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """Parts that a test may replace by broken ones, to see that the judge notices."""

    store: type[MemoryStore] = MemoryStore
    channel: type[SimChannel] = SimChannel
    in_doubt: type[InDoubt] = InDoubt
    till: type[Till] = Till


@dataclass(slots=True)
class Report:
    """What came of a seed."""

    seed: int
    nature: str
    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    cases: dict[str, int] = field(default_factory=dict)
    trace: list[tuple[float, str, int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"seed {self.seed} ({self.nature}): " + ("; ".join(self.violations) or "all agree")


def run_world(seed: int, plant: Plant | None = None, nature: str | None = None) -> Report:
    """The whole story of a seed."""
    chance = random.Random(seed)
    weights = [weight for _, weight in NATURES.values()]
    drawn = chance.choices(list(NATURES), weights)[0]
    return on_virtual_time(
        lambda loop: World(loop, seed, chance, nature or drawn, plant or Plant()).live()
    )


class World:
    """One storm."""

    def __init__(
        self, loop: VirtualLoop, seed: int, chance: random.Random, nature: str, plant: Plant
    ) -> None:
        self._loop, self._chance, self._plant = loop, chance, plant
        loop.set_task_factory(owned_task)
        self.report = Report(seed, nature)
        clock = SimClock(loop)
        self._clock, self._store, self._journal = clock, plant.store(clock.now), Journal()
        self._weather = chance.choice(WEATHERS)
        self._calm = False
        self._workers: list[Worker] = []
        self._channels = [
            self._opened(manifest, place)
            for manifest in (ALIPAY, WECHAT)
            for place in range(1, ACCOUNTS + 1)
        ]
        self._around = Surroundings(
            clock=self._clock,
            ids=SimIds(),
            chance=chance,
            weather=lambda: CALM if self._calm else self._weather,
            store=self._store,
            claims=MemoryClaims(self._clock),
            accounts=self._channels,
            faults=[],
            in_doubt=plant.in_doubt,
        )

    async def live(self) -> Report:
        """The storm, the calm, the judgement."""
        for _ in range(WORKERS):
            self._hire()
        codes = itertools.count(1)
        tills = [
            self._plant.till(f"O{n}", self._chance, self._living, self._journal, codes)
            for n in range(ORDERS)
        ]
        selling = [self._loop.create_task(till.sell()) for till in tills]
        storm = self._loop.create_task(self._storm())
        await asyncio.sleep(STORM_S)
        storm.cancel()
        await asyncio.gather(storm, return_exceptions=True)
        self._heal()
        stories = asyncio.gather(*selling, return_exceptions=True)
        done, _ = await asyncio.wait((stories,), timeout=DRAIN_S_MAX)
        broken = (
            [repr(story) for story in stories.result() if isinstance(story, Exception)]
            if done
            else ["INV8 a till still waits"]
        )
        await self._drained()
        return self._judged(broken)

    def _opened(self, manifest: Any, place: int) -> tuple[RemoteAccount, SimChannel]:
        account_id = f"acct_{manifest.channel}_{place}"
        channel = self._plant.channel(
            NATURES[self.report.nature][0],
            self._chance,
            self._clock,
            partial(self._delivered, account_id),
        )
        account = remote_account(
            account_id,
            manifest,
            merchant_id=MERCHANT,
            priority=place,
            profile="standard",
            channel=channel,
        )
        return account, channel

    async def _delivered(self, account_id: str, body: bytes) -> bool:
        """A callback reaches some worker, or nobody."""
        living = self._living()
        if not living:
            return False
        worker = self._chance.choice(living)
        try:
            heard = await worker.ask(worker.desks.callbacks.take(account_id, {}, body))
        except (ConnectionError, GatewayError):
            self._count("callback unheard")
            return False
        return bool(heard.answer.status == 200)

    async def _storm(self) -> None:
        """Workers die, freeze and are replaced."""
        acts: list[Callable[[], Coroutine[Any, Any, None]]] = [self._death, self._freeze]
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 12))
            await self._chance.choice(acts)()

    async def _death(self) -> None:
        worker = self._chance.choice(self._workers)
        self._workers.remove(worker)
        worker.kill()
        self._count("killed")
        await asyncio.sleep(self._chance.uniform(0, 6))
        self._hire()

    async def _freeze(self) -> None:
        worker = self._chance.choice(self._workers)
        self._count("frozen")
        frozen = self._loop.create_task(worker.freeze(self._chance.uniform(1, 25)))
        await asyncio.wait((frozen,), timeout=self._chance.uniform(0, 5))

    def _heal(self) -> None:
        self._calm = True
        for _, channel in self._channels:
            channel.calm = True
        while len(self._workers) < WORKERS:
            self._hire()

    async def _drained(self) -> None:
        """Until nothing has a next visit any more,
        and the channels have told what they had to tell.
        """
        until = self._loop.seconds + DRAIN_S_MAX
        while self._loop.seconds < until and (  # noqa: ASYNC110 - nobody says when
            self._owed() or any(channel.busy for _, channel in self._channels)
        ):
            await asyncio.sleep(5)

    def _owed(self) -> bool:
        attempts = any(
            a.due_at is not None for p in self._store.payment_rows.values() for a in p.attempts
        )
        return attempts or any(r.due_at is not None for r in self._store.refund_rows.values())

    def _judged(self, broken: list[str]) -> Report:
        ledger: dict[str, Trade] = {}
        for _, channel in self._channels:
            ledger |= channel.ledger
            for name, times in channel.counts.items():
                self._count(name, times)
        kept = not NATURES[self.report.nature][0].breaks_contract
        codes = [seen for _, channel in self._channels for seen in channel.codes_seen]
        found = violations(self._store, ledger, self._journal, codes, contract_kept=kept)
        thrown = [
            f"THROWN {fault}" for fault in (*self._around.faults, *self._loop.errors, *broken)
        ]
        self.report.violations = [*found, *thrown]
        for payment in self._store.payment_rows.values():
            self.report.ended[payment.status] = self.report.ended.get(payment.status, 0) + 1
        for case in self._store.cases:
            self.report.cases[case.case.name] = self.report.cases.get(case.case.name, 0) + 1
        events = (kept_event.event for kept_event in self._store.log)
        self.report.trace = [
            ((e.at - self._store.log[0].event.at).total_seconds(), e.object_id, e.version, e.type)
            for e in events
        ]
        return self.report

    def _hire(self) -> None:
        worker = Worker(self._around)
        worker.start()
        self._workers.append(worker)

    def _living(self) -> list[Worker]:
        return self._workers

    def _count(self, what: str, times: int = 1) -> None:
        self.report.counts[what] = self.report.counts.get(what, 0) + times
