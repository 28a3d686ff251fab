"""One sandbox process for all these tests, a merchant a channel, and a place for callbacks."""

import asyncio
import itertools
import pathlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.patience import PATIENCE_S
from tests.sandbox.merchants import AlipayMerchant, WeChatMerchant
from tests.sandbox_process import SandboxProcess

MERCHANTS: dict[str, Any] = {"alipay": AlipayMerchant, "wechat": WeChatMerchant}


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxProcess]:
    """A sandbox apart: its settings are changed, and its ledger is read whole."""
    process = SandboxProcess()
    await process.start(tmp_path_factory.mktemp("sandbox"))
    yield process
    await process.stop()


@pytest.fixture(scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as one:
        yield one


@pytest.fixture(scope="session")
async def enrolled(sandbox: SandboxProcess) -> dict[str, dict[str, Any]]:
    rows = [await sandbox.enroll(channel, "shop", profile="short") for channel in MERCHANTS]
    return {row["channel"]: row["credentials"] for row in rows}


@pytest.fixture(scope="session")
async def merchants(enrolled: dict[str, Any], session: aiohttp.ClientSession) -> dict[str, Any]:
    """Made once: the SDKs check every key they load, which takes longer than a test."""
    return {channel: make(session, enrolled[channel]) for channel, make in MERCHANTS.items()}


@pytest.fixture
async def undisturbed(sandbox: SandboxProcess, merchants: dict[str, Any]) -> AsyncIterator[None]:
    """No fault armed before and after, no callback wanted unless the test says so, and every switch
    as it was.
    """
    for one in merchants.values():
        one.notify_url = None
    await sandbox.disarm()
    switches = [await sandbox.settings(channel) for channel in merchants]
    yield
    await sandbox.disarm()
    for each in switches:
        await sandbox.settings(**each)


@pytest.fixture(params=MERCHANTS)
async def merchant(
    request: pytest.FixtureRequest, merchants: dict[str, Any], undisturbed: None
) -> Any:
    """A merchant of each channel."""
    return merchants[request.param]


@pytest.fixture
async def alipay(merchants: dict[str, Any], undisturbed: None) -> AlipayMerchant:
    one: AlipayMerchant = merchants["alipay"]
    return one


@pytest.fixture
async def wechat(merchants: dict[str, Any], undisturbed: None) -> WeChatMerchant:
    one: WeChatMerchant = merchants["wechat"]
    return one


_numbers = itertools.count(1)


@pytest.fixture
def number() -> str:
    """An order number nobody used."""
    return f"T{next(_numbers):09d}"


@pytest.fixture
def codes() -> Callable[..., str]:
    """`codes(prefix, "05")`: a fresh payment code with these last digits,
    18 digits like both wallets' codes.
    """
    return lambda prefix, last="00": f"{prefix}{next(_numbers):014d}{last}"


@dataclass
class Inbox:
    """Callbacks as they came; `answers` are given in turn, then the acknowledgement."""

    url: str = ""
    arrived: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self.changed:
            self.arrived.append((dict(request.headers), body))
            self.changed.notify_all()
        status, text = self.answers.pop(0) if self.answers else (200, b"success")
        return web.Response(status=status, body=text)

    async def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: len(self.arrived) >= count)
        return self.arrived


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    here = Inbox()
    app = web.Application()
    app.router.add_post("/callbacks", here.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    here.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks"
    yield here
    await runner.cleanup()


@pytest.fixture
def data_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "data"


async def row_of(sandbox: SandboxProcess, channel: str, number: str) -> dict[str, Any] | None:
    """The ledger's row of this number, if any."""
    return next(
        (row for row in await sandbox.ledger(channel) if row["out_trade_no"] == number), None
    )


async def state_of(sandbox: SandboxProcess, channel: str, number: str) -> str | None:
    row = await row_of(sandbox, channel, number)
    return row["state"] if row else None


async def until(look: Callable[[], Any], expected: Any) -> None:
    """Polls until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while await look() != expected:  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(0.02)
