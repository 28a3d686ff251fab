"""Watches the certificates in the accounts' credentials: a gauge counts the days that are left."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.limits import CERTIFICATE_LOOK_MS
from gateway.loops import Rounds
from gateway.telemetry.metrics import CERTIFICATE_DAYS

log = structlog.get_logger("tillgate.certificates")

DAY_S = 86_400


class Listed(Protocol):
    """An account, as far as this goes."""

    @property
    def channel(self) -> str:
        """Its name."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether payments go to it."""
        ...

    @property
    def usable_until(self) -> Mapping[str, datetime]:
        """By field."""
        ...


class Accounts(Protocol):
    """Where they are listed."""

    async def accounts(self) -> Sequence[Listed]:
        """All of them."""
        ...


class CertificateWatch:
    """Looks once an hour."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts, self._clock = accounts, clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        await Rounds(log, "certificates").repeat(self.look, CERTIFICATE_LOOK_MS, stop)

    async def look(self) -> None:
        """Once: by channel, the certificate that expires first."""
        first: dict[str, datetime] = {}
        for account in await self._accounts.accounts():
            for until in account.usable_until.values() if account.enabled else ():
                first[account.channel] = min(until, first.get(account.channel, until))
        now = self._clock.now()
        for channel, until in first.items():
            CERTIFICATE_DAYS.labels(channel).set((until - now).total_seconds() / DAY_S)
