"""A wire that can be cut in every way a network cuts one,
between a gateway and whatever it talks to.

`deaf`: what we say vanishes. `mute`: it is heard, and the answer vanishes. `dead`: both. In all
three the connections stay open and new ones are accepted, as behind a firewall that lost its state:
nobody is told, and only deadlines help. `open`: ordinary again; what vanished does not come back,
and connections that lost bytes are broken off, as TCP does in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from tests.sandbox_process import SandboxProcess
from tests.servers import temporary_root

State = Literal["open", "deaf", "mute", "dead"]
SOCKET = ".s.PGSQL.5432"
CHUNK_BYTES = 65_536


class Wire:
    """See the module. `seen` is set when bytes vanish."""

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._state: State = "open"
        self._lines: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._harmed: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.seen = asyncio.Event()

    async def listen(self, place: Path | None = None) -> int:
        """The port; 0 on a unix socket."""
        if place is not None:
            self._server = await asyncio.start_unix_server(self._connected, place)
            return 0
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self, how: State) -> None:
        self._state = how
        self.seen.clear()

    def heal(self) -> None:
        self._state = "open"
        for client in tuple(self._harmed):
            self._break(client)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for client in tuple(self._lines):
            self._break(client)
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def _break(self, client: asyncio.StreamWriter) -> None:
        self._harmed.discard(client)
        client.transport.abort()
        if far := self._lines.pop(client, None):
            far.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = (
            asyncio.open_unix_connection(self._target)
            if isinstance(self._target, Path)
            else asyncio.open_connection(*self._target)
        )
        try:
            far_reader, far_writer = await opening
        except OSError:
            writer.transport.abort()
            return
        self._lines[writer] = far_writer
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, writer, ("deaf", "dead"))),
            asyncio.create_task(self._pump(far_reader, writer, writer, ("mute", "dead"))),
        ]
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self._break(writer)
        await asyncio.gather(*pumps, return_exceptions=True)
        self._pumps.difference_update(pumps)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        swallowing: tuple[State, State],
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if self._state in swallowing:
                    self._harmed.add(client)
                    self.seen.set()
                else:
                    sink.write(chunk)


@contextlib.asynccontextmanager
async def wire_to_postgres(dsn: str) -> AsyncIterator[tuple[str, Wire]]:
    """(DSN that leads through it, the wire)."""
    parts = urlsplit(dsn)
    wire = Wire(Path(parse_qs(parts.query)["host"][0]) / SOCKET)
    with temporary_root() as folder:
        await wire.listen(folder / SOCKET)
        try:
            yield urlunsplit(parts._replace(query=f"host={quote(str(folder))}&port=5432")), wire
        finally:
            await wire.close()


@contextlib.asynccontextmanager
async def wire_to_redis(url: str) -> AsyncIterator[tuple[str, Wire]]:
    """(URL that leads through it, the wire)."""
    parts = urlsplit(url)
    wire = Wire(
        Path(parts.path)
        if parts.scheme == "unix"
        else (parts.hostname or "127.0.0.1", parts.port or 6379)
    )
    port = await wire.listen()
    try:
        yield f"redis://127.0.0.1:{port}/0", wire
    finally:
        await wire.close()


class FarSandbox(SandboxProcess):
    """The same sandbox, its channels' addresses behind wires: `wires` by channel.

    Close it before the sandbox.
    """

    def __init__(self, near: SandboxProcess) -> None:
        super().__init__()
        self.control_url, self._session, self._process = (
            near.control_url,
            near._session,
            near._process,
        )
        self.wires: dict[str, Wire] = {}

    async def enroll(self, channel: str, account: str, **terms: Any) -> dict[str, Any]:
        """See `SandboxProcess.enroll`; the credentials lead through the wire."""
        enrolled = await super().enroll(channel, account, **terms)
        there = urlsplit(enrolled["base_url"])
        wire = self.wires[channel] = Wire((there.hostname or "", there.port or 0))
        here = f"{there.hostname}:{await wire.listen()}"
        enrolled["credentials"] = {
            name: value.replace(there.netloc, here)
            if isinstance(value, str) and value.startswith("http")
            else value
            for name, value in enrolled["credentials"].items()
            if not name.startswith("second_")  # one way there, so that cutting it cuts everything
        }
        return enrolled

    async def close(self) -> None:
        """The wires; the sandbox itself is somebody else's."""
        for wire in self.wires.values():
            await wire.close()
