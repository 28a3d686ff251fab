"""The in-doubt sweeper's loop: lease what is due, visit it, a few times a second.

What a visit does is `flow.in_doubt`'s.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.flow.due import DueAttempt, DueRefund, Places
from gateway.flow.in_doubt import InDoubt
from gateway.flow.ports import Store
from gateway.limits import (
    HEARTBEAT_LEASE_MS,
    SWEEP_INTERVAL_MS,
    SWEEP_LEASE_MS,
    SWEEP_VISITS_MAX,
    SWEEP_VISITS_PER_ACCOUNT_MAX,
)
from gateway.loops import Rounds

log = structlog.get_logger("tillgate.sweeper")


class Sweeper:
    """Visits run side by side, bounded in all and for each channel account, so that one that hangs
    delays nobody else.
    """

    def __init__(self, store: Store, in_doubt: InDoubt, clock: Clock) -> None:
        self._store, self._in_doubt, self._clock = store, in_doubt, clock
        self._attempts: Counter[str] = Counter()  # visits under way by channel account
        self._refunds: Counter[str] = Counter()
        self._visits: set[asyncio.Task[None]] = set()
        # No other loop visits what is in doubt: this one goes on whatever the store says.
        self._rounds = Rounds(log, "sweep")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; visits under way are finished first."""
        await self._rounds.repeat(self.take, SWEEP_INTERVAL_MS, stop)
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def take(self) -> None:
        """One look: lease what is due, and begin its visits."""
        if (places := _free(self._attempts)) is not None:
            until = self._lease_ends()
            for due in await self._store.take_due_attempts(
                places, SWEEP_LEASE_MS, HEARTBEAT_LEASE_MS
            ):
                self._start(self._in_doubt.visit(due, until), due, self._attempts)
        if (places := _free(self._refunds)) is not None:
            until = self._lease_ends()
            for refund in await self._store.take_due_refunds(places, SWEEP_LEASE_MS):
                self._start(self._in_doubt.visit_refund(refund, until), refund, self._refunds)

    def _lease_ends(self) -> float:
        """Counted from before the lease was asked for:
        we believe in it no longer than the store does.
        """
        return self._clock.monotonic() + SWEEP_LEASE_MS / 1000

    def _start(
        self, visit: Coroutine[Any, Any, None], due: DueAttempt | DueRefund, under_way: Counter[str]
    ) -> None:
        subject = due.payment_id if isinstance(due, DueAttempt) else due.refund_id
        under_way[due.account_id] += 1

        def ended(task: asyncio.Task[None]) -> None:
            self._visits.discard(task)
            under_way[due.account_id] -= 1

        task = asyncio.create_task(self._finished(visit, subject), name=f"visit {subject}")
        self._visits.add(task)
        task.add_done_callback(ended)

    async def _finished(self, visit: Coroutine[Any, Any, None], subject: str) -> None:
        """A visit that fails is tried again when its lease ends."""
        try:
            await visit
        except GatewayError as error:
            log.warning("visit_postponed", subject=subject, error=error.code)
        except Exception:
            log.exception("visit_broken", subject=subject)


def _free(under_way: Counter[str]) -> Places | None:
    """What may begin beside what is under way; None when that is nothing."""
    busy = {account: visits for account, visits in under_way.items() if visits}
    total = SWEEP_VISITS_MAX - sum(busy.values())
    return Places(total, SWEEP_VISITS_PER_ACCOUNT_MAX, busy) if total > 0 else None
