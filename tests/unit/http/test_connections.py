"""Connections that keep us waiting are closed, and many of them keep no till out."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from gateway.clock import SystemIds
from gateway.edge_limits import (
    BYTES_AHEAD_MAX,
    CONNECTIONS_MAX,
    DESCRIPTORS_MAX,
    DESCRIPTORS_RESERVED_MIN,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    REQUEST_HEAD_BYTES_MAX,
    UNREAD_TIMEOUT_S,
)
from gateway.http.connections import OF_TILLS, Bounds, Guard, connections_within
from gateway.http.peers import DIRECT
from gateway.settings import LOOPBACK
from tests.fakes.flow import World, new_world
from tests.unit.http.conftest import Till, serving

ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = Bounds(head_s=0.3, idle_s=0.6, unread_s=0.5, look_s=0.02)
PATIENCE_S = 10.0  # ends a test that has already failed


class Peer:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.since = time.monotonic()

    async def ask(self) -> int:
        """The status of one ordinary request."""
        self.writer.write(ASK)
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
        return int(head.split()[1])

    async def closed_after(self) -> float:
        """Seconds from the connect until the server closes."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while await self.reader.read(65_536):
                    pass
        return time.monotonic() - self.since

    @property
    def is_closed(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()


@contextlib.asynccontextmanager
async def peers(till: Till) -> AsyncIterator[Callable[[], Awaitable[Peer]]]:
    """Opens raw connections; closed at the end."""
    opened: list[Peer] = []

    async def connect() -> Peer:
        opened.append(Peer(*await asyncio.open_connection("127.0.0.1", till.port)))
        return opened[-1]

    try:
        yield connect
    finally:
        for peer in opened:
            peer.writer.close()


async def dribble(peer: Peer) -> None:
    with contextlib.suppress(ConnectionError):
        for byte in b"X: " + b"y" * 10_000:
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("sent", "answered_first"),
    [
        (b"", False),
        (b"G", False),
        (b"GET /healthz HTTP/1.1\r\n", False),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", False),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", True),
    ],
)
async def test_a_head_that_does_not_end_ends_the_connection(
    world: World, sent: bytes, answered_first: bool
) -> None:
    async with serving(world, bounds=SHORT) as till, peers(till) as connect:
        peer = await connect()
        if answered_first:
            assert await peer.ask() == 200
            peer.since = time.monotonic()
        peer.writer.write(sent)
        assert SHORT.head_s * 0.9 < await peer.closed_after() < PATIENCE_S


async def test_a_byte_now_and_then_gives_no_more_time(world: World) -> None:
    async with serving(world, bounds=SHORT) as till, peers(till) as connect:
        peer = await connect()
        peer.writer.write(b"GET /healthz HTTP/1.1\r\n")
        dribbling = asyncio.create_task(dribble(peer))
        assert await peer.closed_after() < PATIENCE_S
        dribbling.cancel()


class Line(asyncio.Transport):
    """A transport that only counts how often it was cut."""

    cuts = 0

    def abort(self) -> None:
        self.cuts += 1

    def close(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


async def refuse(_request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("no request was ever whole")


async def test_what_comes_with_the_connect_counts_as_head() -> None:
    """The library begins to wait for a request a moment after the connect; data may come first."""
    guard = Guard("public", bounds=OF_TILLS, peers=DIRECT, ids=SystemIds())
    connection = guard.connections_of(web.Server(refuse))()
    line, field = Line(), b"X: " + b"y" * 1_000 + b"\r\n"
    half = REQUEST_HEAD_BYTES_MAX // 2 // len(field) + 1
    connection.connection_made(line)
    connection.data_received(b"GET /healthz HTTP/1.1\r\n" + field * half)
    assert line.cuts == 0
    connection.data_received(field * half)
    assert line.cuts == 1
    connection.connection_lost(None)


async def test_an_idle_connection_is_kept_for_a_while(world: World) -> None:
    async with serving(world, bounds=SHORT) as till, peers(till) as connect:
        peer = await connect()
        assert await peer.ask() == 200
        assert await peer.ask() == 200
        peer.since = time.monotonic()
        assert SHORT.idle_s * 0.9 < await peer.closed_after() < PATIENCE_S


async def test_who_does_not_read_is_cut_off(world: World) -> None:
    """Many answers asked for and none read: they fill the buffers of both kernels, then ours."""
    async with serving(world, bounds=SHORT) as till, peers(till) as connect:
        peer = await connect()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        docs = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(2_000):
                peer.writer.write(docs)
                await peer.writer.drain()
                if peer.writer.is_closing():
                    break
        async with asyncio.timeout(PATIENCE_S):
            while not peer.writer.is_closing():
                peer.writer.write(b" ")
                await asyncio.sleep(0.05)
        assert (await till.plain("GET", "/healthz")).status == 200


async def test_a_request_under_way_is_no_place_to_store_bytes(world: World) -> None:
    """A client that sends on while its request waits would fill our memory at its leisure."""
    waiting = asyncio.Event()

    async def never(*_: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    world.flow.pay = never  # type: ignore[method-assign, assignment]
    async with serving(world) as till, peers(till) as connect:
        peer = await connect()
        body = b'{"order_no":"A","amount":1,"currency":"CNY","method":"cash"}'
        head = b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
        signed = till.authorization("POST", "/v1/payments", body, "k")
        peer.writer.write(head + signed + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await waiting.wait()
        with contextlib.suppress(ConnectionError):
            for _ in range(BYTES_AHEAD_MAX // 1_000 + 500):
                peer.writer.write(b"x" * 1_000)
                await peer.writer.drain()
        assert await peer.closed_after() < PATIENCE_S


async def test_when_all_places_are_taken_the_longest_waiting_stranger_goes(world: World) -> None:
    async with (
        serving(world, bounds=replace(OF_TILLS, connections=40)) as till,
        peers(till) as connect,
    ):
        known = await proven(till, await connect())
        silent = [await connect() for _ in range(60)]
        late = await connect()
        assert await late.ask() == 200
        assert await known.ask() == 200, "a till that has proven itself goes last"
        assert await silent[0].closed_after() < HEAD_TIMEOUT_S, "before its time is up"
        assert not silent[-1].is_closed


async def test_one_address_of_strangers_takes_its_part_and_no_more(world: World) -> None:
    async with (
        serving(world, bounds=replace(OF_TILLS, strangers_of_a_peer=10)) as till,
        peers(till) as connect,
    ):
        tills = [await proven(till, await connect()) for _ in range(20)]
        silent = [await connect() for _ in range(20)]
        late = await connect()
        assert await late.ask() == 200
        assert await silent[0].closed_after() < HEAD_TIMEOUT_S
        assert [await each.ask() for each in tills] == [200] * 20, "tills share an address"


async def test_the_connections_of_a_proxy_are_not_one_peers() -> None:
    world = new_world(replace(DIRECT, proxies=LOOPBACK))
    async with (
        serving(world, bounds=replace(OF_TILLS, strangers_of_a_peer=2)) as till,
        peers(till) as connect,
    ):
        crowd = [await connect() for _ in range(10)]
        assert [await each.ask() for each in crowd] == [200] * 10


async def proven(till: Till, peer: Peer) -> Peer:
    """It has sent a signed request."""
    signed = till.authorization("GET", "/v1/payments")
    peer.writer.write(b"GET /v1/payments HTTP/1.1\r\nHost: x\r\n" + signed + b"\r\n")
    head = await peer.reader.readuntil(b"\r\n\r\n")
    await peer.reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
    assert head.startswith(b"HTTP/1.1 200 ")
    return peer


def test_the_times_are_the_promised_ones() -> None:
    assert (OF_TILLS.head_s, OF_TILLS.idle_s, OF_TILLS.unread_s) == (5.0, 30.0, 30.0)
    assert (HEAD_TIMEOUT_S, IDLE_TIMEOUT_S, UNREAD_TIMEOUT_S) == (5.0, 30.0, 30.0)


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [
        (DESCRIPTORS_MAX, CONNECTIONS_MAX),
        (1_024, 768),
        (256, 192),
        (200, 200 - DESCRIPTORS_RESERVED_MIN),
        (DESCRIPTORS_RESERVED_MIN, 1),
    ],
)
def test_the_channels_keep_descriptors(descriptors: int, connections: int) -> None:
    assert connections_within(descriptors) == connections
