"""The service under load: `tillgate dev` in a process of its own, the very system a newcomer runs,
with its CPU and its books.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gateway.cli.client.client import Client
from gateway.edge_limits import RATE_FACTOR_MAX
from gateway.embedded.postgres import EmbeddedPostgres
from loadtests.audit import audit
from loadtests.processes import below, table
from security.secret import Secret

START_S = 120.0
REST_S = 90.0  # what a lost answer takes to be decided, and callbacks to be applied
STARTED = b"Ctrl-C stops"
PARTS = (
    ("worker", "gateway serve"),
    ("postgres", "postgres"),
    ("redis", "redis"),
    ("sandbox", "sandbox"),
    ("work", "gateway work"),
)


class Service:
    """Started, measured, audited, stopped. `terms` is dev.json."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder = process, folder
        self.terms: dict[str, Any] = {}

    @classmethod
    async def start(cls, folder: Path, workers: int = 1) -> Service:
        """Ready, its tour played, in `folder`."""
        # As root, Postgres runs as another user that must reach its folder inside.
        folder.chmod(0o711)
        log = folder / "dev.log"
        command = [
            sys.executable,
            "-m",
            "gateway",
            "dev",
            "--data",
            str(folder / "data"),
            "--port",
            "0",
            "--workers",
            str(workers),
        ]
        # One key stands for a whole town of tills.
        environment = os.environ | {"TILLGATE_RATE_FACTOR": str(RATE_FACTOR_MAX)}
        with log.open("wb") as output:
            # Ctrl-C ends the load; the service is stopped after its books were looked at.
            process = subprocess.Popen(  # noqa: ASYNC220
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            service = cls(process, folder)
        end = time.monotonic() + START_S
        try:
            while STARTED not in log.read_bytes():
                if service._process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"tillgate dev did not start:\n{log.read_text()}")
                await asyncio.sleep(0.2)
        except BaseException:
            service.stop()
            raise
        service.terms = json.loads((folder / "data" / "dev.json").read_text())
        return service

    def stop(self) -> None:
        """End it and everything it started."""
        self._process.terminate()
        self._process.wait(60)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.terms["base_url"].removeprefix("http://").split(":")
        return host, int(port)

    def till(self) -> Client:
        """A client with the terminal's key."""
        key = self.terms["terminal_key"]
        return Client(self.terms["base_url"], key["id"], Secret(key["secret"]))

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by part."""
        found = {part: 0.0 for part, _ in PARTS}
        for process in below(self._process.pid, table()):
            part = next((part for part, mark in PARTS if mark in process.command), None)
            if part is not None:
                found[part] += process.cpu_s
        return found

    async def audited(self) -> list[str]:
        """The differences between the gateway's books and the sandbox's ledger,
        once both are at rest.
        """
        dsn = EmbeddedPostgres(self._folder / "data" / "postgres").dsn
        end = time.monotonic() + REST_S
        while True:
            problems = await audit(dsn, self.terms["sandbox_url"])
            if not problems or time.monotonic() > end:
                return [str(problem) for problem in problems]
            await asyncio.sleep(1)
