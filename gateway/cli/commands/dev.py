"""`tillgate dev`: the whole world on one machine, a tour of it, then a service to play with.

Embedded PostgreSQL and Redis (unless the environment names others), the sandbox, migrations, a demo
shop, the service and its worker as they run in production, each a process of its own. Whatever way
it ends, it ends its children first.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from adapters.discovery import discover
from gateway.cli.client.client import Client
from gateway.cli.dev.children import Child, start_child
from gateway.cli.dev.demo import open_shop
from gateway.cli.dev.listener import Listener, listening
from gateway.cli.dev.sandbox_control import SandboxControl
from gateway.cli.dev.tour.runner import play
from gateway.cli.dev.tour.stage import Stage, payment_code
from gateway.cli.dev.voice import Voice
from gateway.cli.failures import CommandError
from gateway.cli.registries import registries
from gateway.cli.surroundings import (
    DEV_JSON,
    ENVIRONMENT_JSON,
    read_private,
    without_settings,
    write_private,
)
from gateway.embedded.data_folder import choose_data_folder
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from gateway.limits import WORKERS_MAX
from gateway.settings import (
    DATABASE_URL,
    MIGRATE_DATABASE_URL,
    PREFIX,
    SERVING,
    Settings,
    read_settings,
)
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import APP_ROLE, app_role
from security.keyring import FILE_VARIABLE, TEXT_VARIABLE, MasterKeys
from security.secret import Secret

REDIS_URL: Final = "TILLGATE_REDIS_URL"
START_S: Final = 60.0  # a cold machine compiles every module first
POLL_S: Final = 0.05
PORT: Final = 8080
WORKERS: Final = 2
SANDBOX_READY: Final = "sandbox.ready.json"
INTERRUPTED: Final = 130
# SIGINT too: a shell's background job inherits it ignored.
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Document = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As in the API's command table."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where everything is kept (default: .tillgate/ here)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=PORT,
        help=f"port of the service, 0 for a free one (default {PORT})",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=WORKERS,
        help=f"worker processes of the service (default {WORKERS})",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="end after the tour; the exit code says whether every step went well",
    )


def run(options: argparse.Namespace) -> int:
    """0: ended as asked. 1: a step of the tour failed, or a part crashed."""
    if not 1 <= options.workers <= WORKERS_MAX:
        raise CommandError(f"--workers {options.workers} is not within 1 … {WORKERS_MAX}")
    try:
        return asyncio.run(_dev(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED if options.once else 0  # Ctrl-C is how serving ends


async def _dev(options: argparse.Namespace) -> int:
    voice = Voice()
    chosen = choose_data_folder(Path.cwd(), options.data)
    voice.line(
        f"Tillgate dev, data in {chosen.path}"
        + (f" (not here: {chosen.why_not_here})" if chosen.why_not_here else "")
    )
    _end_on_signals()
    with _alone(chosen.path):
        async with AsyncExitStack() as stack:
            world = _World(options, chosen.path, voice, stack)
            try:
                await world.start()
                return await world.show()
            finally:
                _go_deaf()
                voice.line("stopping ...")


class _World:
    """Everything that runs, in the order of starting;
    `stack` stops each part, the last one started first.
    """

    def __init__(
        self, options: argparse.Namespace, folder: Path, voice: Voice, stack: AsyncExitStack
    ) -> None:
        self._options = options
        self._folder = folder
        self._voice = voice
        self._stack = stack
        self._children: list[Child] = []
        self._document: Document = {}
        self._listener = Listener("")

    async def start(self) -> None:
        """Raises CommandError, or the failure of a part, in words."""
        (self._folder / "logs").mkdir(exist_ok=True)
        # It takes a second of its own, while PostgreSQL starts.
        sandbox = await self._start_sandbox()
        environment = self._environment()
        write_private(
            self._folder / ENVIRONMENT_JSON,
            {name: value for name, value in environment.items() if name.startswith(PREFIX)},
        )
        settings = read_settings(environment, required=SERVING)
        await self._schema(settings)
        self._listener = await self._stack.enter_async_context(listening())
        async with SandboxControl(await self._control_url(sandbox)) as control:
            self._document = await self._shop(settings, control)
        write_private(self._folder / DEV_JSON, self._document)
        await self._service(environment)

    async def show(self) -> int:
        """The tour, then serving until somebody stops it or a child dies."""
        tour = asyncio.create_task(self._tour(), name="tour")
        if await self._while_alive(tour) is None:
            return 1
        failed = tour.result()
        self._voice.line()
        if failed:
            self._voice.trouble(f"{failed} steps failed; logs are in {self._folder / 'logs'}")
        if self._options.once:
            return 1 if failed else 0
        self._next_steps()
        return 0 if await self._while_alive(asyncio.create_task(asyncio.Event().wait())) else 1

    # -- starting ----------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        """Ours, with the embedded servers' addresses and the demo's settings
        where nobody set others.
        """
        port = self._options.port or _free_port()
        _refuse_taken(port)
        address = f"127.0.0.1:{port}"
        given = {name: value for name, value in os.environ.items() if value.strip()}
        made = {
            "TILLGATE_PUBLIC_URL": f"http://{address}",
            "TILLGATE_LOG_FORMAT": "console",
            "TILLGATE_ALLOW_LOOPBACK_CHANNELS": "yes",
            "TILLGATE_ALLOW_LOOPBACK_WEBHOOKS": "yes",
        }
        asked = {"TILLGATE_LISTEN": address, "TILLGATE_WORKERS": str(self._options.workers)}
        if DATABASE_URL not in given:
            server = EmbeddedPostgres(self._folder / "postgres")
            made[MIGRATE_DATABASE_URL] = self._embedded("postgres", server)
            made[DATABASE_URL] = server.dsn_of("postgres", APP_ROLE)
        if REDIS_URL not in given:
            made[REDIS_URL] = self._embedded("redis", EmbeddedRedis(self._folder / "redis"))
        if not given.keys() & {FILE_VARIABLE, TEXT_VARIABLE}:
            made[FILE_VARIABLE] = str(_master_key_file(self._folder))
        return made | given | asked

    def _embedded(self, name: str, server: EmbeddedPostgres | EmbeddedRedis) -> str:
        started = time.monotonic()
        self._stack.callback(server.stop)
        url = server.start()
        self._voice.ready(name, time.monotonic() - started)
        return url

    async def _start_sandbox(self) -> Child:
        (self._folder / SANDBOX_READY).unlink(missing_ok=True)
        ready = ["--ready-file", str(self._folder / SANDBOX_READY)]
        arguments = [
            "sandbox",
            "--data",
            str(self._folder / "sandbox"),
            *ready,
            "--die-with-parent",
        ]
        return await self._child("sandbox", arguments, without_settings(os.environ))

    async def _control_url(self, sandbox: Child) -> str:
        started = time.monotonic()
        ready = self._folder / SANDBOX_READY
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
            before = read_private(self._folder / DEV_JSON)
        base_url = f"http://127.0.0.1:{settings.listen.port}"
        async with registries(settings) as opened:
            document = await open_shop(
                opened,
                control,
                discover(),
                base_url=base_url,
                webhook_url=self._listener.url,
                before=before,
            )
        self._listener.secret = Secret(document["webhook_secret"])
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
            await self._until(serve, lambda: _is_ready(session, self._document["base_url"]))
        if work.process.returncode is not None:
            raise CommandError(work.epitaph())
        self._voice.ready("gateway", time.monotonic() - started, self._document["base_url"])

    async def _child(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        child = await start_child(
            name, arguments, environment, self._folder / "logs" / f"{name}.log"
        )
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

    # -- showing -----------------------------------------------------------------------------------

    async def _tour(self) -> int:
        """How many subjects failed."""
        document = self._document
        self._voice.head("Tour (through the signed HTTP API)")
        started = time.monotonic()
        remote = {name for name, manifest in discover().items() if manifest.settles == "remote"}
        accounts: dict[str, tuple[str, ...]] = {}
        for each in sorted(document["accounts"], key=lambda account: account["priority"]):
            if each["channel"] in remote:
                accounts[each["channel"]] = (*accounts.get(each["channel"], ()), each["id"])
        async with (
            _client(document, "terminal_key") as till,
            _client(document, "merchant_key") as server,
            SandboxControl(document["sandbox_url"]) as control,
        ):
            stage = Stage(
                till=till,
                server=server,
                control=control,
                accounts=accounts,
                listener=self._listener,
                endpoint_id=document["webhook_endpoint"],
            )
            failed = await play(stage, self._voice)
        self._voice.line(f"  {time.monotonic() - started:.1f} s")
        return failed

    async def _while_alive(self, work: asyncio.Task[Any]) -> asyncio.Task[Any] | None:
        """`work` once it is done; None when a child ended first, which is reported."""
        ends = {asyncio.create_task(child.ended()): child for child in self._children}
        try:
            done, _ = await asyncio.wait({work, *ends}, return_when=asyncio.FIRST_COMPLETED)
            dead = [child for task, child in ends.items() if task in done]
            for child in dead:
                self._voice.trouble(child.epitaph())
            return None if dead else work
        finally:
            for task in (work, *ends):
                task.cancel()

    def _next_steps(self) -> None:
        command, url = _command(), self._document["base_url"]
        where = f" --data {self._options.data}" if self._options.data else ""
        self._voice.line(f"Serving on {url}; keys for clients are in {self._folder / DEV_JSON}")
        self._voice.line(f"  pay      {command} pay 12850 --code {payment_code('alipay')}{where}")
        self._voice.line(f"  look     {command} account list{where} · {command} doctor{where}")
        self._voice.line(f"  read     {url}/docs")
        self._voice.line("Ctrl-C stops everything.")


def _client(document: Document, which: str) -> Client:
    return Client(document["base_url"], document[which]["id"], Secret(document[which]["secret"]))


async def _is_ready(session: aiohttp.ClientSession, base_url: str) -> bool:
    try:
        async with session.get(f"{base_url}/readyz") as response:
            return response.ok
    except aiohttp.ClientError:
        return False


def _command() -> str:
    """How this command can be typed again from here."""
    called = Path(sys.argv[0])
    if called.name != "tillgate":
        return "python -m gateway"
    return "tillgate" if shutil.which("tillgate") else os.path.relpath(called)


def _master_key_file(folder: Path) -> Path:
    path = folder / "master.key"
    if not path.exists():
        MasterKeys.generate(path)
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _refuse_taken(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"port {port} cannot be used ({error}): "
            f"choose another with --port, or --port 0 for a free one"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One `tillgate dev` a folder: two would fight for the sandbox's ledger."""
    with (folder / ".dev.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"another `tillgate dev` runs on {folder}: "
                f"stop that one, or choose another folder with --data"
            ) from None
        yield


def _end_on_signals() -> None:
    """Ctrl-C, SIGTERM and a closed terminal all cancel the main task."""
    task = asyncio.current_task()
    assert task is not None
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _go_deaf() -> None:
    """Stopping is bounded; a second Ctrl-C in the midst of it would leave servers behind."""
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
