"""The sandbox's own truth: JSON lines, made durable by a process that no fault and no crash
of the channels touches.

The channel process hands records over a socket pair; the keeper appends them, fsyncs once for
everything that has arrived meanwhile, and acknowledges how many lines are durable. When the channel
process dies, the keeper finishes the whole lines it was given and leaves. `python -m sandbox.ledger
PATH FD` is the keeper.
"""

import asyncio
import collections
import fcntl
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Self

from sandbox import limits


class LedgerError(Exception):
    """The ledger cannot be kept; the channels must not answer any more."""


class Ledger:
    """The channel process's end: `append` numbers a record,
    `durable(number)` waits until it is on disk.
    """

    def __init__(
        self,
        path: pathlib.Path,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.path = path
        self.failed = asyncio.Event()
        self._process = process
        self._reader = reader
        self._writer = writer
        self._appended = 0
        self._durable = 0
        self._waiters: collections.deque[tuple[int, asyncio.Future[None]]] = collections.deque()
        self._acknowledgements = asyncio.create_task(self._hear())

    @classmethod
    async def start(cls, path: pathlib.Path) -> Self:
        """Starts the keeper and waits until it owns the file;
        `LedgerError` when another sandbox holds it.
        """
        path.touch(mode=0o600, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "sandbox.ledger", str(path), str(theirs.fileno())]
            root = str(pathlib.Path(__file__).resolve().parent.parent)
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
            }
            process = subprocess.Popen(  # noqa: ASYNC220
                command, pass_fds=[theirs.fileno()], start_new_session=True, env=environment
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            await asyncio.wait_for(reader.readexactly(8), limits.LEDGER_READY_SECONDS)
        except (TimeoutError, asyncio.IncompleteReadError):
            writer.close()
            process.kill()
            process.wait()
            raise LedgerError(
                f"{path} is held by another sandbox, or cannot be written: "
                f"stop that one or choose another --data"
            ) from None
        return cls(path, process, reader, writer)

    @property
    def keeper_pid(self) -> int:
        """Process id of the keeper, for people and tests."""
        return self._process.pid

    def append(self, line: bytes) -> int:
        """Hands over one record (JSON without a line feed); returns its number. Not durable yet."""
        if self.failed.is_set():
            raise LedgerError("the ledger's keeper is gone")
        self._writer.write(line + b"\n")
        self._appended += 1
        return self._appended

    async def durable(self, number: int | None = None) -> None:
        """Returns when record `number` (default: everything appended so far) is fsynced."""
        number = self._appended if number is None else number
        if number <= self._durable:
            return
        if self.failed.is_set():
            raise LedgerError("the ledger's keeper is gone")
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((number, waiter))
        await waiter

    async def close(self) -> None:
        """Waits for the last record and ends the keeper."""
        if not self.failed.is_set():
            await self.durable()
        self._acknowledgements.cancel()
        self._writer.close()
        await asyncio.to_thread(self._process.wait)

    async def _hear(self) -> None:
        try:
            while True:
                self._durable = int.from_bytes(await self._reader.readexactly(8), "big")
                self._wake()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.failed.set()
            for _, waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(LedgerError("the ledger's keeper is gone"))
            self._waiters.clear()

    def _wake(self) -> None:
        # numbers are appended in order except for "everything so far", so a woken-too-late waiter
        # waits one batch at most
        while self._waiters and self._waiters[0][0] <= self._durable:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)


def read_ledger(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Every durable record in order; a torn last line (a crash in mid-write) is not a record."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def keep(path: str, connection: socket.socket) -> None:
    """The keeper's whole life: own the file, cut a torn tail, append and fsync until the channel
    process is gone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _cut_torn_tail(descriptor)
    durable = 0
    connection.sendall(durable.to_bytes(8, "big"))
    pending = b""
    while chunk := connection.recv(limits.LEDGER_CHUNK_BYTES):
        pending += chunk
        end = pending.rfind(b"\n") + 1
        if not end:
            continue
        _write_whole(descriptor, pending[:end])
        os.fdatasync(descriptor)
        durable += pending.count(b"\n", 0, end)
        pending = pending[end:]
        try:
            connection.sendall(durable.to_bytes(8, "big"))
        except ConnectionError:
            continue  # the channel process died: what it handed over is still read and kept


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _cut_torn_tail(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    tail = b""
    start = size
    while start > 0 and b"\n" not in tail:
        start = max(0, start - 65_536)
        tail = os.pread(descriptor, size - start, start)
    whole = start + tail.rfind(b"\n") + 1
    if whole != size:
        os.ftruncate(descriptor, whole)
        os.fdatasync(descriptor)


if __name__ == "__main__":
    keep(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
