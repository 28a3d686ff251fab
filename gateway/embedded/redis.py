"""A real Redis (or Valkey) on a unix socket,
shared by processes as the PostgreSQL of postgres.py is.

It keeps an append-only file, so that a restarted laptop keeps its rate counts; nothing of ours
depends on that.
"""

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from gateway.embedded.binaries import redis_program, server_environment
from gateway.embedded.errors import EmbeddedServerError
from gateway.embedded.ownership import Ownership
from gateway.embedded.tail import tail
from gateway.limits import (
    EMBEDDED_POLL_MS,
    EMBEDDED_PROBE_S,
    EMBEDDED_REDIS_START_S,
    EMBEDDED_REDIS_STOP_S,
)


class EmbeddedRedis:
    """One Redis in `root`, its log in `root/redis.log`;
    `durable=False` keeps nothing on disk (tests).
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self.root = root.resolve()
        self.socket_path = self.root / "redis.sock"
        self.pid_file = self.root / "redis.pid"
        self.durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._ownership = Ownership(self.root)

    @property
    def url(self) -> str:
        """Address for redis-py's `from_url`."""
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def is_owner(self) -> bool:
        """True when this process started (or adopted) the server and therefore stops it."""
        return self._ownership.held

    @property
    def is_running(self) -> bool:
        """True when a server answers in this folder, whoever started it."""
        return bool(self._ask("PING"))

    def start(self, wait_s: float = EMBEDDED_REDIS_START_S) -> str:
        """Start the server, or attach to the one that runs; returns `url`.

        Blocks until it answers a PING.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._ownership.starting():
            if not self._ask("PING"):
                self._launch()
            try:
                self._wait_until_ready(time.monotonic() + wait_s)
            except BaseException:
                if self._process is not None:
                    # Ctrl-C during a start must not leave a server without an owner.
                    self._process.terminate()
                    self._reap(wait_s)
                raise
            self._ownership.claim()
        return self.url

    def stop(self, wait_s: float = EMBEDDED_REDIS_STOP_S) -> None:
        """Stop the server if this process owns it."""
        if not self._ownership.held:
            return
        with self._ownership.starting():
            self._ask("SHUTDOWN")
            deadline = time.monotonic() + wait_s
            while self._ask("PING") and time.monotonic() < deadline:
                time.sleep(EMBEDDED_POLL_MS / 1000)
            if self._process is not None:
                self._reap(wait_s)
            self._ownership.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return (
            f"EmbeddedRedis({self.root}, answers={self._ask('PING') or 'nothing'!r}, "
            f"owner={self.is_owner})"
        )

    def _launch(self) -> None:
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.root),
            "pidfile": str(self.pid_file),
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self.root / "redis.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                [redis_program(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,  # Ctrl-C reaches its owner, who stops it last
                env=server_environment(),
            )

    def _wait_until_ready(self, deadline: float) -> None:
        while not self._ask("PING").startswith("+PONG"):
            died = self._process is not None and self._process.poll() is not None
            if died or time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Redis did not start in {self.root}; "
                    f"its log ends with:\n{tail(self.root / 'redis.log')}"
                )
            time.sleep(EMBEDDED_POLL_MS / 1000)

    def _ask(self, command: str) -> str:
        """The first answer to an inline command; empty when nothing listens (or the answer to
        SHUTDOWN: it hangs up).
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(EMBEDDED_PROBE_S)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(256).decode()
            except PermissionError as error:
                raise EmbeddedServerError(
                    f"{self.root} belongs to another user: "
                    f"run as that user or use another data folder"
                ) from error
            except OSError as error:
                if "too long" in str(error):
                    raise EmbeddedServerError(
                        f"the path {self.root} is too long for a unix socket: "
                        f"use a shorter data folder"
                    ) from error
                return ""

    def _reap(self, wait_s: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(wait_s)
        self._process = None
