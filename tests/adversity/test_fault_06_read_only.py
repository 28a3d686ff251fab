"""A window in which every session can only read: a failover that lands on the old primary, a
managed service's disk guard, a maintenance switch. Refused meanwhile; afterwards all is as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.cli.commands.checks import examine
from gateway.cli.commands.finding import Level
from gateway.embedded.postgres import EmbeddedPostgres
from tests.adversity.house import House, accepted, house, until
from tests.adversity.test_faults_postgres import mortal, refused_for_now
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import order_no, settings_for

__all__ = ["mortal"]
# Of each of the two processes: lanes, watch, heart and a few readers that were not needed before.
SESSIONS_MORE_MAX = 12
SESSIONS = """SELECT count(*) AS n FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'"""
GONE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""


async def switch(dsn: str, to: str, *, sessions_end: bool) -> None:
    """What the server lets sessions do from now on, old ones too. `sessions_end`: and they end."""
    writes = {"default_transaction_read_only": "off"}
    connection = await asyncpg.connect(dsn, server_settings=writes)
    try:
        await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {to}")
        await connection.execute("SELECT pg_reload_conf()")
        if sessions_end:
            await connection.execute(GONE)
    finally:
        await connection.close()


@asynccontextmanager
async def only_reading(dsn: str, *, sessions_end: bool) -> AsyncIterator[None]:
    await switch(dsn, "on", sessions_end=sessions_end)
    try:
        yield
    finally:
        await switch(dsn, "off", sessions_end=False)


@pytest.mark.parametrize("sessions_end", [True, False], ids=["sessions end", "sessions stay"])
async def test_fault_06_after_a_window_that_only_reads_all_is_as_before(
    mortal: EmbeddedPostgres,
    sandbox: SandboxProcess,
    tmp_path: Path,
    sessions_end: bool,
):
    async with house(mortal.dsn, sandbox, tmp_path) as here:
        accepted(await here.pay(700, method="cash"))
        accepted(await here.pay(700, auth_code=code("alipay")))
        sessions = await counted(here)
        taps: list[dict[str, Any]] = [
            {"amount": 700, "order_no": order_no(), "method": "cash"} for _ in range(6)
        ]
        async with only_reading(mortal.dsn, sessions_end=sessions_end):
            await until(lambda: is_refused(here))
            for answer in await asyncio.gather(*(here.pay(**each) for each in taps)):
                assert answer is not None
                refused_for_now(answer)
            assert await readiness(here) == (503, "reads only")
            assert await doctors_word(here) == "only reads"
        await until(lambda: is_ready(here))
        for answer in await asyncio.gather(*(here.pay(**each) for each in taps)):
            assert accepted(answer)["status"] == "succeeded", "the same key again"
        await sandbox.arm(
            "wechat", "pay", "drop_after_charge", account=here.books.accounts["wechat"], times=1
        )
        lost = accepted(await here.pay(700, auth_code=code("wechat")))
        settled = await here.settled(lost["id"], within_s=15)
        assert settled["status"] == "succeeded", "the sweeper goes on"
        assert await counted(here) <= sessions + SESSIONS_MORE_MAX
        for name in ("serve", "work"):
            assert not (here.folder / f"{name}.log").read_text().endswith("postponed"), name


async def counted(here: House) -> int:
    return int((await here.rows(SESSIONS))[0]["n"])


async def is_refused(here: House) -> bool:
    answer = await here.pay(700, method="cash")
    return answer is not None and answer.status == 503


async def readiness(here: House) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{here.operations_url}/readyz") as answer,
    ):
        return answer.status, (await answer.json())["checks"]["postgres"]


async def is_ready(here: House) -> bool:
    return (await readiness(here))[0] == 200


async def doctors_word(here: House) -> str:
    found = await examine(settings_for(here.books.dsn, None, here.base_url))
    (wrong,) = [each for each in found if each.level is Level.WRONG]
    return wrong.text.partition(" (")[0]
