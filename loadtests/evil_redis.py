"""A Redis that grants every lock to everybody: what a failover that lost its memory, or a proxy
gone mad, looks like from outside.

It takes every word that workers leave for one another, and shows none of them to anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

ANSWERS = {
    b"SET": b"+OK\r\n",  # with NX too: the lock is yours, whoever you are
    b"EVAL": b":1\r\n",
    b"EVALSHA": b":1000000\r\n",  # whatever a key asks for is lent, and more
    b"HSET": b":1\r\n",
    b"HDEL": b":1\r\n",
    b"HGETALL": b"%0\r\n",
    b"PING": b"+PONG\r\n",
    b"CLIENT": b"+OK\r\n",
}
HELLO = (
    b"%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n"
)


@contextlib.asynccontextmanager
async def evil_redis() -> AsyncIterator[tuple[str, Counter[bytes]]]:
    """(URL, how often each command came)."""
    seen: Counter[bytes] = Counter()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                words = [
                    await _word(reader) for _ in range(int((await reader.readuntil(b"\r\n"))[1:]))
                ]
                command = words[0].upper()
                seen[command] += 1
                writer.write(
                    HELLO
                    if command == b"HELLO"
                    else ANSWERS.get(command, b"-ERR unknown command\r\n")
                )
        writers.discard(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", seen
    finally:
        server.close()
        for writer in tuple(writers):
            writer.transport.abort()


async def _word(reader: asyncio.StreamReader) -> bytes:
    """One bulk string of a request."""
    size = int((await reader.readuntil(b"\r\n"))[1:])
    return (await reader.readexactly(size + 2))[:-2]
