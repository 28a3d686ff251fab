"""The registries of the installation a command is about, opened for one act."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.discovery import discover
from gateway.cli.surroundings import environment, person
from gateway.clock import SystemClock, SystemIds
from gateway.domain.audit import AskedBy
from gateway.settings import SERVING, Settings, read_settings
from gateway.storage.books.audit_chain import AuditChain
from gateway.storage.books.case_list import CaseList
from gateway.storage.books.health_log import HealthHistory
from gateway.storage.connections import read_pool
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.act_list import ActList
from gateway.storage.registries.cut_offs import CutOffs
from gateway.storage.registries.people import Registry
from gateway.storage.registries.rekeying import Rekeying
from gateway.storage.registries.restored_log import RestoredLog
from gateway.storage.registries.rules import RuleRegistry
from gateway.storage.registries.supervisors import SupervisorRegistry
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.webhooks.endpoints import WebhookEndpoints
from security.vault import Vault


@dataclass(frozen=True, slots=True)
class Registries:
    """What administration works with."""

    asked_by: AskedBy
    people: Registry
    accounts: AccountRegistry
    cases: CaseList
    endpoints: WebhookRegistry
    webhooks: WebhookEndpoints
    rules: RuleRegistry
    health: HealthHistory
    restored: RestoredLog
    rekeying: Rekeying
    acts: ActList
    chain: AuditChain
    supervisors: SupervisorRegistry
    cut_offs: CutOffs


def act(options: argparse.Namespace, work: Callable[[Registries], Awaitable[None]]) -> int:
    """Run `work` on the installation that `options.data` or the environment names; returns 0."""

    async def run() -> None:
        async with registries(read_settings(environment(options.data), required=SERVING)) as opened:
            await work(opened)

    asyncio.run(run())
    return 0


@asynccontextmanager
async def registries(settings: Settings) -> AsyncIterator[Registries]:
    """Open them; closes the pool."""
    pool = await read_pool(settings.needed_database_url().reveal())
    asked_by, ids = AskedBy("person", person()), SystemIds()
    vault = Vault(settings.needed_master_keys(), opens_old=settings.opens_old_seals)
    endpoints = WebhookRegistry(pool, vault=vault, ids=ids, asked_by=asked_by)
    try:
        yield Registries(
            asked_by,
            Registry(
                pool,
                vault=vault,
                ids=ids,
                asked_by=asked_by,
                takes_test_keys=settings.takes_test_keys,
            ),
            AccountRegistry(
                pool,
                vault=vault,
                ids=ids,
                asked_by=asked_by,
                clock=SystemClock(),
                manifests=discover(),
            ),
            CaseList(pool),
            endpoints,
            WebhookEndpoints(endpoints, settings.allow_loopback_webhooks),
            RuleRegistry(pool, discover(), asked_by=asked_by),
            HealthHistory(pool),
            RestoredLog(pool, asked_by=asked_by),
            Rekeying(pool, vault=vault, ids=ids, asked_by=asked_by),
            ActList(pool),
            AuditChain(pool),
            SupervisorRegistry(pool, ids=ids, asked_by=asked_by),
            CutOffs(pool, asked_by=asked_by),
        )
    finally:
        await pool.close()
