"""A real aiohttp server with the edge, and a till that signs what it sends."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from gateway.http.app import build_app, build_operations_app
from gateway.http.connections import OF_TILLS, Bounds
from gateway.http.operations import OperationsDeps
from gateway.http.serving import Listening, serve_until
from security.till_signature import authorization_header, parse_authorization
from tests.fakes.flow import SECRET, World, new_world


class Reply:
    """An answer, read whole."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


class Till:
    """Signs exactly what it sends; every part can be bent."""

    def __init__(
        self, port: int, operations_port: int, session: aiohttp.ClientSession, world: World
    ) -> None:
        self.port, self.operations_port = port, operations_port
        self.session, self.world = session, world

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

    def authorization(
        self, method: str, target: str, body: bytes = b"", key: str | None = None
    ) -> bytes:
        """The header's line, for requests that are written by hand."""
        header = authorization_header(
            "tk_1",
            SECRET,
            method=method,
            path_qs=target,
            ts=int(self.world.clock.now().timestamp()),
            idempotency_key=key,
            body=body,
        )
        return f"Authorization: {header}\r\n".encode()

    def signature(self, method: str, target: str, body: bytes = b"", key_id: str = "tk_1") -> str:
        """What `send` puts into `sig`."""
        header = authorization_header(
            key_id,
            SECRET,
            method=method,
            path_qs=target,
            ts=int(self.world.clock.now().timestamp()),
            idempotency_key=None,
            body=body,
        )
        return parse_authorization(header).sig

    async def plain(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> Reply:
        url = URL(f"http://127.0.0.1:{port or self.port}{target}", encoded=True)
        async with self.session.request(
            method, url, data=body or None, headers=headers
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def probe(self, target: str) -> Reply:
        """Of the listener for operations."""
        return await self.plain("GET", target, port=self.operations_port)

    async def raw(self, request: bytes) -> bytes:
        """The first bytes the server answers to exactly these."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
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
    world: World, *, leaving: asyncio.Event | None = None, bounds: Bounds = OF_TILLS
) -> AsyncIterator[Till]:
    """The edge on two free ports, as production runs it."""
    public, operations = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    ports = [each.getsockname()[1] for each in (public, operations)]
    of_operators = OperationsDeps(
        readiness=world.deps.readiness, clock=world.clock, ids=world.deps.ids
    )
    started, stop = asyncio.Event(), asyncio.Event()
    served = asyncio.create_task(
        serve_until(
            Listening(
                app=build_app(world.deps),
                socket=public,
                bounds=bounds,
                peers=world.deps.door.peers,
            ),
            stop,
            operations=Listening(app=build_operations_app(of_operators), socket=operations),
            leaving=leaving,
            on_started=started.set,
            drain_grace_s=0,
        )
    )
    await started.wait()
    try:
        async with aiohttp.ClientSession(
            skip_auto_headers=["Content-Type"], connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            yield Till(ports[0], ports[1], session, world)
    finally:
        stop.set()
        await served


@pytest.fixture
async def till(world: World) -> AsyncIterator[Till]:
    async with serving(world) as till:
        yield till
