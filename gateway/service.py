"""What `tillgate serve` and `tillgate work` run: the wired gateway behind its listeners, until a
signal says stop.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import structlog
import uvloop
from aiohttp import web

from gateway.composition import Gateway, gateway, start_logs
from gateway.domain.audit import AskedBy
from gateway.domain.errors import GatewayError
from gateway.edge_limits import READINESS_AGE_MS_MAX
from gateway.http.app import build_app, build_operations_app
from gateway.http.connections import OF_OPERATORS, Bounds, connections_within, descriptors
from gateway.http.door import Door
from gateway.http.exchange import EdgeDeps, Readiness
from gateway.http.operations import OperationsDeps
from gateway.http.peers import Peers
from gateway.http.rates import Rates
from gateway.http.raw_body import BodyBudget
from gateway.http.remembered import Remembered
from gateway.http.serving import Listening, accepting, serve_until
from gateway.limits import LEFT_OUT_SHOWN_MAX
from gateway.settings import Settings
from gateway.storage.books.audit_chain import AuditChain
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.redis.rates import RedisBuckets
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.key_uses import KeyUses
from gateway.storage.registries.signatures import PostgresSignatures
from gateway.storage.schema.migrate import MigrationError, pending
from gateway.webhooks.courier import Courier
from gateway.webhooks.line import WebhookLine
from gateway.workers.certificates import CertificateWatch
from gateway.workers.chainer import Chainer
from gateway.workers.feed_watch import FeedWatch
from gateway.workers.forked import LEAVE, report_ready
from gateway.workers.sweeper import Sweeper
from security.errors import MasterKeyInvalid
from security.keyring import MasterKeys

log = structlog.get_logger("tillgate")


def serve_worker(
    settings: Settings, listening: socket.socket, operations: socket.socket | None
) -> int:
    """One worker of `tillgate serve`: until SIGTERM, then drained. Returns the exit code."""
    start_logs(settings)
    uvloop.run(_serve(_with_present_keys(settings), listening, operations))
    return 0


def _with_present_keys(settings: Settings) -> Settings:
    """The master keys as they stand in the file now: the parent read it when it started, and a
    worker of a rolling restart is to know a key that came since.

    A file that cannot be read any more does not keep a worker from being replaced.
    """
    try:
        return replace(settings, master_keys=MasterKeys.from_environment(os.environ))
    except MasterKeyInvalid as error:
        log.critical("master_keys_not_read_again", error=str(error))
        return settings


async def _serve(
    settings: Settings, listening: socket.socket, operations: socket.socket | None
) -> None:
    stop, leaving = _set_by_signals(signal.SIGTERM, signal.SIGINT), _set_by_signals(LEAVE)
    async with gateway(settings) as world, edge(world, settings) as deps:
        await serve_until(
            Listening(
                app=build_app(deps),
                socket=listening,
                bounds=Bounds(connections=connections_within(descriptors())),
                peers=deps.door.peers,
            ),
            stop,
            operations=_of_operators(world, settings, operations),
            leaving=leaving,
            on_started=report_ready,
            on_draining=world.in_flight.let_go,
        )


def _of_operators(
    world: Gateway, settings: Settings, listening: socket.socket | None
) -> Listening | None:
    if listening is None:
        return None
    return Listening(app=operations_app(world, settings), socket=listening, bounds=OF_OPERATORS)


def run_work(settings: Settings, operations: socket.socket | None) -> int:
    """`tillgate work`: the sweeper, the webhooks' courier and the audit chain, until SIGTERM.

    Returns the exit code.
    """
    uvloop.run(_work(settings, operations))
    return 0


async def _work(settings: Settings, operations: socket.socket | None) -> None:
    stop = _set_by_signals(signal.SIGTERM, signal.SIGINT)
    async with gateway(settings) as world, AsyncExitStack() as stack:
        webhooks = await stack.enter_async_context(courier(world, settings))
        of_operators = _of_operators(world, settings, operations)
        if of_operators is not None:
            await stack.enter_async_context(accepting("operations", of_operators))
        async with asyncio.TaskGroup() as workers:
            workers.create_task(
                Sweeper(world.store, world.in_doubt, world.clock).run(stop), name="sweeper"
            )
            workers.create_task(webhooks.run(stop), name="courier")
            chain = AuditChain(world.store.pool)
            workers.create_task(Chainer(chain, world.clock).run(stop), name="audit chain")
            watch = CertificateWatch(_listed_accounts(world), world.clock)
            workers.create_task(watch.run(stop), name="certificates")
            workers.create_task(FeedWatch(world.store.waits).run(stop), name="feed watch")


def _listed_accounts(world: Gateway) -> AccountRegistry:
    return AccountRegistry(
        world.store.pool,
        vault=world.vault,
        ids=world.ports.ids,
        asked_by=AskedBy("gateway", world.worker_id),
        clock=world.clock,
        manifests=world.directory.manifests(),
    )


@asynccontextmanager
async def courier(world: Gateway, settings: Settings) -> AsyncIterator[Courier]:
    """The webhooks' courier with its own way out to the network."""
    line = WebhookLine(allow_loopback=settings.allow_loopback_webhooks)
    try:
        yield Courier(
            outbox=world.outbox,
            line=line,
            cases=world.store,
            clock=world.clock,
            ids=world.ports.ids,
            chance=random.SystemRandom(),
        )
    finally:
        await line.aclose()


def _set_by_signals(*numbers: signal.Signals) -> asyncio.Event:
    heard = asyncio.Event()
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, heard.set)
    return heard


@asynccontextmanager
async def edge(world: Gateway, settings: Settings) -> AsyncIterator[EdgeDeps]:
    """What the edge is given; its rates are kept together by Redis meanwhile."""
    shared = RedisBuckets(settings.redis_url.reveal(), world.clock) if settings.redis_url else None
    rates = Rates(
        workers=settings.workers,
        factor=settings.rate_factor,
        shared=shared,
        monotonic=world.clock.monotonic,
    )
    exchanging = asyncio.create_task(rates.run(), name="rates")
    key_uses, ended = KeyUses(world.store.pool, world.clock), asyncio.Event()
    noting = asyncio.create_task(key_uses.run(ended), name="key uses")
    try:
        yield EdgeDeps(
            checkout=world.checkout,
            cancellation=world.cancellation,
            refunds=world.refunds,
            lookup=world.lookup,
            prospects=world.prospects,
            callbacks=world.callbacks,
            webhooks=world.webhooks,
            directory=world.directory,
            clock=world.clock,
            ids=world.ports.ids,
            key_used=key_uses.note,
            readiness=readiness(world, settings),
            door=Door(Peers(settings.trusted_proxies), rates),
            bodies=BodyBudget(),
            signatures=PostgresSignatures(world.store.pool),
        )
    finally:
        ended.set()
        await noting
        exchanging.cancel()
        with suppress(asyncio.CancelledError):
            await exchanging
        if shared is not None:
            await shared.close()


def operations_app(world: Gateway, settings: Settings) -> web.Application:
    """The application of the listener for operations."""
    return build_operations_app(
        OperationsDeps(readiness=readiness(world, settings), clock=world.clock, ids=world.ports.ids)
    )


def readiness(world: Gateway, settings: Settings) -> Callable[[], Awaitable[Readiness]]:
    """Looks at everything a worker needs, however many ask, a few times a second at most."""
    dsn = settings.needed_database_url().reveal()
    migrated = False

    async def look() -> Readiness:
        nonlocal migrated
        postgres, schema = await world.store.state(), "unknown"
        if postgres == "up":
            try:
                migrated = migrated or not await pending(dsn)
                schema = "migrated" if migrated else "behind: run `tillgate migrate`"
            except (GatewayError, OSError):
                postgres = "down"
            except MigrationError as error:
                schema = str(error)
        checks = {
            "postgres": postgres,
            "schema": schema,
            "directory": "fresh" if world.directory.fresh() else "stale",
            "secrets": _secrets(world.directory),
            "redis": await world.claims.state(),
        }
        # What this worker alone cannot open, another worker may: it gets the traffic.
        able = world.directory.fresh() and not world.directory.unopened
        return Readiness(ready=postgres == "up" and migrated and able, checks=checks)

    return Remembered(look, READINESS_AGE_MS_MAX)


def _secrets(directory: SnapshotDirectory) -> str:
    """What was left out; a row that is broken for every worker makes none of them unready."""
    left_out = directory.unopened or list(directory.problems)
    if not left_out:
        return "all open"
    named = ", ".join(sorted(left_out)[:LEFT_OUT_SHOWN_MAX])
    return f"{len(left_out)} left out ({named}): `tillgate doctor` says why"
