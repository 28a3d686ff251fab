"""Everything that `tillgate dev` runs: embedded PostgreSQL and Redis (unless the environment names
others), the sandbox, a demo shop, the service and its worker as they run in production, each a
process of its own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from adapters.discovery import discover
from gateway.cli.case_desk import case_desk, open_case
from gateway.cli.dev.children import DEATHS_MAX, Child, start_child
from gateway.cli.dev.demo import open_shop
from gateway.cli.dev.listener import Listener, listening
from gateway.cli.dev.ports import reserved_port
from gateway.cli.dev.sandbox_control import SandboxControl
from gateway.cli.dev.voice import Voice
from gateway.cli.failures import CommandError
from gateway.cli.registries import registries
from gateway.cli.surroundings import (
    DEV_JSON,
    ENVIRONMENT_JSON,
    person,
    read_private,
    without_settings,
    write_private,
)
from gateway.cli.table import padded
from gateway.domain.audit import AskedBy
from gateway.domain.case import CaseKind
from gateway.embedded.errors import ServerMissingError
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from gateway.settings import (
    DATABASE_URL,
    MIGRATE_DATABASE_URL,
    PREFIX,
    SERVING,
    Address,
    Settings,
    read_settings,
)
from gateway.storage.books.case_list import CaseListing
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import APP_ROLE, app_role
from security.keyring import FILE_VARIABLE, TEXT_VARIABLE, MasterKeys
from security.secret import Secret

REDIS_URL: Final = "TILLGATE_REDIS_URL"
START_S: Final = 60.0  # a cold machine compiles every module first
POLL_S: Final = 0.05
SANDBOX: Final = "sandbox"
SANDBOX_READY: Final = "sandbox.ready.json"

Document = dict[str, Any]


class World:
    """The parts in the order of starting; `stack` stops each, the last one started first."""

    def __init__(
        self, folder: Path, voice: Voice, stack: AsyncExitStack, *, port: int, workers: int
    ) -> None:
        self.folder = folder
        self.document: Document = {}
        self.listener = Listener("")
        self._voice = voice
        self._stack = stack
        self._port = port
        self._workers = workers
        self._children: list[Child] = []
        self._settings: Settings | None = None  # once they are known

    async def start(self) -> None:
        """Raises CommandError, or the failure of a part, in words."""
        (self.folder / "logs").mkdir(exist_ok=True)
        # It takes a second of its own, while PostgreSQL starts.
        sandbox = await self._start_sandbox()
        environment = self._environment()
        write_private(
            self.folder / ENVIRONMENT_JSON,
            {name: value for name, value in environment.items() if name.startswith(PREFIX)},
        )
        settings = self._settings = read_settings(environment, required=SERVING)
        await self._schema(settings)
        self.listener = await self._stack.enter_async_context(listening())
        await self._sandbox_shop(settings, sandbox)
        await self._service(environment)

    async def late_money_cases(self) -> dict[str, CaseListing]:
        """Those that are open, by id."""
        assert self._settings is not None, "the world was not started"
        async with registries(self._settings) as opened:
            cases = await opened.cases.cases(self.document["merchant_id"])
        return {case.id: case for case in cases if case.kind == CaseKind.CAPTURED_LATE}

    async def close_cases(self, cases: Iterable[CaseListing], reason: str) -> None:
        """As the person who runs this."""
        assert self._settings is not None, "the world was not started"
        async with case_desk(self._settings) as (desk, _):
            for case in cases:
                await desk.close(open_case(case), by=AskedBy("person", person()), reason=reason)

    async def while_alive(
        self, work: asyncio.Task[Any], *, revive: bool
    ) -> asyncio.Task[Any] | None:
        """`work` once it is done; None when a child ended first and stays dead.

        Each death is told. `revive`: the child is started again, unless it dies again and again.
        """
        ends = {asyncio.create_task(child.ended()): child for child in self._children}
        try:
            while True:
                done, _ = await asyncio.wait({work, *ends}, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in ends if task in done]:
                    child = ends.pop(task)
                    self._voice.trouble(child.epitaph())
                    if not (revive and await self._revive(child)):
                        return None
                    ends[asyncio.create_task(child.ended())] = child
                if work in done:
                    return work
        finally:
            for task in (work, *ends):
                task.cancel()

    async def _revive(self, child: Child) -> bool:
        """False: it is not worth another try, which is told."""
        is_sandbox = child.name == SANDBOX
        if is_sandbox:
            (self.folder / SANDBOX_READY).unlink(missing_ok=True)
        if not await child.start_again():
            self._voice.trouble(f"{child.name} died {DEATHS_MAX} times in a row: giving up")
            return False
        if is_sandbox:
            assert self._settings is not None, "the service was not started before them"
            # Dead once more, it is seen and told as any death is.
            with suppress(CommandError, aiohttp.ClientError):
                await self._sandbox_shop(self._settings, child)
        self._voice.line(f"{child.name} was started again")
        return True

    def _environment(self) -> dict[str, str]:
        """Ours, with the embedded servers' addresses and the demo's settings
        where nobody set others.
        """
        port = self._stack.enter_context(reserved_port(self._port))
        address = f"127.0.0.1:{port}"
        given = {name: value for name, value in os.environ.items() if value.strip()}
        made = {
            "TILLGATE_PUBLIC_URL": f"http://{address}",
            "TILLGATE_LOG_FORMAT": "console",
            "TILLGATE_ALLOW_LOOPBACK_CHANNELS": "yes",
            "TILLGATE_ALLOW_LOOPBACK_WEBHOOKS": "yes",
            **{
                name: f"127.0.0.1:{self._stack.enter_context(reserved_port())}"
                for name in ("TILLGATE_OPERATIONS_LISTEN", "TILLGATE_WORK_OPERATIONS_LISTEN")
            },
        }
        asked = {"TILLGATE_LISTEN": address, "TILLGATE_WORKERS": str(self._workers)}
        if not given.keys() & {FILE_VARIABLE, TEXT_VARIABLE}:
            made[FILE_VARIABLE] = str(_master_key_file(self.folder))
        if DATABASE_URL not in given:
            given.pop(MIGRATE_DATABASE_URL, None)  # of another server
            server = EmbeddedPostgres(self.folder / "postgres")
            made[MIGRATE_DATABASE_URL] = self._embedded("postgres", server)
            made[DATABASE_URL] = server.dsn_of("postgres", APP_ROLE)
        if REDIS_URL not in given:
            made |= self._redis()
        return made | given | asked

    def _redis(self) -> dict[str, str]:
        """Its address; nothing where the machine has no program for it, since no promise needs
        one.
        """
        try:
            return {REDIS_URL: self._embedded("redis", EmbeddedRedis(self.folder / "redis"))}
        except ServerMissingError as error:
            self._voice.line(f"  {padded('redis', 12)} none: {error}; all works without it")
            return {}

    def _embedded(self, name: str, server: EmbeddedPostgres | EmbeddedRedis) -> str:
        started = time.monotonic()
        self._stack.callback(server.stop)
        url = server.start()
        self._voice.ready(name, time.monotonic() - started)
        return url

    async def _start_sandbox(self) -> Child:
        (self.folder / SANDBOX_READY).unlink(missing_ok=True)
        ready = ["--ready-file", str(self.folder / SANDBOX_READY)]
        # The same one after a restart: clients hold its address.
        port = self._stack.enter_context(reserved_port())
        arguments = [
            "sandbox",
            "--data",
            str(self.folder / "sandbox"),
            *ready,
            "--control-port",
            str(port),
            "--die-with-parent",
        ]
        return await self._child(SANDBOX, arguments, without_settings(os.environ))

    async def _sandbox_shop(self, settings: Settings, sandbox: Child) -> None:
        """The demo shop at the sandbox: an account whose port was taken meanwhile has another."""
        async with SandboxControl(await self._control_url(sandbox)) as control:
            self.document = await self._shop(settings, control) | {
                "operations_url": _url(settings.operations_listen),
                "work_operations_url": _url(settings.work_operations_listen),
            }
        write_private(self.folder / DEV_JSON, self.document)

    async def _control_url(self, sandbox: Child) -> str:
        started = time.monotonic()
        ready = self.folder / SANDBOX_READY
        await self._until(sandbox, ready.exists)
        url = str(read_private(ready)["control_url"])
        self._voice.ready("sandbox", time.monotonic() - started, url)
        return url

    async def _schema(self, settings: Settings) -> None:
        started = time.monotonic()
        owner, app = settings.migrating_url().reveal(), settings.needed_database_url().reveal()
        applied = await migrate(owner, app=app_role(owner, app))
        self._voice.ready(
            "schema",
            time.monotonic() - started,
            f"{len(applied)} migrations applied" if applied else "up to date",
        )

    async def _shop(self, settings: Settings, control: SandboxControl) -> Document:
        started = time.monotonic()
        before: Document = {}
        with suppress(CommandError):  # the first run, or a file somebody broke: new keys are issued
            before = read_private(self.folder / DEV_JSON)
        base_url = f"http://127.0.0.1:{settings.listen.port}"
        async with registries(settings) as opened:
            document = await open_shop(
                opened,
                control,
                discover(),
                base_url=base_url,
                webhook_url=self.listener.url,
                before=before,
            )
        self.listener.secret = Secret(document["webhook_secret"])
        channels = ", ".join(sorted({account["channel"] for account in document["accounts"]}))
        self._voice.ready(
            "demo shop", time.monotonic() - started, f"{document['merchant_id']}: {channels}"
        )
        return document

    async def _service(self, environment: dict[str, str]) -> None:
        started = time.monotonic()
        mine = ["--end-with-parent", str(os.getpid())]
        # The service does not hold the address of the role that may do anything.
        theirs = {
            name: value for name, value in environment.items() if name != MIGRATE_DATABASE_URL
        }
        serve = await self._child("serve", ["gateway", "serve", *mine], theirs)
        work = await self._child("work", ["gateway", "work", *mine], theirs)
        async with aiohttp.ClientSession() as session:
            await self._until(serve, lambda: _is_ready(session, self.document["base_url"]))
        if work.process.returncode is not None:
            raise CommandError(work.epitaph())
        self._voice.ready("gateway", time.monotonic() - started, self.document["base_url"])

    async def _child(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        child = await start_child(name, arguments, environment, log)
        self._children.append(child)
        self._stack.push_async_callback(child.stop)
        return child

    async def _until(self, child: Child, is_ready: Any) -> None:
        """Wait for a child's sign of life; its death or silence is told with the end of its log."""
        deadline = time.monotonic() + START_S
        while True:
            sign = is_ready()
            if await sign if asyncio.iscoroutine(sign) else sign:
                return
            if child.process.returncode is not None:
                raise CommandError(child.epitaph())
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{child.name} did not get ready within {START_S:.0f} s; look into {child.log}"
                )
            await asyncio.sleep(POLL_S)


async def _is_ready(session: aiohttp.ClientSession, base_url: str) -> bool:
    try:
        async with session.get(f"{base_url}/readyz") as response:
            return response.ok
    except aiohttp.ClientError:
        return False


def _url(address: Address | None) -> str | None:
    return f"http://{address.host}:{address.port}" if address else None


def _master_key_file(folder: Path) -> Path:
    """Made once. Raises CommandError when it is gone and what it opens is still there."""
    path = folder / "master.key"
    if not path.exists():
        if (folder / DEV_JSON).exists():
            raise CommandError(
                f"{path} is gone, and the secrets kept in {folder} do not open without it: "
                f"put it back, or begin anew with `make clean`"
            )
        MasterKeys.generate(path)
    return path
