"""Between a gateway and its PostgreSQL: a proxy on a unix socket that understands just enough of
the protocol to cut at one statement.

It follows which prepared statement each connection executes, so a test says "the reply to the
statement that inserts a claim" and means it: `drop_reply` (executed and committed, the line breaks
before the answer), `drop_request` (never executed), `hold_reply` (executed and committed, the
answer waits). `down` cuts everything and refuses until `up`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from tests.servers import temporary_root

SOCKET = ".s.PGSQL.5432"
PARSE, BIND, QUERY, READY = b"P", b"B", b"Q", b"Z"


@dataclass(slots=True, eq=False)
class Trap:
    """Springs once, at the next execution of a statement that contains `marker`."""

    marker: str
    act: str
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class _Line:
    """One connection: its two sides, what it prepared, the trap that waits for its reply."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    statements: dict[bytes, str] = field(default_factory=dict)
    trap: Trap | None = None

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class FaultProxy:
    """See the module. `dsn` leads through it."""

    def __init__(self, server: Path, folder: Path, dsn: str) -> None:
        self._server, self._socket, self.dsn = server, folder / SOCKET, dsn
        self._listener: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._traps: list[Trap] = []
        self._pumps: set[asyncio.Task[None]] = set()

    def drop_reply(self, marker: str) -> Trap:
        return self._armed(Trap(marker, "drop_reply"))

    def drop_request(self, marker: str) -> Trap:
        return self._armed(Trap(marker, "drop_request"))

    def hold_reply(self, marker: str) -> Trap:
        """Set `release` to let the answer go."""
        return self._armed(Trap(marker, "hold_reply"))

    def refuse(self) -> None:
        """No new connections; those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._socket.unlink(missing_ok=True)

    def down(self) -> None:
        """PostgreSQL is gone."""
        self.refuse()
        for line in tuple(self._lines):
            line.cut()

    async def up(self) -> None:
        """And there again."""
        self._listener = await asyncio.start_unix_server(self._connected, self._socket)

    async def close(self) -> None:
        self.down()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def _armed(self, trap: Trap) -> Trap:
        self._traps.append(trap)
        return trap

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_unix_connection(self._server)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, ours)
        self._lines.add(line)
        pumps = [
            asyncio.create_task(self._requests(reader, line)),
            asyncio.create_task(self._replies(theirs, line)),
        ]
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        line.cut()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._pumps.difference_update(pumps)
        self._lines.discard(line)

    async def _requests(self, reader: asyncio.StreamReader, line: _Line) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            # The start-up packet has no type; nobody asks for TLS on a unix socket.
            line.server.write(await _sized(reader, b""))
            while True:
                kind = await reader.readexactly(1)
                message = await _sized(reader, kind)
                if kind == PARSE:
                    name, text, _ = message[5:].split(b"\0", 2)
                    line.statements[name] = text.decode()
                elif kind in (BIND, QUERY) and (
                    trap := self._sprung_by(_executed(line, kind, message))
                ):
                    line.trap = trap
                    if trap.act == "drop_request":
                        trap.sprung.set()
                        return
                line.server.write(message)

    def _sprung_by(self, text: str) -> Trap | None:
        for trap in self._traps:
            if trap.marker in text:
                self._traps.remove(trap)
                return trap
        return None

    async def _replies(self, reader: asyncio.StreamReader, line: _Line) -> None:
        kept = bytearray()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind = await reader.readexactly(1)
                kept += await _sized(reader, kind)
                if line.trap is None:
                    line.client.write(bytes(kept))
                    kept.clear()
                elif kind == READY:  # the transaction is over: committed, unless it failed
                    trap, line.trap = line.trap, None
                    trap.sprung.set()
                    if trap.act == "drop_reply":
                        return
                    await trap.release.wait()
                    line.client.write(bytes(kept))
                    kept.clear()


def _executed(line: _Line, kind: bytes, message: bytes) -> str:
    """The text of what is executed: in the message, or under the name it was prepared with."""
    return (
        message[5:-1].decode()
        if kind == QUERY
        else line.statements.get(message[5:].split(b"\0", 2)[1], "")
    )


async def _sized(reader: asyncio.StreamReader, kind: bytes) -> bytes:
    """One message, its type and length in front."""
    size = await reader.readexactly(4)
    return kind + size + await reader.readexactly(int.from_bytes(size) - 4)


@contextlib.asynccontextmanager
async def fault_proxy(dsn: str) -> AsyncIterator[FaultProxy]:
    """In front of the server of `dsn`, which must listen on a unix socket."""
    parts = urlsplit(dsn)
    server = Path(parse_qs(parts.query)["host"][0])
    with temporary_root() as folder:
        through = urlunsplit(parts._replace(query=f"host={quote(str(folder))}&port=5432"))
        proxy = FaultProxy(server / SOCKET, folder, through)
        await proxy.up()
        try:
            yield proxy
        finally:
            await proxy.close()
