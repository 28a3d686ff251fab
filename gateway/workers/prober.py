"""The task that brings resting accounts back: probes those whose breaker is open, tells the other
workers, and lets scores drift.

A probe is a query of a number that no payment has: the channel's "there is no such order" is a
healthy answer, and no customer's payment is put at risk. Through Redis one worker probes an account
while the others wait for its word; without Redis each probes for itself, once a breaker. What
another worker only claims is always probed by ourselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from gateway.domain.outcomes import NotSent, Unknown
from gateway.flow.accounts import RemoteAccount
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.call.probe import SENT_AGO, unused_tender
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.choose.standing import Posted
from gateway.flow.ports import Ports
from gateway.limits import BOARD_INTERVAL_MS, PROBE_TICK_MS, PROBE_TIMEOUT_MS, PROBES_MAX
from gateway.loops import pause
from gateway.telemetry.metrics import PROBES

log = structlog.get_logger("tillgate.health")


class Board(Protocol):
    """Where workers tell one another. Losing it costs time only."""

    async def exchange(self, news: Sequence[Posted]) -> Sequence[Posted] | None:
        """Post and read; None when it is not there."""
        ...

    async def may_probe(self, account_id: str) -> bool | None:
        """Whether no other worker is probing it; None when the board is not there."""
        ...


class Prober:
    """`run` is a task of every worker that opens payments."""

    def __init__(
        self,
        *,
        health: ChannelHealth,
        board: Board,
        calls: ChannelCalls,
        ports: Ports,
    ) -> None:
        self._health, self._board, self._calls = health, board, calls
        self._directory, self._clock, self._numbers = ports.directory, ports.clock, ports.numbers
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._exchange_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; probes under way are dropped, for they move nothing."""
        while not stop.is_set():
            try:
                await self.look()
            except Exception:  # without this task no account would come back but by chance
                log.exception("prober_broken")
            await pause(PROBE_TICK_MS, stop)
        for task in self._probing.values():
            task.cancel()
        await asyncio.gather(*self._probing.values(), return_exceptions=True)

    async def look(self) -> None:
        """One round."""
        self._health.drift()
        if self._clock.monotonic() >= self._exchange_at:
            self._exchange_at = self._clock.monotonic() + BOARD_INTERVAL_MS / 1000
            await self._exchange()
        for account in self._health.due():
            if account.id not in self._probing and len(self._probing) < PROBES_MAX:
                task = self._probing[account.id] = asyncio.create_task(
                    self._probe(account), name=f"probe {account.id}"
                )
                task.add_done_callback(
                    lambda _, account_id=account.id: self._probing.pop(account_id, None)  # type: ignore[misc]
                )

    async def _exchange(self) -> None:
        for posted in await self._board.exchange(self._health.news()) or ():
            account = self._directory.remote_account(posted.account)
            if account is not None:
                self._health.hear(account, posted)

    async def _probe(self, account: RemoteAccount) -> None:
        """One harmless question. `account` may have new credentials since its breaker opened."""
        account = self._directory.remote_account(account.id) or account
        if (
            not self._health.only_heard(account)
            and await self._board.may_probe(account.id) is False
        ):
            self._health.postpone(account)
            return
        tender = unused_tender(account.merchant_id, account.manifest)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_MS / 1000):
                outcome = await self._calls.query_number(
                    account, tender, self._numbers.trade(tender, 0), self._clock.now() - SENT_AGO
                )
            is_alive = not isinstance(outcome, NotSent | Unknown)
        except TimeoutError:
            is_alive = False
        PROBES.labels(account.manifest.channel, "answered" if is_alive else "failed").inc()
        self._health.probed(account, is_alive=is_alive)
