"""What a subject of the tour plays on:
a till, a merchant's server, the customer, and the channels' ledger.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.discovery import discover
from gateway.cli.client.client import Answer, Client
from gateway.cli.dev.listener import Listener
from gateway.cli.dev.sandbox_control import SandboxControl
from security.secret import Secret

# Short schedules are ten times the channels' own pace: nothing here takes longer.
SETTLE_S: Final = 20.0
POLL_S: Final = 2
EVENTS_PER_PAGE: Final = 100
FINAL: Final = frozenset({"succeeded", "failed", "expired", "canceled", "paid_late"})
# A refusal of what was charged; the callback waits, or it could come before the refusal.
LIES: Final = (("pay", "lie_failure"), ("callback", "callback_hold"))
# The beginning of a payment code, and its digits but for the magic two.
CODES: Final = {"alipay": ("28", 16), "wechat": ("13", 14)}

Document = dict[str, Any]


class StepFailed(Exception):
    """The tour met something else than it was promised; the text says what."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one subject showed: the verdict (or state) and a few words of proof."""

    verdict: str
    detail: str = ""


@dataclass(slots=True)
class Stage:
    """`accounts`: channel -> account ids, the first to be tried first.

    `listener`: where the endpoint leads to.

    `cursor`: where the event feed stood when the tour began.
    """

    till: Client
    server: Client
    control: SandboxControl
    accounts: Mapping[str, tuple[str, ...]]
    listener: Listener
    endpoint_id: str
    cursor: str | None = None
    _run: str = field(default_factory=lambda: f"{time.strftime('%m%d')}-{secrets.token_hex(3)}")
    _orders: int = 0

    def order_no(self) -> str:
        """A bill number never used before."""
        self._orders += 1
        return f"T{self._run}-{self._orders:02d}"

    async def pay(
        self, payment: Mapping[str, Any], *, wait_s: int = 5, order_no: str | None = None
    ) -> Document:
        """One payment from the till, its order number filled in; the payment.

        Raises StepFailed when the gateway refuses.
        """
        order = order_no or self.order_no()
        return accepted(
            await self.till.pay({"order_no": order, **payment}, f"tour-{order}", wait_s=wait_s)
        )

    async def until(self, payment: Document, wanted: Collection[str] = FINAL) -> Document:
        """The payment once its status is one of `wanted`, long-polling."""
        deadline = time.monotonic() + SETTLE_S
        while payment["status"] not in wanted:
            if time.monotonic() > deadline or payment["status"] in FINAL:
                raise StepFailed(
                    f"payment {payment['id']} is {payment['status']}, "
                    f"expected {' or '.join(sorted(wanted))}"
                )
            payment = accepted(await self.till.payment(payment["id"], wait_s=POLL_S))
        return payment

    async def until_refunded(self, refund: Document) -> Document:
        """The refund once it has succeeded."""
        deadline = time.monotonic() + SETTLE_S
        while refund["status"] != "succeeded":
            if time.monotonic() > deadline or refund["status"] in {"failed", "needs_action"}:
                raise StepFailed(f"refund {refund['id']} is {refund['status']}")
            await asyncio.sleep(0.1)
            refund = accepted(await self.till.refund_state(refund["id"]))
        return refund

    async def trade(self, channel: str, out_trade_no: str) -> Document:
        """The channel's own record of a trade."""
        rows = [row for row in await self.ledger(channel) if row["out_trade_no"] == out_trade_no]
        if len(rows) != 1:
            raise StepFailed(
                f"the {channel} ledger has {len(rows)} trades with number {out_trade_no}"
            )
        return rows[0]

    async def ledger(self, channel: str) -> list[Document]:
        """All trades of our accounts at a channel."""
        return [
            row
            for account in self.accounts[channel]
            for row in await self.control.ledger(channel, account)
        ]

    @asynccontextmanager
    async def trouble(
        self, channel: str, *faults: tuple[str, str], first_account_only: bool = False
    ) -> AsyncIterator[None]:
        """(operation, fault) at the channel's accounts, for a while."""
        for operation, fault in faults:
            for account in self.accounts[channel][: 1 if first_account_only else None]:
                await self.control.arm(channel, account, operation, fault)
        try:
            yield
        finally:
            await self.control.disarm()

    async def event_types(self, payment_id: str, last: str) -> list[str]:
        """What happened to a payment, in commit order, once `last` is there (the feed may lag
        behind running transactions).
        """
        deadline = time.monotonic() + SETTLE_S
        while True:
            found = [
                event["type"]
                for event in await self._events()
                if event["data"]["payment"]["id"] == payment_id
            ]
            if last in found:
                return found
            if time.monotonic() > deadline:
                raise StepFailed(f"the event feed has {found} of {payment_id} and no {last}")
            await asyncio.sleep(0.1)

    async def skip_old_events(self) -> None:
        """Move the cursor behind everything there is."""
        while True:
            page = await self._events_after(self.cursor)
            self.cursor = page["next_cursor"] or self.cursor
            if not page["has_more"]:
                return

    async def _events(self) -> list[Document]:
        """Payment events since the tour began."""
        rows: list[Document] = []
        cursor = self.cursor
        while True:
            page = await self._events_after(cursor)
            rows += page["data"]
            cursor = page["next_cursor"] or cursor
            if not page["has_more"]:
                return [row for row in rows if "payment" in row["data"]]

    async def _events_after(self, cursor: str | None) -> Document:
        query = f"?limit={EVENTS_PER_PAGE}" + (f"&after={cursor}" if cursor else "")
        return accepted(await self.server.call("GET", f"/v1/events{query}"))


@asynccontextmanager
async def stage_of(shop: Document, listener: Listener, endpoint_id: str) -> AsyncIterator[Stage]:
    """The stage that a demo shop is. `shop` is dev.json."""
    remote = {name for name, manifest in discover().items() if manifest.settles == "remote"}
    accounts: dict[str, tuple[str, ...]] = {}
    for each in sorted(shop["accounts"], key=lambda account: account["priority"]):
        if each["channel"] in remote:
            accounts[each["channel"]] = (*accounts.get(each["channel"], ()), each["id"])
    async with (
        _client(shop, "terminal_key") as till,
        _client(shop, "merchant_key") as server,
        SandboxControl(shop["sandbox_url"]) as control,
    ):
        yield Stage(
            till=till,
            server=server,
            control=control,
            accounts=accounts,
            listener=listener,
            endpoint_id=endpoint_id,
        )


def _client(shop: Document, which: str) -> Client:
    return Client(shop["base_url"], shop[which]["id"], Secret(shop[which]["secret"]))


def accepted(answer: Answer) -> Document:
    """The document of a 2xx answer; StepFailed in the gateway's own words for anything else."""
    document: Document = answer.document
    if not answer.ok:
        raise StepFailed(
            f"{answer.status} {document.get('code', '')}: {document.get('detail', '')}"
        )
    return document


def payment_code(channel: str, magic: str = "00") -> str:
    """A payment code nobody used before;
    the last two digits tell the sandbox what the customer does.
    """
    beginning, digits = CODES[channel]
    return beginning + f"{secrets.randbelow(10**digits):0{digits}d}" + magic


def expect(shown: Document, **wanted: object) -> None:
    """Compare fields of a payment or refund. Raises StepFailed."""
    for name, value in wanted.items():
        if shown.get(name) != value:
            raise StepFailed(
                f"{shown.get('object', 'answer')} {shown.get('id', '')}: "
                f"{name} is {shown.get(name)!r}, expected {value!r}"
            )


def verdict(payment: Document) -> str:
    """The verdict's code."""
    return str(payment["verdict"]["code"])
