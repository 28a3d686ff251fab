"""A whole gateway in this process, on real servers: one shop with its keys and accounts, served on
a free port.

The sweeper and the webhooks' courier run beside it unless a test wants to hold them still.
Callbacks reach the gateway because its address is known before the accounts are enrolled.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.discovery import discover
from gateway.cli.client.client import Answer, Client
from gateway.clock import Clock, SystemClock, SystemIds
from gateway.composition import Gateway, gateway
from gateway.domain.audit import AskedBy
from gateway.http.app import build_app
from gateway.http.serving import Listening, serve_until
from gateway.service import courier, edge, operations_app
from gateway.settings import Settings, read_settings
from gateway.storage.connections import read_pool
from gateway.storage.registries.accounts import AccountRegistry
from gateway.storage.registries.people import Registry
from gateway.workers.sweeper import Sweeper
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.roles import Role
from security.vault import Vault
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess

MASTER = "v1:" + "A" * 43 + "="
STORE = "store_1"
TESTER = AskedBy("person", "tester")

SERVICE_UNAVAILABLE, TAP_PAUSE_S = 503, 0.1

_orders = itertools.count(1)


def order_no() -> str:
    """A bill number nobody has used in this process."""
    return f"T-{next(_orders):06d}"


async def tapped(
    tap: Callable[[], Awaitable[Answer | None]], code: str, within_s: float = PATIENCE_S
) -> Answer | None:
    """The same tap again while it is answered `try_again` for this reason, as a till does: the key
    is free until a payment exists.
    """
    async with asyncio.timeout(within_s):
        while True:
            answer = await tap()
            if answer is None or answer.status != SERVICE_UNAVAILABLE:
                return answer
            said = answer.document
            if (said["code"], said["verdict"]["code"]) != (code, "try_again"):
                return answer
            await asyncio.sleep(TAP_PAUSE_S)


@dataclass(slots=True)
class Books:
    """What one test provisioned."""

    dsn: str
    settings: Settings
    merchant_id: str = ""
    terminal_id: str = ""
    terminal: tuple[str, Any] = ("", None)
    merchant: tuple[str, Any] = ("", None)
    accounts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Shop:
    """The running gateway and its clients: `till` holds a terminal key, `office` a merchant key.

    `heard`: the till's last answer. A test that fails shows it.
    """

    world: Gateway = field(repr=False)
    books: Books = field(repr=False)
    base_url: str = field(repr=False)
    operations_url: str = field(repr=False)
    till: Client = field(repr=False)
    office: Client = field(repr=False)
    channels_side: SandboxProcess | None = field(repr=False)
    heard: str = "nothing"

    @property
    def sandbox(self) -> SandboxProcess:
        """The other side of the wire; only where the shop was opened with one."""
        assert self.channels_side is not None
        return self.channels_side

    async def pay(self, amount: int, *, key: str | None = None, **terms: Any) -> Answer:
        """As a till pays: the same tap again while the store says to try again. On a starved
        machine a worker may be too old or too slow to decide, and says so.
        """
        order = terms.pop("order_no", None) or order_no()
        answer = await tapped(
            lambda: self.tap(amount, key=key, order_no=order, **terms), "store_unavailable"
        )
        assert answer is not None
        return answer

    async def tap(
        self, amount: int, *, key: str | None = None, wait_s: int | None = None, **body: Any
    ) -> Answer:
        """One request, whatever it is answered."""
        order = body.pop("order_no", None) or order_no()
        answer = await self.till.pay(
            {"order_no": order, "amount": amount, **body}, key or f"key-{order}", wait_s=wait_s
        )
        self.heard = f"{answer.status} {answer.text}"
        return answer

    async def settled(self, payment_id: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The payment once its status is final; fails the test when it takes too long."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.office.payment(payment_id, wait_s=2)
                if answer.document["next_action"] is None:
                    return dict(answer.document)

    async def rows(self, sql: str, *arguments: object) -> list[Any]:
        return await self.world.store._fetch(sql, *arguments)

    async def captured(self, account: str) -> dict[str, dict[str, Any]]:
        """The sandbox's own ledger of the account `books.accounts[account]`,
        by channel order number.
        """
        channel = account.partition("_")[0]
        return {
            row["out_trade_no"]: row
            for row in await self.sandbox.ledger(channel, self.books.accounts[account])
        }


def settings_for(dsn: str, redis_url: str | None, public_url: str | None) -> Settings:
    given = {
        "TILLGATE_DATABASE_URL": dsn,
        "TILLGATE_MASTER_KEY": MASTER,
        "TILLGATE_ALLOW_LOOPBACK_CHANNELS": "yes",
        "TILLGATE_ALLOW_LOOPBACK_WEBHOOKS": "yes",
        "TILLGATE_LOG_LEVEL": "error",
        "TILLGATE_RATE_FACTOR": "1000",
    }
    return read_settings(
        given
        | ({"TILLGATE_REDIS_URL": redis_url} if redis_url else {})
        | ({"TILLGATE_PUBLIC_URL": public_url} if public_url else {})
    )


async def provisioned(
    settings: Settings,
    sandbox: SandboxProcess | None,
    tag: str,
    extra_accounts: Mapping[str, int] | None = None,
    **modes: str,
) -> Books:
    """A merchant with one store, one terminal, both kinds of key, a cash account and one account of
    each remote channel.

    `extra_accounts`: backups by channel: {"alipay": 2} also makes accounts "alipay_2" and
    "alipay_3", each with a higher priority number.
    """
    books = Books(settings.needed_database_url().reveal(), settings)
    vault, ids, manifests = (
        Vault(MasterKeys.from_text(MASTER, source="test")),
        SystemIds(),
        discover(),
    )
    pool = await read_pool(books.dsn)
    try:
        registry = Registry(pool, vault=vault, ids=ids, asked_by=TESTER)
        accounts = AccountRegistry(
            pool,
            vault=vault,
            ids=ids,
            asked_by=TESTER,
            clock=SystemClock(),
            manifests=manifests,
        )
        books.merchant_id = (await registry.create_merchant("Noodle House")).id
        await registry.create_store(books.merchant_id, "Main street", STORE)
        books.terminal_id = (await registry.create_terminal(books.merchant_id, STORE, "Till 1")).id
        till = await registry.issue_terminal_key(
            books.merchant_id, books.terminal_id, KeyEnvironment.TEST
        )
        office = await registry.issue_merchant_key(
            books.merchant_id, Role.MERCHANT, KeyEnvironment.TEST
        )
        books.terminal, books.merchant = (till.id, till.secret), (office.id, office.secret)
        books.accounts["cash"] = await accounts.create(books.merchant_id, "cash")
        if sandbox is not None:
            for channel in sorted(
                name for name, manifest in manifests.items() if manifest.settles == "remote"
            ):
                for place in range(1, 2 + (extra_accounts or {}).get(channel, 0)):
                    name = channel if place == 1 else f"{channel}_{place}"
                    account = f"acct_{name}_{tag}"
                    terms = {
                        "profile": "short",
                        **({"mode": modes[channel]} if channel in modes else {}),
                    }
                    enrolled = await sandbox.enroll(channel, account, **terms)
                    credentials = json.dumps(enrolled["credentials"]).encode()
                    books.accounts[name] = await accounts.create(
                        books.merchant_id,
                        channel,
                        credentials,
                        priority=100 * place,
                        account_id=account,
                    )
    finally:
        await pool.close()
    return books


@contextlib.asynccontextmanager
async def shop(
    dsn: str,
    *,
    redis_url: str | None = None,
    sandbox: SandboxProcess | None = None,
    sweep: bool = True,
    deliver: bool = True,
    extra_accounts: Mapping[str, int] | None = None,
    host_clock: Clock | None = None,
    **modes: str,
) -> AsyncIterator[Shop]:
    """Open the shop; closed and drained on the way out.

    `host_clock`: what the gateway's host believes.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    settings = settings_for(dsn, redis_url, _url(listening))
    books = await provisioned(
        settings, sandbox, f"{next(_orders)}_{listening.getsockname()[1]}", extra_accounts, **modes
    )
    async with _open(
        settings, books, listening, sandbox, sweep=sweep, deliver=deliver, host_clock=host_clock
    ) as opened:
        yield opened


@contextlib.asynccontextmanager
async def reopened(
    books: Books,
    *,
    redis_url: str | None = None,
    sandbox: SandboxProcess | None = None,
    sweep: bool = True,
) -> AsyncIterator[Shop]:
    """The same shop on another day: its books stand,
    whatever a worker had learned of its channels is forgotten.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    async with _open(
        settings_for(books.dsn, redis_url, _url(listening)), books, listening, sandbox, sweep=sweep
    ) as opened:
        yield opened


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.asynccontextmanager
async def _open(
    settings: Settings,
    books: Books,
    listening: socket.socket,
    sandbox: SandboxProcess | None,
    *,
    sweep: bool,
    deliver: bool = True,
    host_clock: Clock | None = None,
) -> AsyncIterator[Shop]:
    base_url = _url(listening)
    stop = asyncio.Event()
    operations = socket.create_server(("127.0.0.1", 0))
    operations_url = _url(operations)
    async with (
        gateway(settings, host_clock) as world,
        courier(world, settings) as webhooks,
        edge(world, settings) as deps,
    ):
        started = asyncio.Event()
        serving = asyncio.create_task(
            serve_until(
                Listening(app=build_app(deps), socket=listening, peers=deps.door.peers),
                stop,
                operations=Listening(app=operations_app(world, settings), socket=operations),
                on_started=started.set,
                drain_grace_s=0,
            )
        )
        sweeping = (
            asyncio.create_task(Sweeper(world.store, world.in_doubt, world.clock).run(stop))
            if sweep
            else None
        )
        delivering = asyncio.create_task(webhooks.run(stop)) if deliver else None
        await started.wait()
        try:
            async with (
                Client(base_url, *books.terminal) as till,
                Client(base_url, *books.merchant) as office,
            ):
                yield Shop(world, books, base_url, operations_url, till, office, sandbox)
        finally:
            stop.set()
            await serving
            if sweeping is not None:
                await sweeping
            if delivering is not None:
                await delivering
