"""The sandbox's control API, as far as the demo shop and the tour need it: enrolment, the
customer's acts, the ledger.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp

from gateway.cli.failures import CommandError

TIMEOUT_S = 30.0  # an enrolment makes several RSA keys


class SandboxRefused(CommandError):
    """The sandbox said no; the text is its own."""


class SandboxControl:
    """Use as an async context manager."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def channels(self) -> list[str]:
        """The channels it plays."""
        return list((await self._call("GET", "health"))["channels"])

    async def accounts(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Enrolled accounts: (channel, account) -> addresses of its main and its second host."""
        rows = (await self._call("GET", "accounts"))["data"]
        return {
            (row["channel"], row["account"]): (row["base_url"], row["second_base_url"])
            for row in rows
        }

    async def enrol(self, channel: str, account: str) -> dict[str, Any]:
        """A new account with short schedules; its credentials, which are given this once."""
        body = {"channel": channel, "account": account, "profile": "short"}
        credentials: dict[str, Any] = (await self._call("POST", "accounts", body))["credentials"]
        return credentials

    async def customer_pays(self, out_trade_no: str) -> None:
        """The customer scans the shown QR code and pays."""
        await self._call("POST", "pay", {"out_trade_no": out_trade_no})

    async def ledger(self, channel: str, account: str) -> list[dict[str, Any]]:
        """An account's trades, all pages."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = "0"
        while cursor is not None:
            page = await self._call(
                "GET", f"ledger?channel={channel}&account={account}&limit=5000&cursor={cursor}"
            )
            rows += page["data"]
            cursor = page["next_cursor"]
        return rows

    async def arm(self, channel: str, account: str, operation: str, fault: str) -> None:
        """Something goes wrong at one account until everything is disarmed."""
        await self._call(
            "POST",
            "faults",
            {"channel": channel, "account": account, "operation": operation, "fault": fault},
        )

    async def disarm(self) -> None:
        """All is well again."""
        await self._call("DELETE", "faults")

    async def tell(self, channel: str, account: str, out_trade_no: str) -> None:
        """The channel sends its callback about a trade, now."""
        body = {
            "channel": channel,
            "account": account,
            "out_trade_no": out_trade_no,
            "kind": "pay",
            "times": 1,
        }
        await self._call("POST", "callbacks", body)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        assert self._session is not None, "use the control as a context manager"
        async with self._session.request(
            method, f"{self.url}/_control/{path}", json=body
        ) as response:
            document = await response.json()
            if not response.ok:
                raise SandboxRefused(f"sandbox: {document['error']}")
            return document
