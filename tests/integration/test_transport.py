"""What `AiohttpTransport` says about a broken exchange, against raw sockets: "not sent" is proof,
so it may never be said too much.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from adapters.transport import (
    AiohttpTransport,
    AnswerLostError,
    HttpAnswer,
    HttpCall,
    InlineExecutor,
    NotSentError,
    TransportError,
)
from gateway.clock import SystemClock

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Serial: 7\r\n\r\nok"
FAR = 3600.0


@dataclass
class Peer:
    """A raw server's view: what arrived on each connection, and when the last one ended."""

    port: int = 0
    connections: list[bytearray] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/gateway.do"

    @property
    def requests(self) -> int:
        return sum(seen.count(b" HTTP/1.1\r\n") for seen in self.connections)


Answer = Callable[[Peer, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer_that(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Reads whole requests and lets `answer` do what it likes with each;
    a connection it closed stays closed.
    """
    peer = Peer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = bytearray()
        peer.connections.append(seen)
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while chunk := await reader.read(65_536):
                seen += chunk
                if seen.endswith((b"\r\n\r\n", b"body")):
                    await answer(peer, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            peer.ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def transport(**changed: object) -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(
        **{"clock": SystemClock(), "signing_executor": InlineExecutor(), **changed}  # type: ignore[arg-type]
    )
    try:
        yield made
    finally:
        await made.aclose()


def call(url: str, method: str = "POST", deadline: float | None = None) -> HttpCall:
    return HttpCall(
        method=method,
        url=url,
        headers={"Content-Type": "text/plain"} if method == "POST" else {},
        body=b"body" if method == "POST" else b"",
        deadline=SystemClock().monotonic() + FAR if deadline is None else deadline,
        operation="pay",
    )


async def failure_of(sender: AiohttpTransport, sent: HttpCall) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await sender.send(sent)
    return caught.value


async def say_ok(_peer: Peer, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def say_nothing(_peer: Peer, _writer: asyncio.StreamWriter) -> None:
    pass


async def reset(_peer: Peer, writer: asyncio.StreamWriter) -> None:
    """A real RST: closing with a linger of 0 s sends one, and no FIN."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()


async def reset_inside_the_body(peer: Peer, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await reset(peer, writer)


def word(answer: Answer, method: str, usual: str) -> str:
    """After a reset aiohttp is about to send a GET again: the gate stops it, and the word is its
    own.
    """
    return "disconnected" if answer is reset and method == "GET" else usual


def say(raw: bytes) -> Answer:
    async def answer(_peer: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    return answer


class SteppedClock(SystemClock):
    """Gives the readings in order, then the last one for ever."""

    def __init__(self, *readings: float) -> None:
        self._readings = list(readings)

    def monotonic(self) -> float:
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]


# --- it works at all


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_comes_back_whole_and_the_url_leaves_as_given(method: str) -> None:
    async with peer_that(say_ok) as peer, transport() as sender:
        answer = await sender.send(call(f"{peer.url}?a=%2f%7E&b=1|2", method))
        assert (answer.status, answer.body, answer.headers["x-serial"]) == (200, b"ok", "7")
        assert bytes(peer.connections[0]).startswith(
            method.encode() + b" /gateway.do?a=%2f%7E&b=1|2 HTTP/1.1\r\n"
        )
        assert b"\r\nAccept-Encoding: identity\r\n" in peer.connections[0]


async def test_a_connection_is_used_again() -> None:
    async with peer_that(say_ok) as peer, transport() as sender:
        for _ in range(3):
            await sender.send(call(peer.url))
        assert (len(peer.connections), peer.requests) == (1, 3)


# --- nothing left


async def test_refused_is_not_sent() -> None:
    async with peer_that(say_ok) as peer:
        pass
    async with transport() as sender:
        assert_not_sent(await failure_of(sender, call(peer.url)), "connect_refused")


async def test_an_unknown_host_is_not_sent() -> None:
    async with transport() as sender:
        assert isinstance(
            await failure_of(sender, call("http://no-such-host.invalid/")), NotSentError
        )


async def test_an_address_that_is_none_is_not_sent() -> None:
    async with transport() as sender:
        assert isinstance(await failure_of(sender, call("http:///gateway.do")), NotSentError)


async def test_a_deadline_that_has_passed_opens_no_connection() -> None:
    async with peer_that(say_ok) as peer, transport(clock=SteppedClock(10.0)) as sender:
        assert_not_sent(await failure_of(sender, call(peer.url, deadline=10.0)), "deadline")
        assert peer.connections == []


@pytest.mark.parametrize(
    ("method", "readings"),
    [
        ("GET", (9.0, 10.0)),
        ("POST", (9.0, 10.0)),
        ("POST", (9.0, 9.0, 10.0)),
    ],
    ids=["get at its head", "post at its head", "post at its body"],
)
async def test_a_deadline_that_passes_with_the_connection_in_hand_sends_no_byte(
    method: str, readings: tuple[float, ...]
) -> None:
    async with peer_that(say_ok) as peer, transport(clock=SteppedClock(*readings)) as sender:
        assert_not_sent(await failure_of(sender, call(peer.url, method, deadline=10.0)), "deadline")
        await peer.ended.wait()
        assert peer.connections == [b""]


async def test_a_deadline_that_passes_on_a_kept_connection_sends_no_byte() -> None:
    clock = SteppedClock(1.0, 1.0, 1.0, 9.0, 9.0, 10.0)
    async with peer_that(say_ok) as peer, transport(clock=clock) as sender:
        await sender.send(call(peer.url, deadline=10.0))
        assert_not_sent(await failure_of(sender, call(peer.url, deadline=10.0)), "deadline")
        await peer.ended.wait()
        assert (peer.requests, len(peer.connections)) == (1, 1)


async def test_a_closed_transport_sends_nothing() -> None:
    async with peer_that(say_ok) as peer, transport() as sender:
        await sender.aclose()
        assert_not_sent(await failure_of(sender, call(peer.url)), "transport_closed")


# --- something may have left


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reset, "reset"),
        (say_nothing, "timeout"),
        (say(b""), "disconnected"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Le"), "disconnected"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "malformed_answer"),
        (say(b"+OK redis here\r\n\r\n"), "malformed_answer"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n" + b"x" * 65), "answer_too_long"),
        (
            say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"),
            "content_encoding",
        ),
        (
            say(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
            "redirect",
        ),
        (
            say(b"HTTP/1.1 307 Again\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
            "redirect",
        ),
    ],
)
async def test_a_broken_answer_is_lost_and_asked_for_once(
    method: str, answer: Answer, reason: str
) -> None:
    async with (
        peer_that(answer) as peer,
        transport(read_timeout_ms=100, answer_bytes_max=64) as sender,
    ):
        failure = await failure_of(sender, call(peer.url, method))
        assert (type(failure), peer.requests, len(peer.connections)) == (AnswerLostError, 1, 1)
        assert failure.reason == word(answer, method, reason)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reset_inside_the_body_is_a_lost_answer(method: str) -> None:
    async with peer_that(reset_inside_the_body) as peer, transport() as sender:
        failure = await failure_of(sender, call(peer.url, method))
        # The word depends on what of the body was read before the reset arrived.
        assert (type(failure), peer.requests) == (AnswerLostError, 1)


async def test_a_channel_that_drips_is_cut_off() -> None:
    async def drip(_peer: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with peer_that(drip) as peer, transport(call_timeout_ms=150) as sender:
        failure = await failure_of(sender, call(peer.url))
        assert (type(failure), failure.reason) == (AnswerLostError, "timeout")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("ending", "reason"), [(reset, "reset"), (say(b""), "disconnected")], ids=["reset", "closed"]
)
async def test_a_kept_connection_that_breaks_at_its_second_request_is_never_tried_again(
    method: str, ending: Answer, reason: str
) -> None:
    async def answer(peer: Peer, writer: asyncio.StreamWriter) -> None:
        await (say_ok if peer.requests == 1 else ending)(peer, writer)

    async with peer_that(answer) as peer, transport() as sender:
        await sender.send(call(peer.url, method))
        failure = await failure_of(sender, call(peer.url, method))
        assert (type(failure), failure.reason) == (
            AnswerLostError,
            word(ending, method, reason),
        )
        assert peer.requests == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_server_that_closes_its_idle_connection_sees_no_request_twice(method: str) -> None:
    async def answer_and_leave(_peer: Peer, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()  # without saying "Connection: close": the client believes it may come again

    async with peer_that(answer_and_leave) as peer, transport() as sender:
        for tried in range(1, 21):
            try:
                answer: HttpAnswer | TransportError = await sender.send(call(peer.url, method))
            except TransportError as failure:
                answer = failure
            arrived = peer.requests
            assert arrived <= tried
            assert isinstance(answer, AnswerLostError) or arrived >= 1


def assert_not_sent(failure: TransportError, reason: str) -> None:
    assert (type(failure), failure.reason) == (NotSentError, reason)
