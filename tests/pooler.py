"""A pooler in transaction mode, as PgBouncer is one: a client has a server's session from the first
word of a transaction to its end, and the next client gets it after that.

It speaks enough of the protocol to know where a transaction ends. `drops`: whether it swallows
start-up settings that it does not know (`ignore_startup_parameters`), or refuses them.
`keeps_sessions`: session mode, in which the client keeps what it got.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TLS_WANTED = 80_877_103
VERSION_3 = 196_608
KNOWN = {"user", "database", "client_encoding", "datestyle", "timezone", "application_name"}
READY, SYNC, QUERY, GOODBYE = b"Z", b"S", b"Q", b"X"
IDLE = b"I"


@dataclass(slots=True, eq=False)
class _Session:
    """A server's, and what it said when it began."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes = b""

    async def relay(self, to: asyncio.StreamWriter | None = None) -> tuple[bytes, bytes]:
        """Everything up to the next "ready": (what was said, the state of the transaction)."""
        said = b""
        while True:
            kind, message = await _message(self.reader)
            said += message
            if to is not None:
                to.write(message)
            if kind == READY:
                return said, message[-1:]


class Pooler:
    """One pool for all clients: they all are the same user in the same database."""

    def __init__(self, socket: Path, *, drops: bool, keeps_sessions: bool) -> None:
        self._socket, self._drops, self._keeps_sessions = socket, drops, keeps_sessions
        self._free: list[_Session] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            given = await _given(reader, writer)
            unknown = sorted(set(given) - KNOWN)
            if unknown and not self._drops:
                text = f"unsupported startup parameter: {unknown[0]}"
                fields = b"".join(
                    kind + value.encode() + b"\0"
                    for kind, value in ((b"S", "FATAL"), (b"C", "08P01"), (b"M", text))
                )
                writer.write(b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0")
                await writer.drain()
            else:
                await self._carry(given, reader, writer)
        writer.close()

    async def _carry(
        self,
        given: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        session: _Session | None = await self._session(given)
        assert session is not None
        writer.write(session.greeting)
        self._free.append(session)
        session = None
        answering: asyncio.Task[tuple[bytes, bytes]] | None = None
        while True:
            kind, message = await _message(reader)
            if kind == GOODBYE:
                return
            session = session or await self._session(given)
            session.writer.write(message)
            answering = answering or asyncio.create_task(session.relay(writer))
            if kind in (SYNC, QUERY):
                _, state = await answering
                answering = None
                if state == IDLE and not self._keeps_sessions:
                    self._free.append(session)
                    session = None

    async def _session(self, given: dict[str, str]) -> _Session:
        if self._free:
            return self._free.pop()
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        self._writers.add(writer)
        body = b"".join(
            name.encode() + b"\0" + given[name].encode() + b"\0" for name in ("user", "database")
        )
        writer.write(struct.pack("!II", len(body) + 9, VERSION_3) + body + b"\0")
        session = _Session(reader, writer)
        session.greeting, _ = await session.relay()
        return session

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def _given(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, str]:
    """The settings a client begins with, its user and database among them."""
    while True:
        size, version = struct.unpack("!II", await reader.readexactly(8))
        body = await reader.readexactly(size - 8)
        if version != TLS_WANTED:
            break
        writer.write(b"N")
    words = [word.decode() for word in body.rstrip(b"\0").split(b"\0")]
    return dict(zip(words[::2], words[1::2], strict=True))


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


@contextlib.asynccontextmanager
async def pooled(dsn: str, *, drops: bool, keeps_sessions: bool = False) -> AsyncIterator[str]:
    """The address of a pooler in front of `dsn`, which names a folder of sockets."""
    parts = urlsplit(dsn)
    asked = parse_qs(parts.query)
    socket = Path(asked["host"][0]) / f".s.PGSQL.{asked['port'][0]}"
    pooler = Pooler(socket, drops=drops, keeps_sessions=keeps_sessions)
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
    finally:
        server.close()
        pooler.abort()
