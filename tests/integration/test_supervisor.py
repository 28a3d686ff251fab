"""The supervisor with real processes: rolling restart under load, a killed worker, a killed parent,
a clean end.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gateway.limits import WORKER_RESTART_WAIT_S_MAX
from gateway.workers.supervisor import restart_wait_s, supervise
from tests.patience import PATIENCE_S

SERVER = """
import asyncio, logging, os, pathlib, signal, socket, sys
from aiohttp import web
from gateway.http.serving import LEAVING, Listening, serve_until
from gateway.workers.forked import LEAVE, report_ready
from gateway.workers.supervisor import supervise

folder = pathlib.Path(sys.argv[1])

async def answer(request):
    await request.read()
    return web.Response(text=str(os.getpid()))

async def readyz(request):
    return web.Response(status=503 if request.app[LEAVING].is_set() else 200)

async def serve(listening):
    stop, leaving = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(LEAVE, leaving.set)
    app = web.Application()
    app.router.add_post("/", answer)
    app.router.add_get("/readyz", readyz)
    await serve_until(
        Listening(app=app, socket=listening), stop, leaving=leaving, on_started=report_ready
    )

def worker(index, listening):
    if (folder / "broken").exists():
        return 3
    if (folder / "hangs").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / f"hangs-{index}").touch()
        signal.pause()
    asyncio.run(serve(listening))
    return 0

logging.basicConfig(stream=sys.stderr, level=logging.INFO)
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.exit(supervise(2, listening, worker, prestop_s=float(sys.argv[2])))
"""

# A connection stays with its worker: without new ones the first worker to accept keeps them all.
REQUESTS_PER_CONNECTION = 47


class Supervised:
    """The server above in a process of its own."""

    def __init__(self, folder: Path, prestop_s: float = 0) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log_file:
            command = [sys.executable, "-c", SERVER, str(folder), str(prestop_s)]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log_file, text=True, start_new_session=True
            )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def workers(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Supervised]:
    supervised = Supervised(tmp_path)
    yield supervised
    with contextlib.suppress(ProcessLookupError):
        os.killpg(supervised.process.pid, signal.SIGKILL)
    supervised.process.communicate()


async def until(
    condition: Callable[[], Awaitable[bool]] | Callable[[], bool], wait_s: float = PATIENCE_S
) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + wait_s
    while True:
        result = condition()
        if result if isinstance(result, bool) else await result:
            return
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


class Client:
    """One keep-alive connection that never repeats a request: a lost one is a failure."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def post(self) -> int:
        """The pid that answered."""
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200")
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        pid = int(await self.reader.readexactly(length))
        if "connection: close" in head:
            self.close()
        return pid

    def close(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Load:
    """Clients that ask without pause; who answered, and what failed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered: list[int] = []
        self.failed: list[BaseException] = []
        self.ending = False

    async def client(self) -> None:
        client = Client(self.port)
        while not self.ending:
            try:
                self.answered.append(await client.post())
                if len(self.answered) % REQUESTS_PER_CONNECTION == 0:
                    client.close()
            except (OSError, EOFError, AssertionError) as error:
                self.failed.append(error)
                client.close()
        client.close()


@contextlib.asynccontextmanager
async def load_on(port: int, clients: int = 12) -> AsyncIterator[Load]:
    load = Load(port)
    tasks = [asyncio.create_task(load.client()) for _ in range(clients)]
    try:
        yield load
    finally:
        load.ending = True
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def until_both_serve(server: Supervised) -> set[int]:
    """Their pids.

    A process exists before it serves: until it has answered it has not looked at its folder, nor
    set up its signals.
    """
    async with load_on(server.port, clients=4) as load:
        await until(lambda: len(set(load.answered)) == 2)
    assert server.workers() == set(load.answered)
    return server.workers()


async def test_a_rolling_restart_under_keep_alive_load_fails_no_request(server: Supervised) -> None:
    async with load_on(server.port) as load:
        await until(lambda: len(set(load.answered)) == 2)
        first = server.workers()
        server.signal(signal.SIGHUP)
        await until(lambda: len(server.workers()) == 2 and not server.workers() & first)
        load.answered.clear()
        await until(lambda: set(load.answered) == server.workers())
    assert load.failed == []


async def test_a_killed_worker_is_replaced(server: Supervised) -> None:
    async with load_on(server.port, clients=4) as load:
        await until(lambda: len(set(load.answered)) == 2)
        killed = min(server.workers())
        os.kill(killed, signal.SIGKILL)
        await until(lambda: killed not in server.workers() and len(server.workers()) == 2)
        await until(lambda: set(load.answered[-100:]) == server.workers())
    assert f"(pid {killed}) ended with -9" in server.log.read_text()


async def test_a_broken_release_leaves_the_old_workers_serving(
    server: Supervised, tmp_path: Path
) -> None:
    old = await until_both_serve(server)
    client = Client(server.port)
    await client.post()
    (tmp_path / "broken").touch()
    server.signal(signal.SIGHUP)
    await until(lambda: "the old workers stay" in server.log.read_text())
    assert server.workers() == old
    assert await client.post() in old
    client.close()


async def test_workers_that_never_serve_end_the_parent_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    server = Supervised(tmp_path)
    assert await asyncio.to_thread(server.process.wait, 60) == 1
    server.process.communicate()
    assert "no worker has ever got ready" in server.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_ends_everything_with_0_and_says_goodbye(
    server: Supervised, number: signal.Signals
) -> None:
    workers = await until_both_serve(server)
    client = Client(server.port)
    await client.post()
    server.signal(number)

    async def goodbye() -> bool:
        """Every request is answered; once its worker has heard the signal,
        with `Connection: close`.
        """
        assert await client.post() in workers
        return client.writer is None

    await until(goodbye)
    assert await asyncio.to_thread(server.process.wait, 60) == 0
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


async def test_a_load_balancer_sees_a_worker_leave_before_it_refuses_anything(
    tmp_path: Path,
) -> None:
    """New connections are still answered, and `/readyz` says on them that it is time to go."""
    server = Supervised(tmp_path, prestop_s=60)
    workers = await until_both_serve(server)
    assert await ready(server.port) == 200
    server.signal(signal.SIGTERM)

    async def leaving() -> bool:
        return await ready(server.port) == 503

    await until(leaving)
    for _ in range(20):
        assert await ready(server.port) == 503
        client = Client(server.port)
        assert await client.post() in workers
        client.close()
    assert server.workers() == workers
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, 60) == 0
    server.process.communicate()


async def test_the_time_to_leave_ends(tmp_path: Path) -> None:
    server = Supervised(tmp_path, prestop_s=0.3)
    await until_both_serve(server)
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, 60) == 0
    server.process.communicate()


async def test_a_rolling_restart_needs_no_time_to_leave(tmp_path: Path) -> None:
    server = Supervised(tmp_path, prestop_s=60)
    first = await until_both_serve(server)
    server.signal(signal.SIGHUP)
    await until(lambda: len(server.workers()) == 2 and not server.workers() & first)
    assert await ready(server.port) == 200
    server.signal(signal.SIGTERM)
    await until(lambda: "stopping" in server.log.read_text())
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, 60) == 0
    server.process.communicate()


async def ready(port: int) -> int:
    """The status of `/readyz` on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    status = int((await reader.read()).split()[1])
    writer.close()
    return status


async def test_a_second_signal_does_not_wait_for_workers_that_hang(tmp_path: Path) -> None:
    (tmp_path / "hangs").touch()
    server = Supervised(tmp_path)
    await until(lambda: len(list(tmp_path.glob("hangs-*"))) == 2)
    workers = server.workers()
    server.signal(signal.SIGTERM)
    await until(lambda: "stopping" in server.log.read_text())
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, 60) == 0
    server.process.communicate()
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells children that their parent died"
)
async def test_workers_end_when_their_parent_is_killed(server: Supervised) -> None:
    workers = await until_both_serve(server)
    server.signal(signal.SIGKILL)
    server.process.wait()
    await until(lambda: not any(_runs(pid) for pid in workers))


def _runs(pid: int) -> bool:
    """False for a zombie too: nobody may be left to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("quick_deaths", "expected"),
    [
        (0, 0.0),
        (1, 0.1),
        (2, 0.2),
        (3, 0.4),
        (6, 3.2),
        (7, WORKER_RESTART_WAIT_S_MAX),
        (1_000_000, WORKER_RESTART_WAIT_S_MAX),
    ],
)
def test_restart_wait(quick_deaths: int, expected: float) -> None:
    assert restart_wait_s(quick_deaths) == pytest.approx(expected)


async def test_it_refuses_to_fork_a_process_with_threads() -> None:
    def call() -> None:
        with socket.socket() as listening:
            supervise(1, listening, lambda _index, _listening: 0)

    with pytest.raises(RuntimeError, match="before anything starts a thread"):
        await asyncio.to_thread(call)
