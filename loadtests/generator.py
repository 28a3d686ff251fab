"""A load generator that costs little: prebuilt request bytes over kept-alive connections, closed
loop, in one process.

It reads no more of an answer than its status and length: what it measures is the server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

CONNECTIONS = 64
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(slots=True)
class Measured:
    """One run: `latencies_s` of every answer, statuses counted, wall seconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """All of them."""
        return len(self.latencies_s)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        """Latency in milliseconds below which `share` of the answers came."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


class _Connection(asyncio.Protocol):
    def __init__(
        self,
        requests: Iterator[bytes],
        measured: Measured,
        until: float,
        done: asyncio.Future[None],
    ) -> None:
        self._requests, self._measured, self._until, self._done = requests, measured, until, done
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(_END)
        if head < 0:
            return
        lowered = self._buffer[:head].lower()
        at = lowered.find(_LENGTH)
        length = int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < head + len(_END) + length:
            return
        self._measured.latencies_s.append(time.perf_counter() - self._sent_at)
        self._measured.statuses[int(self._buffer[9:12])] += 1
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._done.done():
            self._measured.statuses[0] += 1  # a connection that broke is an answer nobody got
            self._done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None) if time.perf_counter() < self._until else None
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


async def closed_loop(
    host: str, port: int, requests: Iterator[bytes], seconds: float, connections: int = CONNECTIONS
) -> Measured:
    """Send until the time is up or the requests run out; on each connection one at a time."""
    loop = asyncio.get_running_loop()
    measured = Measured()
    began = time.perf_counter()
    ends = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(
            lambda done=done: _Connection(requests, measured, began + seconds, done),  # type: ignore[misc]
            host,
            port,
        )
        ends.append(done)
    await asyncio.gather(*ends)
    measured.seconds = time.perf_counter() - began
    return measured
