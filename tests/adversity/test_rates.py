"""A key that asks without pause gets what its rate allows, over all workers of a host, with Redis
and without it; no other key notices.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.cli.client.client import Client
from gateway.edge_limits import RATE_LIST
from gateway.embedded.redis import EmbeddedRedis
from tests.adversity.house import House, house, until
from tests.sandbox_process import SandboxProcess
from tests.servers import temporary_root

WORKERS = 4
LISTS = "/v1/payments"


@pytest.mark.parametrize("fate", ["lives", "is killed"])
async def test_four_workers_hold_one_limit(
    database: str, sandbox: SandboxProcess, tmp_path: Path, fate: str
):
    with temporary_root() as root:
        server = EmbeddedRedis(root / "redis", durable=False)
        server.start()
        try:
            async with house(
                database,
                sandbox,
                tmp_path,
                redis_url=server.url,
                run=("serve",),
                workers=WORKERS,
                TILLGATE_RATE_FACTOR="1",
            ) as here:
                await until(lambda: all_serve(here))
                began = time.monotonic()
                admitted = await flood(here, until_s=began + 4)
                if fate == "is killed":
                    server.stop()
                admitted += await flood(here, until_s=began + 10)
                allowed = RATE_LIST.burst + (time.monotonic() - began) * RATE_LIST.per_s
                assert 0.5 * allowed < admitted <= 1.1 * allowed
        finally:
            server.stop()


async def flood(here: House, until_s: float) -> int:
    """How many lists were answered; every request on a connection of its own, so that it meets any
    of the workers. Every answer says what it is.
    """
    admitted = 0

    async def ask() -> None:
        nonlocal admitted
        while time.monotonic() < until_s:
            async with Client(here.base_url, *here.books.terminal) as till:
                answer = await till.call("GET", LISTS)
            if answer.ok:
                admitted += 1
            else:
                assert (answer.status, answer.document["code"]) == (429, "rate_limited")

    await asyncio.gather(*(ask() for _ in range(12)))
    return admitted


async def all_serve(here: House) -> bool:
    parent = here._children["serve"].process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return len(children) == WORKERS


async def test_what_a_refused_till_hears(database: str, sandbox: SandboxProcess, tmp_path: Path):
    async with house(database, sandbox, tmp_path, run=("serve",), TILLGATE_RATE_FACTOR="1") as here:
        answers = [await here.till.call("GET", LISTS) for _ in range(RATE_LIST.burst + 40)]
        refused = [each for each in answers if not each.ok]
        assert refused
        for each in refused:
            assert (each.status, each.document["code"]) == (429, "rate_limited")
            assert each.headers["Retry-After"] == "1"
        paid = await here.till.pay(
            {"order_no": "A1", "amount": 100, "method": "cash"}, "other-kinds-go-on"
        )
        assert paid.ok
        assert (await here.office.call("GET", LISTS)).ok, "other keys go on"
        log = (here.folder / "serve.log").read_text()
        lines = [line for line in log.splitlines() if "key_refused" in line]
        assert len(lines) == 1, "the first one is told, the others are counted"
        assert here.books.terminal[0] in lines[0]
