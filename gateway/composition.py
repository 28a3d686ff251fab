"""The composition root: settings -> pools, stores, channels, flow, app.

The only file that names concrete classes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog
import uvloop

from adapters.discovery import discover
from adapters.transport import AiohttpTransport
from gateway.clock import Clock, DatabaseClock, SystemClock, SystemIds
from gateway.domain.audit import AskedBy
from gateway.domain.errors import GatewayError
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.callback import CallbackDesk
from gateway.flow.cancellation import Cancellation
from gateway.flow.case_closing import CaseClosing
from gateway.flow.checkout import Checkout
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.in_doubt import InDoubt
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.lost_attempts import LostAttempts
from gateway.flow.learn.on_read import OnRead
from gateway.flow.learn.transition import Transitions
from gateway.flow.lookup import Lookup
from gateway.flow.open.idempotency import KeyDesk
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.open.restored import Restored
from gateway.flow.refund import Refunds
from gateway.flow.send.failover import Failover
from gateway.flow.send.sending import Sender
from gateway.http.app import build_app
from gateway.http.exchange import EdgeDeps, Readiness
from gateway.http.serving import serve_until
from gateway.limits import LEFT_OUT_SHOWN_MAX, SIGNING_THREADS
from gateway.settings import Settings
from gateway.storage.books.audit_chain import AuditChain
from gateway.storage.books.health_log import HealthLog
from gateway.storage.books.outbox import PostgresOutbox
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.postgres import PostgresStore
from gateway.storage.redis.claims import NoClaims, RedisClaims
from gateway.storage.redis.health_board import NoBoard, RedisBoard
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.key_uses import KeyUses
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.storage.schema.migrate import MigrationError, pending
from gateway.telemetry.logs import configure_logs
from gateway.webhooks.courier import Courier
from gateway.webhooks.endpoints import WebhookEndpoints
from gateway.webhooks.line import WebhookLine
from gateway.workers.certificates import CertificateWatch
from gateway.workers.chainer import Chainer
from gateway.workers.heartbeat import Heartbeat
from gateway.workers.prober import Prober
from gateway.workers.supervisor import report_ready
from gateway.workers.sweeper import Sweeper
from security.errors import MasterKeyInvalid
from security.keyring import MasterKeys
from security.lines import unsafe_lines
from security.vault import Vault

log = structlog.get_logger("tillgate")


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
    webhooks: WebhookEndpoints
    outbox: PostgresOutbox
    in_doubt: InDoubt
    health: ChannelHealth
    calls: ChannelCalls
    clock: Clock
    ids: SystemIds
    key_uses: KeyUses
    worker_id: str


@asynccontextmanager
async def gateway(settings: Settings, host_clock: Clock | None = None) -> AsyncIterator[Gateway]:
    """Everything started, on the database's time; on the way out the roads under way end first,
    then the store is flushed and let go.
    """
    if settings.unsafe_lines == "warn":
        for words in unsafe_lines(settings.database_url, settings.redis_url):
            log.warning("unsafe_line", words=words)
    clock, ids = DatabaseClock(host_clock or SystemClock()), SystemIds()
    dsn = settings.needed_database_url().reveal()
    vault = Vault(settings.needed_master_keys(), opens_old=settings.opens_old_seals)
    worker_id = ids.new("wrk")
    with ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="signing") as signing:
        store = await PostgresStore.connected(dsn, vault.knows)
        heart = Heartbeat(store, worker_id, clock)
        await heart.beat()  # nothing is judged by the host's clock, unless the database is away
        claims = (
            RedisClaims(settings.redis_url.reveal(), clock) if settings.redis_url else NoClaims()
        )
        directory = SnapshotDirectory(
            dsn,
            vault=vault,
            clock=clock,
            manifests=discover(),
            new_transport=lambda: AiohttpTransport(clock=clock, signing_executor=signing),
            public_url=settings.public_url,
            allow_loopback_channels=settings.allow_loopback_channels,
            takes_test_keys=settings.takes_test_keys,
        )
        await directory.start()
        history = HealthLog(store.pool, worker_id)
        health = ChannelHealth(clock, told=history.note, worker_id=worker_id)
        world = _wired(
            settings=settings,
            store=store,
            claims=claims,
            directory=directory,
            health=health,
            vault=vault,
            clock=clock,
            ids=ids,
            worker_id=worker_id,
        )
        board = (
            RedisBoard(settings.redis_url.reveal(), clock, worker_id)
            if settings.redis_url
            else NoBoard()
        )
        prober = Prober(
            health=health,
            board=board,
            calls=world.calls,
            directory=directory,
            clock=clock,
            environment=settings.environment,
        )
        stop = asyncio.Event()
        beating = asyncio.create_task(heart.run(stop), name="heartbeat")
        keeping = [
            asyncio.create_task(prober.run(stop), name="prober"),
            asyncio.create_task(history.run(stop), name="health log"),
            asyncio.create_task(world.key_uses.run(stop), name="key uses"),
        ]
        try:
            yield world
        finally:
            await world.in_flight.close()
            stop.set()
            await beating
            await asyncio.gather(*keeping)
            await board.close()
            await directory.close()
            await claims.close()
            await store.close()


def _wired(
    *,
    settings: Settings,
    store: PostgresStore,
    claims: RedisClaims | NoClaims,
    directory: SnapshotDirectory,
    health: ChannelHealth,
    vault: Vault,
    clock: Clock,
    ids: SystemIds,
    worker_id: str,
) -> Gateway:
    environment = settings.environment
    in_flight = InFlight(store)
    calls = ChannelCalls(clock, health)
    lost = LostAttempts(
        store=store, directory=directory, calls=calls, clock=clock, ids=ids, environment=environment
    )
    transitions = Transitions(
        store=store,
        in_flight=in_flight,
        directory=directory,
        lost=lost,
        clock=clock,
        ids=ids,
        environment=environment,
    )
    on_read = OnRead(store=store, in_flight=in_flight, transitions=transitions, clock=clock)
    lookup = Lookup(store, in_flight, on_read)
    failover = Failover(
        directory=directory,
        health=health,
        clock=clock,
        ids=ids,
        environment=environment,
        worker_id=worker_id,
    )
    sender = Sender(
        directory=directory, transitions=transitions, calls=calls, health=health, failover=failover
    )
    orders = OrderDesk(store=store, transitions=transitions, in_flight=in_flight)
    refunds = Refunds(
        store=store,
        lookup=lookup,
        directory=directory,
        in_flight=in_flight,
        transitions=transitions,
        calls=calls,
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
            orders=orders,
            restored=Restored(
                store=store,
                directory=directory,
                transitions=transitions,
                lost=lost,
                orders=orders,
                clock=clock,
                ids=ids,
            ),
            in_flight=in_flight,
            on_read=on_read,
            sender=sender,
            health=health,
            clock=clock,
            ids=ids,
            digest=vault.digest,
            environment=environment,
            worker_id=worker_id,
        ),
        cancellation=Cancellation(lookup, transitions, in_flight),
        refunds=refunds,
        callbacks=CallbackDesk(
            store=store,
            directory=directory,
            transitions=transitions,
            calls=calls,
            clock=clock,
            ids=ids,
        ),
        webhooks=WebhookEndpoints(
            WebhookRegistry(
                store.pool, vault=vault, ids=ids, asked_by=AskedBy("gateway", worker_id)
            ),
            settings.allow_loopback_webhooks,
        ),
        outbox=PostgresOutbox(store.pool, vault),
        in_doubt=InDoubt(
            store=store,
            directory=directory,
            transitions=transitions,
            refunds=refunds,
            calls=calls,
            sender=sender,
            in_flight=in_flight,
            clock=clock,
        ),
        health=health,
        calls=calls,
        clock=clock,
        ids=ids,
        key_uses=KeyUses(store.pool, clock),
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
        webhooks=world.webhooks,
        directory=world.directory,
        clock=world.clock,
        ids=world.ids,
        key_used=world.key_uses.note,
        readiness=_readiness(world, dsn),
    )


def _readiness(world: Gateway, dsn: str) -> Callable[[], Awaitable[Readiness]]:
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

    return look


def _secrets(directory: SnapshotDirectory) -> str:
    """What was left out; a row that is broken for every worker makes none of them unready."""
    left_out = directory.unopened or list(directory.problems)
    if not left_out:
        return "all open"
    named = ", ".join(sorted(left_out)[:LEFT_OUT_SHOWN_MAX])
    return f"{len(left_out)} left out ({named}): `tillgate doctor` says why"


def case_closing(world: Gateway) -> CaseClosing:
    """For `tillgate case close`."""
    return CaseClosing(world.store, world.transitions, world.clock)


def serve_worker(settings: Settings, listening: socket.socket) -> int:
    """One worker of `tillgate serve`: until SIGTERM, then drained. Returns the exit code."""
    configure_logs(settings.log_level, settings.log_format)
    uvloop.run(_serve(_with_present_keys(settings), listening))
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


async def _serve(settings: Settings, listening: socket.socket) -> None:
    stop = _stopped_by_signals()
    async with gateway(settings) as world:
        app = build_app(edge_deps(world, settings.needed_database_url().reveal()))
        await serve_until(
            app, listening, stop, on_started=report_ready, on_draining=world.in_flight.let_go
        )


def run_work(settings: Settings) -> int:
    """`tillgate work`: the sweeper, the webhooks' courier and the audit chain, until SIGTERM.

    Returns the exit code.
    """
    configure_logs(settings.log_level, settings.log_format)
    uvloop.run(_work(settings))
    return 0


async def _work(settings: Settings) -> None:
    stop = _stopped_by_signals()
    async with (
        gateway(settings) as world,
        courier(world, settings) as webhooks,
        asyncio.TaskGroup() as workers,
    ):
        workers.create_task(
            Sweeper(world.store, world.in_doubt, world.clock).run(stop), name="sweeper"
        )
        workers.create_task(webhooks.run(stop), name="courier")
        chain = AuditChain(world.store.pool)
        workers.create_task(Chainer(chain, world.clock).run(stop), name="audit chain")
        watch = CertificateWatch(_listed_accounts(world, settings), world.clock)
        workers.create_task(watch.run(stop), name="certificates")


def _listed_accounts(world: Gateway, settings: Settings) -> AccountRegistry:
    return AccountRegistry(
        world.store.pool,
        vault=Vault(settings.needed_master_keys(), opens_old=settings.opens_old_seals),
        ids=world.ids,
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
            ids=world.ids,
            chance=random.SystemRandom(),
        )
    finally:
        await line.aclose()


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
