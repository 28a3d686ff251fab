"""Raw bytes at the door of a real worker: nothing is smuggled past it, nothing foreign is said, and
no crowd keeps a till out.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.binding import raise_descriptors
from gateway.edge_limits import CONNECTIONS_OF_STRANGERS_MAX, HEAD_TIMEOUT_S, IDLE_TIMEOUT_S
from gateway.limits import REQUEST_BODY_TIMEOUT_MS
from security.till_signature import authorization_header
from tests.adversity.hostile_requests import HOSTILE, SMUGGLED, Hostile
from tests.adversity.house import SCALE, House, house, until
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer

PATIENCE_S = 20.0  # ends a test that has already failed
STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
async def here(
    postgres: DatabaseServer, sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """One worker of production, that knows of no proxy."""
    dsn = await postgres.fresh_database()
    folder: Path = tmp_path_factory.mktemp("hostile")
    async with house(
        dsn, sandbox, folder, run=("serve",), TILLGATE_TRUSTED_PROXIES="none"
    ) as opened:
        yield opened
    await postgres.give_back(dsn)


async def connected(here: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = here.base_url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


def signer(here: House) -> Any:
    key_id, secret = here.books.terminal

    def sign(method: str, target: str, body: bytes = b"", key: str | None = None) -> bytes:
        header = authorization_header(
            key_id,
            secret,
            method=method,
            path_qs=target,
            ts=int(time.time()),
            idempotency_key=key,
            body=body,
        )
        return f"Authorization: {header}\r\n".encode()

    return sign


async def read(reader: asyncio.StreamReader, answers: int) -> bytes:
    """So many answers, or all there are before the server closes."""
    heard = b""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while len(STATUS.findall(heard)) < answers and (more := await reader.read(65_536)):
                heard += more
    return heard


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda row: row.name)
async def test_hostile_requests(here: House, hostile: Hostile):
    reader, writer = await connected(here)
    writer.write(hostile.raw(signer(here)))
    heard = await read(reader, len(hostile.answers))
    writer.write(SMUGGLED)
    heard += await read(reader, 1)
    writer.close()
    answers = [int(status) for status in STATUS.findall(heard)]
    assert answers == [*hostile.answers, *([200] if hostile.lives else [])], heard
    for answer in filter(None, re.split(rb"(?=HTTP/1\.[01] [0-9]{3} )", heard)):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"\r\nServer: tillgate\r\n" in head + b"\r\n"
        assert b"\r\nX-Content-Type-Options: nosniff\r\n" in head + b"\r\n"
        if int(answer.split()[1]) >= 400:
            assert b"\r\nContent-Type: application/problem+json\r\n" in head + b"\r\n"
            assert b'"request_id":"req_' in body
    for foreign in (b"secret-of-mine", b"aiohttp", b"Python", b"Traceback"):
        assert foreign not in heard


def test_the_table_is_as_long_as_promised():
    assert len(HOSTILE) >= 60
    assert len({row.name for row in HOSTILE}) == len(HOSTILE)


@pytest.fixture(scope="module")
def many_descriptors() -> None:
    """A login's usual limit is 1 024; a crowd is more, and all of it in this process."""
    raise_descriptors()


@pytest.mark.usefixtures("many_descriptors")
async def test_a_crowd_of_silent_connections_keeps_no_till_out(here: House):
    crowd = [await connected(here) for _ in range(3_000)]
    try:
        for n in range(30):
            answer = await here.pay(100, method="cash", key=f"crowd-{n}")
            assert answer is not None, "the line broke"
            assert answer.ok, answer
        assert await is_closed(crowd[0])
        held = [each for each in crowd if not await is_closed(each)]
        assert len(held) <= CONNECTIONS_OF_STRANGERS_MAX
    finally:
        for _, writer in crowd:
            writer.close()


async def is_closed(peer: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    """Whether the server has ended it by now; it never answers these."""
    reader, _ = peer
    try:
        async with asyncio.timeout(0.001):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def memory(pid: int) -> int:
    """Bytes resident."""
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("known", [False, True], ids=["strangers", "a key that exists"])
async def test_announced_bodies_take_no_memory(here: House, known: bool):
    """Two thousand connections send nearly all of a long body and keep the rest."""
    pid = here.worker_pid()
    assert pid is not None
    key_id = here.books.terminal[0] if known else "key_nobody"
    head = (
        f"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 65000\r\nAuthorization: "
        f'TILLGATE-HMAC-SHA256 key="{key_id}",ts={int(time.time())},sig="{"A" * 43}="\r\n\r\n'
    ).encode()
    before = memory(pid)
    crowd = []
    most = 0
    try:
        for _ in range(2_000):
            peer = await connected(here)
            crowd.append(peer)
            peer[1].write(head + b"x" * 64_000)
            most = max(most, memory(pid))
        answer = await here.pay(100, method="cash", key=f"announced-{known}")
        most = max(most, memory(pid))
        assert answer is not None
        assert answer.ok, answer
        assert most - before <= 32 * MIB, f"{(most - before) / MIB:.0f} MiB"
    finally:
        for _, writer in crowd:
            writer.close()


@pytest.mark.skipif(SCALE == 1, reason="takes 35 s: make proof")
async def test_the_promised_times(here: House):
    """How long a worker of production waits."""
    sign = signer(here)
    slow = {
        "silent": (b"", HEAD_TIMEOUT_S),
        "half a line": (b"GET /hea", HEAD_TIMEOUT_S),
        "half a head": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", HEAD_TIMEOUT_S),
        "half a body": (
            b"POST /v1/payments HTTP/1.1\r\nHost: x\r\n"
            + sign("POST", "/v1/payments", b"", "slow")
            + b"Idempotency-Key: slow\r\nContent-Length: 100\r\n\r\n{",
            REQUEST_BODY_TIMEOUT_MS / 1000,
        ),
        "idle": (SMUGGLED, IDLE_TIMEOUT_S),
    }
    took = dict(
        zip(
            slow,
            await asyncio.gather(*(lifetime(here, sent) for sent, _ in slow.values())),
            strict=True,
        )
    )
    for name, (_, promised_s) in slow.items():
        assert promised_s <= took[name] + 0.1, took
        assert took[name] <= promised_s + 4, took
    await until(lambda: here_is_served(here))


async def lifetime(here: House, sent: bytes) -> float:
    reader, writer = await connected(here)
    began = time.monotonic()
    writer.write(sent)
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass
    writer.close()
    return time.monotonic() - began


async def here_is_served(here: House) -> bool:
    answer = await here.pay(100, method="cash", key="after")
    return answer is not None and answer.ok
