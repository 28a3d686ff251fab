"""A gateway of real processes, to be killed: `gateway serve` with one worker and `gateway work`, on
the session's servers.

The supervisor starts a killed worker again; nobody starts a killed `work` but the test. The parents
end with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from gateway.cli.client.client import Answer, Client
from gateway.cli.dev.children import Child, start_child
from gateway.cli.dev.ports import reserved_port
from gateway.cli.surroundings import without_settings
from loadtests.audit import audit
from loadtests.invariants import Violation
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.world import MASTER, Books, Shop, order_no, provisioned, settings_for, tapped

# `make proof` repeats the random tests this many times.
SCALE = int(os.environ.get("PROOF_SCALE", "1"))
LINE_BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError)

_houses = itertools.count(1)


@dataclass(slots=True)
class House:
    """The processes and the clients of one shop; `answered` is what the tills wrote down:
    key -> payment id.
    """

    books: Books
    sandbox: SandboxProcess
    base_url: str
    folder: Path
    environment: dict[str, str]
    till: Client
    office: Client
    workers: int = 1
    answered: dict[str, str] = field(default_factory=dict)
    _children: dict[str, Child] = field(default_factory=dict)

    @property
    def operations_url(self) -> str:
        """Of `serve`'s listener for operations."""
        return f"http://{self.environment['TILLGATE_OPERATIONS_LISTEN']}"

    async def start(self, name: str) -> None:
        """`serve` (waits until a worker is ready) or `work`."""
        arguments = [
            "gateway",
            name,
            "--end-with-parent",
            str(os.getpid()),
            *(["--workers", str(self.workers)] if name == "serve" else []),
        ]
        self._children[name] = await start_child(
            name, arguments, self.environment, self.folder / f"{name}.log"
        )
        if name == "serve":
            await self.ready()

    async def ready(self, within_s: float = PATIENCE_S) -> None:
        """Until a worker answers."""
        async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
            while True:
                child = self._children["serve"]
                assert child.process.returncode is None, child.epitaph()
                with contextlib.suppress(*LINE_BROKEN):
                    async with session.get(f"{self.base_url}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    def runs(self, name: str) -> bool:
        return name in self._children

    def worker_pid(self) -> int | None:
        """The one worker; None between its death and its successor, and when its parent is gone."""
        parent = self._children["serve"].process.pid
        with contextlib.suppress(FileNotFoundError):
            found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            return int(found[0]) if found else None
        return None

    def signal_worker(self, number: int) -> None:
        """To the worker itself, past its supervisor."""
        pid = self.worker_pid()
        assert pid is not None, "there is no worker at this moment"
        os.kill(pid, number)

    def let_go_on(self) -> None:
        """A worker that a test has stopped could not drain."""
        pid = self.worker_pid() if self.runs("serve") else None
        if pid is not None:
            os.kill(pid, signal.SIGCONT)

    async def kill(self, name: str) -> None:
        """kill -9 of a whole process; it stays dead."""
        process = self._children.pop(name).process
        process.kill()
        await process.wait()

    async def drain(self, name: str) -> None:
        """SIGTERM, and the wait until every road it carried has ended.

        Harmless when it does not run.
        """
        if child := self._children.pop(name, None):
            await child.stop()

    async def stop(self) -> None:
        """Both."""
        await self.drain("work")
        await self.drain("serve")

    async def pay(
        self, amount: int, *, key: str | None = None, wait_s: int = 0, **body: Any
    ) -> Answer | None:
        """One tap; None when the line broke before the answer.

        What was answered is written down.
        """
        order = body.pop("order_no", None) or order_no()
        key = key or f"key-{order}"
        answer = await rested(
            lambda: unbroken(
                self.till.pay({"order_no": order, "amount": amount, **body}, key, wait_s=wait_s)
            )
        )
        if answer is not None and answer.ok:
            self.answered[key] = answer.document["id"]
        return answer

    async def settled(self, payment_id: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The payment once its status is final, whoever dies meanwhile."""
        wait_s = 0
        async with asyncio.timeout(within_s):
            while True:
                answer = await unbroken(self.office.payment(payment_id, wait_s=wait_s))
                wait_s = 1
                if answer is not None and answer.ok and answer.document["next_action"] is None:
                    document: dict[str, Any] = answer.document
                    return document
                if answer is None or not answer.ok:
                    await asyncio.sleep(0.1)

    async def refund_settled(self, refund_id: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The refund once it is decided."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await unbroken(self.office.refund_state(refund_id))
                if (
                    answer is not None
                    and answer.ok
                    and answer.document["status"] not in ("requested", "processing", "in_doubt")
                ):
                    document: dict[str, Any] = answer.document
                    return document
                await asyncio.sleep(0.1)

    async def trade(self, out_trade_no: str) -> dict[str, Any] | None:
        """The channel's own row."""
        return next(
            (row for row in await self.sandbox.ledger() if row["out_trade_no"] == out_trade_no),
            None,
        )

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.books.dsn)
        try:
            found: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return found
        finally:
            await connection.close()

    async def audit(self, **terms: Any) -> list[Violation]:
        """The books against the ledger, and against what the tills wrote down."""
        return await audit(
            self.books.dsn, self.sandbox.control_url, answered=self.answered, **terms
        )

    async def fired(self, fault_id: int) -> None:
        """Until the fault has struck a request."""
        await until(lambda: self._has_fired(fault_id))

    async def _has_fired(self, fault_id: int) -> bool:
        return any(row["id"] == fault_id and row["fired"] for row in await self.sandbox.faults())


async def rested(
    tap: Callable[[], Awaitable[Answer | None]], within_s: float = PATIENCE_S
) -> Answer | None:
    """The same tap again while the accounts it needs rest from their failures."""
    return await tapped(tap, "channels_resting", within_s)


async def taken(opened: Shop, amount: int, *, wait_s: int | None = None, **body: Any) -> Answer:
    """`Shop.pay`, `rested`."""
    order = body.pop("order_no", None) or order_no()
    key = body.pop("key", None) or f"key-{order}"
    answer = await rested(
        lambda: unbroken(opened.pay(amount, order_no=order, key=key, wait_s=wait_s, **body))
    )
    assert answer is not None, "the line broke"
    return answer


async def unbroken(call: Awaitable[Answer]) -> Answer | None:
    """The answer, None when the line broke."""
    try:
        return await call
    except LINE_BROKEN:
        return None


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S) -> None:
    """Looks again and again."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def house(
    dsn: str,
    sandbox: SandboxProcess,
    folder: Path,
    *,
    redis_url: str | None = None,
    run: tuple[str, ...] = ("serve", "work"),
    extra_accounts: Mapping[str, int] | None = None,
    workers: int = 1,
    **env: str,
) -> AsyncIterator[House]:
    """Provisioned and started; `env` replaces variables of the processes.

    Everything is ended on the way out.
    """
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        base_url = f"http://127.0.0.1:{port}"
        settings = settings_for(dsn, redis_url, base_url)
        books = await provisioned(settings, sandbox, f"h{next(_houses)}_{port}", extra_accounts)
        environment = without_settings(os.environ) | {
            "TILLGATE_DATABASE_URL": dsn,
            "TILLGATE_MASTER_KEY": MASTER,
            "TILLGATE_LISTEN": f"127.0.0.1:{port}",
            "TILLGATE_OPERATIONS_LISTEN": f"127.0.0.1:{stack.enter_context(reserved_port())}",
            "TILLGATE_WORK_OPERATIONS_LISTEN": "127.0.0.1:0",
            "TILLGATE_RATE_FACTOR": "1000",
            "TILLGATE_PUBLIC_URL": base_url,
            "TILLGATE_ALLOW_LOOPBACK_CHANNELS": "yes",
            "TILLGATE_LOG_LEVEL": "warning",
            **({"TILLGATE_REDIS_URL": redis_url} if redis_url else {}),
            **env,
        }
        till = await stack.enter_async_context(Client(base_url, *books.terminal))
        office = await stack.enter_async_context(Client(base_url, *books.merchant))
        opened = House(books, sandbox, base_url, folder, environment, till, office, workers)
        stack.push_async_callback(opened.stop)
        stack.callback(opened.let_go_on)
        for name in run:
            await opened.start(name)
        yield opened


def accepted(answer: Answer | None) -> dict[str, Any]:
    """The document of a 2xx."""
    assert answer is not None, "the line broke"
    assert answer.ok, answer
    document: dict[str, Any] = answer.document
    return document
