"""The composition root: settings -> pools, stores, channels, flow, app.

It names the concrete classes; `gateway.service` names those of the two services around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from adapters.channel import Manifest, Means
from adapters.discovery import discover
from gateway.clock import Clock, DatabaseClock, SystemClock, SystemIds
from gateway.domain.audit import AskedBy
from gateway.domain.identifiers import Numbers
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
from gateway.flow.learn.prospects import Prospects
from gateway.flow.learn.transition import Transitions
from gateway.flow.lookup import Lookup
from gateway.flow.open.idempotency import KeyDesk
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.open.restored import Restored
from gateway.flow.ports import Ports
from gateway.flow.refund import Refunds
from gateway.flow.send.failover import Failover
from gateway.flow.send.sending import Sender
from gateway.limits import SIGNING_THREADS
from gateway.settings import Settings
from gateway.storage.books.health_log import HealthLog
from gateway.storage.books.outbox import PostgresOutbox
from gateway.storage.built_accounts import BuiltAccounts
from gateway.storage.directory import SnapshotDirectory
from gateway.storage.postgres import PostgresStore
from gateway.storage.redis.claims import NoClaims, RedisClaims
from gateway.storage.redis.health_board import NoBoard, RedisBoard
from gateway.storage.registries.supervisors import SupervisorProof
from gateway.storage.registries.webhooks import WebhookRegistry
from gateway.telemetry.logs import configure_logs
from gateway.webhooks.endpoints import WebhookEndpoints
from gateway.workers.heartbeat import Heartbeat
from gateway.workers.prober import Prober
from security.lines import unsafe_lines
from security.redaction import Redaction
from security.vault import Vault

log = structlog.get_logger("tillgate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One worker's whole world, wired."""

    ports: Ports
    store: PostgresStore
    claims: RedisClaims | NoClaims
    directory: SnapshotDirectory
    in_flight: InFlight
    transitions: Transitions
    lookup: Lookup
    prospects: Prospects
    checkout: Checkout
    cancellation: Cancellation
    refunds: Refunds
    callbacks: CallbackDesk
    webhooks: WebhookEndpoints
    outbox: PostgresOutbox
    in_doubt: InDoubt
    health: ChannelHealth
    calls: ChannelCalls
    vault: Vault
    worker_id: str

    @property
    def clock(self) -> Clock:
        """The database's time."""
        return self.ports.clock


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
        accounts = BuiltAccounts(
            vault=vault,
            means=Means(clock=clock, signing_executor=signing),
            manifests=discover(),
            public_url=settings.public_url,
            allow_loopback_channels=settings.allow_loopback_channels,
        )
        directory = SnapshotDirectory(
            dsn,
            vault=vault,
            clock=clock,
            accounts=accounts,
            takes_test_keys=settings.takes_test_keys,
        )
        await directory.start()
        history = HealthLog(store.pool, worker_id)
        numbers = Numbers(settings.environment)
        world = _wired(
            settings=settings,
            ports=Ports(store=store, directory=directory, clock=clock, ids=ids, numbers=numbers),
            store=store,
            claims=claims,
            directory=directory,
            health=ChannelHealth(clock, told=history.note, worker_id=worker_id),
            vault=vault,
            worker_id=worker_id,
        )
        board = (
            RedisBoard(settings.redis_url.reveal(), clock, worker_id)
            if settings.redis_url
            else NoBoard()
        )
        prober = Prober(health=world.health, board=board, calls=world.calls, ports=world.ports)
        stop = asyncio.Event()
        beating = asyncio.create_task(heart.run(stop), name="heartbeat")
        keeping = [
            asyncio.create_task(prober.run(stop), name="prober"),
            asyncio.create_task(history.run(stop), name="health log"),
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
    ports: Ports,
    store: PostgresStore,
    claims: RedisClaims | NoClaims,
    directory: SnapshotDirectory,
    health: ChannelHealth,
    vault: Vault,
    worker_id: str,
) -> Gateway:
    clock, ids = ports.clock, ports.ids
    in_flight, calls = InFlight(store), ChannelCalls(clock, health)
    lost = LostAttempts(ports=ports, calls=calls)
    transitions = Transitions(ports=ports, in_flight=in_flight, lost=lost)
    on_read = OnRead(store=store, in_flight=in_flight, transitions=transitions, clock=clock)
    lookup = Lookup(store, in_flight, on_read)
    orders = OrderDesk(
        store=store,
        directory=directory,
        supervisors=SupervisorProof(store.pool),
        transitions=transitions,
        in_flight=in_flight,
    )
    failover = Failover(ports=ports, health=health, worker_id=worker_id)
    sender = Sender(transitions=transitions, calls=calls, health=health, failover=failover)
    refunds = Refunds(
        ports=ports, lookup=lookup, in_flight=in_flight, transitions=transitions, calls=calls
    )
    me = AskedBy("gateway", worker_id)
    registry = WebhookRegistry(store.pool, vault=vault, ids=ids, asked_by=me)
    return Gateway(
        ports=ports,
        store=store,
        claims=claims,
        directory=directory,
        in_flight=in_flight,
        transitions=transitions,
        lookup=lookup,
        prospects=Prospects(directory, transitions, clock),
        checkout=Checkout(
            ports=ports,
            keys=KeyDesk(store, claims, ids),
            orders=orders,
            restored=Restored(ports=ports, transitions=transitions, lost=lost, orders=orders),
            in_flight=in_flight,
            on_read=on_read,
            sender=sender,
            health=health,
            digest=vault.digest,
            worker_id=worker_id,
        ),
        cancellation=Cancellation(lookup, transitions, in_flight),
        refunds=refunds,
        callbacks=CallbackDesk(ports=ports, transitions=transitions, calls=calls),
        webhooks=WebhookEndpoints(registry, settings.allow_loopback_webhooks),
        outbox=PostgresOutbox(store.pool, vault),
        in_doubt=InDoubt(
            ports=ports,
            transitions=transitions,
            refunds=refunds,
            calls=calls,
            sender=sender,
            in_flight=in_flight,
        ),
        health=health,
        calls=calls,
        vault=vault,
        worker_id=worker_id,
    )


def start_logs(settings: Settings, manifests: Mapping[str, Manifest] | None = None) -> None:
    """The process's logs, which hide the payment codes of every channel that is installed."""
    known = (discover() if manifests is None else manifests).values()
    codes = tuple(pattern for manifest in known for pattern in manifest.auth_codes)
    configure_logs(settings.log_level, settings.log_format, Redaction(codes))


def case_closing(world: Gateway) -> CaseClosing:
    """For `tillgate case`."""
    return CaseClosing(world.store, world.store, world.transitions, world.clock)
