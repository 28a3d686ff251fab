"""The drill's whole installation on loopback: PostgreSQL, Redis, the sandbox, `gateway serve` and
`gateway work`, each a real process.

One merchant with three accounts of one wallet, priority 100, 200 and 300, and one till. Everything
is ended on the way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.cli.dev.children import Child, start_child
from gateway.cli.dev.ports import reserved_port
from gateway.cli.dev.sandbox_control import SandboxControl
from gateway.cli.registries import registries
from gateway.cli.surroundings import read_private, without_settings
from gateway.edge_limits import RATE_FACTOR_MAX
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from gateway.settings import SERVING, read_settings
from gateway.storage.schema.migrate import migrate
from loadtests.evil_redis import evil_redis
from security.key_material import KeyEnvironment
from security.keyring import FILE_VARIABLE, MasterKeys
from security.secret import Secret

START_S = 60.0
POLL_S = 0.05
PRIORITIES = {"A": 100, "B": 200, "C": 300}
STORE = "sto_drill"


class Channels(SandboxControl):
    """The sandbox's control API, as far as the drill needs it."""

    async def open_account(self, channel: str, account: str, profile: str) -> dict[str, Any]:
        """A new account; its credentials."""
        body = {"channel": channel, "account": account, "profile": profile}
        credentials: dict[str, Any] = (await self._call("POST", "accounts", body))["credentials"]
        return credentials

    async def break_it(
        self, channel: str, account: str, operation: str, fault: str, **terms: Any
    ) -> None:
        """Arm a fault. Terms: probability, delay_ms."""
        await self._call(
            "POST",
            "faults",
            {"channel": channel, "account": account, "operation": operation, "fault": fault}
            | terms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked for.

    `redis`: up, killed, evil. `database` (empty) and `redis_url`: servers to use in place of
    embedded ones.
    """

    channel: str = "alipay"
    profile: str = "standard"
    workers: int = 2
    redis: str = "up"
    database: str | None = None
    redis_url: str | None = None


@dataclass(slots=True)
class House:
    """The running installation. `accounts`: letter -> channel account id."""

    base_url: str
    dsn: str
    channels: Channels
    key: tuple[str, Secret]
    accounts: dict[str, str]
    redis: EmbeddedRedis | None
    # What the evil Redis was asked, and granted.
    lies: dict[bytes, int] = field(default_factory=dict)

    def kill_redis(self) -> None:
        """Kill -9; it stays dead."""
        assert self.redis is not None, "only a Redis of our own is killed"
        os.kill(int(self.redis.pid_file.read_text()), signal.SIGKILL)


@contextlib.asynccontextmanager
async def house(folder: Path, terms: Terms) -> AsyncIterator[House]:
    """Started and provisioned, in `folder`, whose path is short: sockets live there."""
    # As root, PostgreSQL runs as another user that must reach its folder inside.
    folder.chmod(0o755)
    async with AsyncExitStack() as stack:
        sandbox = await _child(
            stack,
            "sandbox",
            ["sandbox", *_sandbox_arguments(folder)],
            without_settings(os.environ),
            folder,
        )
        dsn, redis_url, redis, lies = await _stores(stack, folder, terms)
        MasterKeys.generate(folder / "master.key")
        base_url = f"http://127.0.0.1:{stack.enter_context(reserved_port())}"
        environment = without_settings(os.environ) | _settings(base_url, dsn, redis_url, folder)
        await migrate(dsn)
        channels = await stack.enter_async_context(Channels(await _control_url(sandbox, folder)))
        key, accounts = await _shop(environment, channels, terms)
        mine = ["--end-with-parent", str(os.getpid())]
        serve = await _child(
            stack,
            "serve",
            ["gateway", "serve", "--workers", str(terms.workers), *mine],
            environment,
            folder,
        )
        await _child(stack, "work", ["gateway", "work", *mine], environment, folder)
        await _until(serve, lambda: _is_ready(base_url))
        yield House(base_url, dsn, channels, key, accounts, redis, lies)


async def _stores(
    stack: AsyncExitStack, folder: Path, terms: Terms
) -> tuple[str, str, EmbeddedRedis | None, dict[bytes, int]]:
    """(database, Redis, our own Redis, what an evil one was asked)."""
    dsn, lies, redis = terms.database, dict[bytes, int](), None
    if dsn is None:
        postgres = EmbeddedPostgres(folder / "postgres")
        stack.callback(postgres.stop)
        dsn = await asyncio.to_thread(postgres.start)
    if terms.redis == "evil":
        url, lies = await stack.enter_async_context(evil_redis())
    elif terms.redis_url is not None and terms.redis == "up":
        url = terms.redis_url
    else:
        redis = EmbeddedRedis(folder / "redis")
        stack.callback(redis.stop)
        url = await asyncio.to_thread(redis.start)
    return dsn, url, redis, lies


def _sandbox_arguments(folder: Path) -> list[str]:
    return [
        "--data",
        str(folder / "sandbox"),
        "--ready-file",
        str(folder / "sandbox.json"),
        "--die-with-parent",
    ]


def _settings(base_url: str, dsn: str, redis_url: str, folder: Path) -> dict[str, str]:
    return {
        "TILLGATE_DATABASE_URL": dsn,
        "TILLGATE_REDIS_URL": redis_url,
        FILE_VARIABLE: str(folder / "master.key"),
        "TILLGATE_LISTEN": base_url.removeprefix("http://"),
        "TILLGATE_PUBLIC_URL": base_url,
        "TILLGATE_ALLOW_LOOPBACK_CHANNELS": "yes",
        "TILLGATE_OPERATIONS_LISTEN": "127.0.0.1:0",
        "TILLGATE_WORK_OPERATIONS_LISTEN": "127.0.0.1:0",
        "TILLGATE_RATE_FACTOR": str(RATE_FACTOR_MAX),  # one key stands for many tills
        "TILLGATE_LOG_LEVEL": "warning",
    }


async def _shop(
    environment: dict[str, str], channels: Channels, terms: Terms
) -> tuple[tuple[str, Secret], dict[str, str]]:
    """The till's key, and the accounts by letter."""
    tag = secrets.token_hex(2)
    async with registries(read_settings(environment, required=SERVING)) as opened:
        merchant = (await opened.people.create_merchant("Drill Noodle House")).id
        await opened.people.create_store(merchant, "East Gate", STORE)
        terminal = await opened.people.create_terminal(merchant, STORE, "Till 1")
        key = await opened.people.issue_terminal_key(merchant, terminal.id, KeyEnvironment.TEST)
        accounts = {}
        for letter, priority in PRIORITIES.items():
            account = accounts[letter] = f"acct_{terms.channel}_{letter.lower()}_{tag}"
            credentials = await channels.open_account(terms.channel, account, terms.profile)
            document = json.dumps(credentials).encode()
            await opened.accounts.create(
                merchant, terms.channel, document, priority=priority, account_id=account
            )
    return (key.id, key.secret), accounts


async def _child(
    stack: AsyncExitStack,
    name: str,
    arguments: list[str],
    environment: dict[str, str],
    folder: Path,
) -> Child:
    child = await start_child(name, arguments, environment, folder / f"{name}.log")
    stack.push_async_callback(child.stop)
    return child


async def _control_url(sandbox: Child, folder: Path) -> str:
    ready = folder / "sandbox.json"

    async def is_there() -> bool:
        return ready.exists()

    await _until(sandbox, is_there)
    return str(read_private(ready)["control_url"])


async def _until(child: Child, is_ready: Any) -> None:
    """Until a child shows a sign of life; its death is told with the end of its log."""
    try:
        async with asyncio.timeout(START_S):
            while not await is_ready():
                if child.process.returncode is not None:
                    raise SystemExit(child.epitaph())
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise SystemExit(f"{child.name} did not get ready within {START_S:.0f} s") from None


async def _is_ready(base_url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{base_url}/readyz") as answer:
            return answer.ok
    except aiohttp.ClientError:
        return False
