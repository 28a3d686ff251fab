"""Callbacks to merchants: sent when money became final, resent until acknowledged,
bent by `callback` faults.

The resend plan is the channels' own idea in minutes' place of hours
(`limits.CALLBACK_RESEND_SECONDS`, a tenth for `short`). A restart forgets what was still to be
resent, as an outage at a real channel may: the merchant has to query.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import aiohttp

from sandbox import limits
from sandbox.book import REFUNDED, REVERSED, Book, Refund, Trade
from sandbox.channel import Account, Desk, Flaw, Lie, Notice
from sandbox.faults import Fault, Faults

_log = logging.getLogger("sandbox.callbacks")

_BENT: dict[str, tuple[Flaw, Lie]] = {
    "bad_signature": (Flaw.FOREIGN_KEY, Lie.NONE),
    "stale_timestamp": (Flaw.STALE_TIMESTAMP, Lie.NONE),
    "wrong_amount": (Flaw.NONE, Lie.AMOUNT),
    "wrong_order": (Flaw.NONE, Lie.ORDER),
}
FORGERIES: dict[str, tuple[Flaw, Lie]] = {
    "signature": (Flaw.FOREIGN_KEY, Lie.NONE),
    "signtest": (Flaw.SIGNTEST, Lie.NONE),
    "stale_timestamp": (Flaw.STALE_TIMESTAMP, Lie.NONE),
    "amount": (Flaw.NONE, Lie.AMOUNT),
    "order": (Flaw.NONE, Lie.ORDER),
    "app": (Flaw.NONE, Lie.APP),
    "seller_or_mchid": (Flaw.NONE, Lie.SELLER_OR_MCHID),
}


class Post:
    """The one outgoing door: an HTTP session shared by all accounts,
    with a bound on what is under way.
    """

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=limits.CALLBACKS_AT_ONCE_MAX)
        timeout = aiohttp.ClientTimeout(total=limits.CALLBACK_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the merchant's answer; (0, reason) when there was none."""
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, await answer.content.read(limits.CALLBACK_BODY_BYTES_MAX)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}".encode()

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


class Callbacks:
    """One account's callbacks."""

    def __init__(
        self, account: Account, desk: Desk, book: Book, faults: Faults, post: Post
    ) -> None:
        self._account = account
        self._desk = desk
        self._book = book
        self._faults = faults
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[Notice] = []
        self._until_ended: dict[str, list[Notice]] = {}

    def announce(self, kind: str, trade: Trade, refund: Refund | None) -> None:
        """Something became final; tells the merchant if the request had asked for it."""
        url = refund.notify_url if refund else trade.notify_url
        if not url:
            return
        notice = Notice(kind, trade, refund, url)
        causes = {"pay": ("pay", "precreate") if trade.flow == "qr" else ("pay",)}.get(
            kind, (kind,)
        )
        fault = self._faults.take_callback(self._account.channel, self._account.account, causes)
        name = fault.name if fault else ""
        match name:
            case "callback_hold":
                self._held.append(notice)
            case "callback_after_cancel":
                self._until_ended.setdefault(trade.out_trade_no, []).append(notice)
            case "drop_before":
                return
            case _:
                task = self._start(self._deliver(notice, fault))
                trade.told_first = task if name == "callback_before_reply" else None

    def ended(self, trade: Trade) -> None:
        """The trade was closed, reversed or refunded: callbacks that waited for this go out."""
        if trade.state in {REVERSED, REFUNDED}:
            for notice in self._until_ended.pop(trade.out_trade_no, []):
                self._start(self._deliver(notice, None))

    def release(self) -> None:
        """Faults were disarmed: what they held goes out."""
        held, self._held = self._held, []
        held += [notice for notices in self._until_ended.values() for notice in notices]
        self._until_ended.clear()
        for notice in held:
            self._start(self._deliver(notice, None))

    async def send_now(
        self, notice: Notice, forged: str | None, times: int
    ) -> list[dict[str, Any]]:
        """Sends `times` at once, whatever came before; answers what the merchant said to each."""
        flaw, lie = FORGERIES[forged] if forged else (Flaw.NONE, Lie.NONE)
        answers = await asyncio.gather(*(self._send(notice, flaw, lie) for _ in range(times)))
        return [
            {"status": status, "body": body.decode(errors="replace")} for status, body in answers
        ]

    async def stop(self) -> None:
        """Ends the resending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, notice: Notice, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        if name == "callback_late" and fault:
            await asyncio.sleep(fault.delay_ms / 1000)
        await self._book.durable(notice.trade)
        if name == "rotate_key":
            await self._desk.rotate_key()
        if name == "callback_forged":
            await self._send(notice, Flaw.FOREIGN_KEY, Lie.NONE)
        if name == "signtest_probe":
            await self._send(notice, Flaw.SIGNTEST, Lie.NONE)
        if name in _BENT:
            await self._send(notice, *_BENT[name])
            return  # the bent one is all that comes: the merchant must find out by asking
        copies = 3 if name == "callback_duplicate" else 1
        answers = await asyncio.gather(
            *(self._send(notice, Flaw.NONE, Lie.NONE) for _ in range(copies))
        )
        if not any(self._desk.is_acknowledged(*answer) for answer in answers):
            task = self._start(self._resend(notice))
            task.set_name(f"resend {notice.trade.out_trade_no}")

    async def _resend(self, notice: Notice) -> None:
        scale = limits.PROFILE_SCALE[self._account.profile]
        for wait in limits.CALLBACK_RESEND_SECONDS:
            await asyncio.sleep(wait * scale)
            if self._desk.is_acknowledged(*await self._send(notice, Flaw.NONE, Lie.NONE)):
                return
        _log.warning(
            "%s %s: callback was never acknowledged",
            self._account.account,
            notice.trade.out_trade_no,
        )

    async def _send(self, notice: Notice, flaw: Flaw, lie: Lie) -> tuple[int, bytes]:
        sealed = await self._desk.notify(notice, flaw, lie)
        return await self._post.send(notice.url, dict(sealed.headers), sealed.body)
