"""A real aiohttp server with the edge, and a till that signs what it sends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from gateway.http.app import build_app
from security.till_signature import authorization_header
from tests.fakes.flow import SECRET, World, new_world


class Reply:
    """An answer, read whole."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


class Till:
    """Signs exactly what it sends; every part can be bent."""

    def __init__(self, server: TestServer, session: aiohttp.ClientSession, world: World) -> None:
        self.server, self.session, self.world = server, session, world

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        key: str | None = None,
        key_id: str = "tk_1",
        headers: dict[str, str] | None = None,
        signed: dict[str, Any] | None = None,
    ) -> Reply:
        """`target` goes out to the byte; `signed` replaces parts of what the signature is over."""
        parts: dict[str, Any] = {
            "method": method,
            "path_qs": target,
            "ts": int(self.world.clock.now().timestamp()),
            "idempotency_key": key,
            "body": body,
        } | (signed or {})
        outgoing = {"Authorization": authorization_header(key_id, SECRET, **parts)} | (
            {"Idempotency-Key": key} if key else {}
        )
        return await self.plain(method, target, body, outgoing | (headers or {}))

    async def plain(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        url = URL(f"http://127.0.0.1:{self.server.port}{target}", encoded=True)
        async with self.session.request(
            method, url, data=body or None, headers=headers
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def raw(self, request: bytes) -> bytes:
        """The first bytes the server answers to exactly these."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(5):
            answer = await reader.read(65_536)
        writer.close()
        return answer


@pytest.fixture
def world() -> World:
    return new_world()


@contextlib.asynccontextmanager
async def serving(
    world: World, prepare: Callable[[web.Application], None] = lambda _app: None
) -> AsyncIterator[Till]:
    """The edge on a free port, as production runs it."""
    app = build_app(world.deps)
    prepare(app)
    server = TestServer(app)
    await server.start_server(auto_decompress=False)
    async with server, aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        yield Till(server, session, world)


@pytest.fixture
async def till(world: World) -> AsyncIterator[Till]:
    async with serving(world) as till:
        yield till
