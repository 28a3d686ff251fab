"""A door in front of the real Redis, which listens on a unix socket."""

import asyncio

from redis.asyncio.connection import parse_url


class Door:
    """Open, or silent: it reads and never answers. `heard` counts what was read while silent."""

    def __init__(self, redis_url: str) -> None:
        self._socket: str = parse_url(redis_url)["path"]
        self.silent, self.heard = False, 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """URL of the door."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._socket)
        for source, target, counted in ((reader, back, True), (there, writer, False)):
            pipe = asyncio.create_task(self._pipe(source, target, counted))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pipe(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counted: bool
    ) -> None:
        try:
            while chunk := await source.read(65_536):
                if self.silent:
                    self.heard += counted
                    continue
                target.write(chunk)
        finally:
            target.close()
