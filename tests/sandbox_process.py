"""The channel sandbox as a real process, for every test that needs the other side of the wire.

sandbox = SandboxProcess()
control_url = await sandbox.start(data_dir)
enrolled = await sandbox.enroll(
    "alipay", "a1", profile="short", callback_url="http://127.0.0.1:9/callbacks/a1"
)
await sandbox.arm("alipay", "pay", "drop_after_charge", times=1)
rows = await sandbox.ledger("alipay", "a1")
await sandbox.stop()
"""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from tests.patience import PATIENCE_S

ROOT = pathlib.Path(__file__).resolve().parent.parent
STOP_SECONDS = 10.0


class SandboxRefusedError(Exception):
    """The control API refused; `status` is its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status


class SandboxProcess:
    """One `python -m sandbox`.

    `start` may be called again after `kill` or `stop`, on the same data folder.
    """

    def __init__(self) -> None:
        self.control_url = ""
        self.pid = 0
        self.ledger_pid = 0
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self, data_dir: pathlib.Path) -> str:
        """Starts it and waits until it is ready; returns the control URL."""
        ready = data_dir / "ready.json"
        ready.unlink(missing_ok=True)
        data_dir.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "sandbox",
            "--data",
            str(data_dir),
            "--ready-file",
            str(ready),
            "--die-with-parent",
        ]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not ready.exists():
                    if self._process.returncode is not None:
                        raise RuntimeError(
                            f"the sandbox ended with {self._process.returncode} before it was ready"
                        )
                    await asyncio.sleep(0.02)
        except BaseException:
            await self.kill()
            raise
        said = json.loads(ready.read_text())
        self.control_url, self.pid, self.ledger_pid = (
            said["control_url"],
            said["pid"],
            said["ledger_pid"],
        )
        self._session = aiohttp.ClientSession()
        return self.control_url

    async def enroll(self, channel: str, account: str, **terms: Any) -> dict[str, Any]:
        """`{channel, account, base_url, second_base_url, credentials}`.

        Terms: mode, profile, callback_url.
        """
        return await self._call(
            "POST", "accounts", {"channel": channel, "account": account} | terms
        )

    async def accounts(self) -> list[dict[str, Any]]:
        """Enrolled accounts without secrets; `facts` are what the console would show."""
        return _rows(await self._call("GET", "accounts"))

    async def arm(self, channel: str, operation: str, fault: str, **terms: Any) -> dict[str, Any]:
        """Arms a fault. Terms: account, host, times, probability, delay_ms, seed."""
        return await self._call(
            "POST", "faults", {"channel": channel, "operation": operation, "fault": fault} | terms
        )

    async def faults(self) -> list[dict[str, Any]]:
        """Armed faults with `fired`."""
        return _rows(await self._call("GET", "faults"))

    async def disarm(self) -> list[dict[str, Any]]:
        """Disarms all; what had been armed, with `fired`."""
        return _rows(await self._call("DELETE", "faults"))

    async def ledger(
        self, channel: str | None = None, account: str | None = None
    ) -> list[dict[str, Any]]:
        """The whole truth, all pages."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = "0"
        while cursor is not None:
            wanted = {"channel": channel, "account": account, "cursor": cursor, "limit": "5000"}
            query = "&".join(
                f"{name}={value}" for name, value in wanted.items() if value is not None
            )
            page = await self._call("GET", f"ledger?{query}")
            rows += page["data"]
            cursor = page["next_cursor"]
        return rows

    async def pay(self, out_trade_no: str, **terms: Any) -> dict[str, Any]:
        """The customer pays. Terms: channel, account, only_scan."""
        return await self._call("POST", "pay", {"out_trade_no": out_trade_no} | terms)

    async def callbacks(
        self, channel: str, account: str, out_trade_no: str, **terms: Any
    ) -> list[dict[str, Any]]:
        """Sends callbacks now; the merchant's answers.

        Terms: kind, times, forged, refund_no, notify_url.
        """
        wanted = {"channel": channel, "account": account, "out_trade_no": out_trade_no} | terms
        return _rows(await self._call("POST", "callbacks", wanted))

    async def settings(self, channel: str, **switches: Any) -> dict[str, Any]:
        """Changes the switches of a channel; all of them."""
        return await self._call("POST", "settings", {"channel": channel} | switches)

    @contextlib.asynccontextmanager
    async def changed(self, channel: str, **switches: Any) -> AsyncIterator[None]:
        """These switches meanwhile, and those of before afterwards: a sandbox serves many tests."""
        before = await self.settings(channel)
        await self.settings(channel, **switches)
        try:
            yield
        finally:
            await self.settings(channel, **{name: before[name] for name in switches})

    async def kill(self) -> None:
        """kill -9 of the channel process; the ledger's keeper finishes by itself."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM and wait; harmless when it is not running."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        os.kill(process.pid, number)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        assert self._session is not None, "start() comes first"
        async with self._session.request(
            method, f"{self.control_url}/_control/{path}", json=body
        ) as answer:
            said: dict[str, Any] = await answer.json()
            if answer.status >= 400:
                raise SandboxRefusedError(answer.status, said.get("error", ""))
            return said


def _rows(said: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = said["data"]
    return rows
