"""The composition root: settings -> pools, stores, channels, flow, app. The only file that names concrete classes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvloop

from adapters.discovery import discover
from adapters.transport import AiohttpTransport
from gateway.clock import Clock, SystemClock, SystemIds
from gateway.domain.errors import GatewayError
from gateway.flow.callback import CallbackDesk
from gateway.flow.cancellation import Cancellation
from gateway.flow.case_closing import CaseClosing
from gateway.flow.checkout import Checkout
from gateway.flow.idempotency import KeyDesk
from gateway.flow.in_doubt import InDoubt
from gateway.flow.in_flight import InFlight
from gateway.flow.lookup import Lookup
from gateway.flow.refund import Refunds
from gateway.flow.transition import Transitions
from gateway.http.app import build_app
from gateway.http.exchange import EdgeDeps, Readiness
from gateway.http.serving import serve_until
from gateway.limits import SIGNING_THREADS
from gateway.settings import Settings
from gateway.storage.claims import NoClaims, RedisClaims
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.migrate import pending
from gateway.storage.postgres import PostgresStore
from gateway.telemetry.logs import configure_logs
from gateway.workers.supervisor import report_ready
from gateway.workers.sweeper import Sweeper, heartbeat
from security.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One worker's whole world, wired."""

    store: PostgresStore
    claims: RedisClaims | NoClaims
    directory: SnapshotDirectory
    in_flight: InFlight
    transitions: Transitions
    lookup: Lookup
    checkout: Checkout
    cancellation: Cancellation
    refunds: Refunds
    callbacks: CallbackDesk
    in_doubt: InDoubt
    clock: Clock
    ids: SystemIds
    worker_id: str


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Everything started; on the way out the roads under way end first, then the store is flushed and let go."""
    clock, ids = SystemClock(), SystemIds()
    dsn = settings.needed_database_url().reveal()
    vault = Vault(settings.needed_master_keys())
    worker_id = ids.new("wrk")
    with ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="signing") as signing:
        store = await PostgresStore.connected(dsn)
        claims = RedisClaims(settings.redis_url.reveal(), clock) if settings.redis_url else NoClaims()
        directory = SnapshotDirectory(
            dsn,
            vault=vault,
            clock=clock,
            manifests=discover(),
            new_transport=lambda: AiohttpTransport(clock=clock, signing_executor=signing),
            public_url=settings.public_url,
            allow_loopback_channels=settings.allow_loopback_channels,
        )
        await directory.start()
        world = _wired(
            settings=settings, store=store, claims=claims, directory=directory, vault=vault, clock=clock, ids=ids, worker_id=worker_id
        )
        stop = asyncio.Event()
        beating = asyncio.create_task(heartbeat(store, worker_id, clock, stop), name="heartbeat")
        try:
            yield world
        finally:
            await world.in_flight.close()
            stop.set()
            await beating
            await directory.close()
            await claims.close()
            await store.close()


def _wired(
    *,
    settings: Settings,
    store: PostgresStore,
    claims: RedisClaims | NoClaims,
    directory: SnapshotDirectory,
    vault: Vault,
    clock: Clock,
    ids: SystemIds,
    worker_id: str,
) -> Gateway:
    environment = settings.environment
    in_flight = InFlight(store)
    lookup = Lookup(store, in_flight)
    transitions = Transitions(store=store, in_flight=in_flight, directory=directory, clock=clock, ids=ids, environment=environment)
    refunds = Refunds(
        store=store,
        lookup=lookup,
        directory=directory,
        in_flight=in_flight,
        transitions=transitions,
        clock=clock,
        ids=ids,
        environment=environment,
    )
    return Gateway(
        store=store,
        claims=claims,
        directory=directory,
        in_flight=in_flight,
        transitions=transitions,
        lookup=lookup,
        checkout=Checkout(
            store=store,
            directory=directory,
            keys=KeyDesk(store, claims, ids),
            in_flight=in_flight,
            transitions=transitions,
            clock=clock,
            ids=ids,
            digest=vault.digest,
            environment=environment,
            worker_id=worker_id,
        ),
        cancellation=Cancellation(lookup, transitions, in_flight),
        refunds=refunds,
        callbacks=CallbackDesk(store=store, directory=directory, transitions=transitions, clock=clock, ids=ids),
        in_doubt=InDoubt(store=store, directory=directory, transitions=transitions, refunds=refunds, clock=clock),
        clock=clock,
        ids=ids,
        worker_id=worker_id,
    )


def edge_deps(world: Gateway, dsn: str) -> EdgeDeps:
    """What the edge is given."""
    return EdgeDeps(
        checkout=world.checkout,
        cancellation=world.cancellation,
        refunds=world.refunds,
        lookup=world.lookup,
        callbacks=world.callbacks,
        directory=world.directory,
        clock=world.clock,
        ids=world.ids,
        readiness=_readiness(world, dsn),
    )


def _readiness(world: Gateway, dsn: str) -> Callable[[], Awaitable[Readiness]]:
    migrated = False

    async def look() -> Readiness:
        nonlocal migrated
        checks = {"postgres": "up", "schema": "migrated", "directory": "fresh", "redis": await world.claims.state()}
        try:
            await world.store.alive()
            migrated = migrated or not await pending(dsn)
        except (GatewayError, OSError):
            checks |= {"postgres": "down", "schema": "unknown"}
        if checks["postgres"] == "up" and not migrated:
            checks["schema"] = "behind: run `tillgate migrate`"
        if not world.directory.fresh():
            checks["directory"] = "stale"
        ready = checks["postgres"] == "up" and migrated and world.directory.fresh()
        return Readiness(ready=ready, checks=checks)

    return look


def case_closing(world: Gateway) -> CaseClosing:
    """For `tillgate case close`."""
    return CaseClosing(world.store, world.transitions, world.clock)


def serve_worker(settings: Settings, listening: socket.socket, index: int) -> int:
    """One worker of `tillgate serve`: until SIGTERM, then drained. Returns the exit code."""
    del index
    configure_logs(settings.log_level, settings.log_format)
    uvloop.run(_serve(settings, listening))
    return 0


async def _serve(settings: Settings, listening: socket.socket) -> None:
    stop = _stopped_by_signals()
    async with gateway(settings) as world:
        app = build_app(edge_deps(world, settings.needed_database_url().reveal()))
        await serve_until(app, listening, stop, on_started=report_ready, on_draining=world.in_flight.let_go)


def run_work(settings: Settings) -> int:
    """`tillgate work`: the sweeper, until SIGTERM. Returns the exit code."""
    configure_logs(settings.log_level, settings.log_format)
    uvloop.run(_work(settings))
    return 0


async def _work(settings: Settings) -> None:
    stop = _stopped_by_signals()
    async with gateway(settings) as world:
        await Sweeper(world.store, world.in_doubt, world.clock).run(stop)


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
