"""Customers who come at a steady rate, whatever the gateway does, and tills that serve each as the
contract tells them.

Answered "failed, rescan" or "same method": a fresh code under a new key. 503 or a broken line: the
same key again. "Do not charge again": the till asks until it knows. Anything else ends the service
of that customer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from gateway.cli.client.client import Answer, Client
from loadtests.drill.darkness import Clock
from security.secret import Secret

CODES = {"alipay": "28", "wechat": "13"}
AGAIN = frozenset({"rescan", "same_method"})
LINE_BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError)
TAPS_MAX = 3  # then the customer pays another way
PATIENCE_S = 10.0  # whoever has waited longer was not served
TRY_AGAIN_S = 0.5
POLL_S = 10
TILLS = 24  # connection pools: who waits must not keep who comes from a connection


@dataclass(slots=True)
class Tap:
    """One payment, as the till saw it. `repeats`: how often its key was sent again."""

    at_s: float
    answered_s: float = float("inf")  # the answer to POST
    ended_s: float = float("inf")
    status: str = ""  # of the last answer
    failure: str = ""
    repeats: int = 0


@dataclass(slots=True)
class Customer:
    """One order of one tender. `account` is the channel account that was paid."""

    number: int
    order_no: str
    arrived_s: float
    taps: list[Tap] = field(default_factory=list)
    paid_s: float = float("inf")
    account: str = ""

    @property
    def was_served(self) -> bool:
        """Paid before the customer lost patience."""
        return self.paid_s - self.arrived_s <= PATIENCE_S

    @property
    def answered_s(self) -> float:
        """The answer to the first tap."""
        return self.taps[0].answered_s if self.taps else float("inf")


class Tills:
    """`run` until `stop` is set; `customers` grows; `answered` is what tills wrote down:
    key -> payment id.
    """

    def __init__(self, base_url: str, key: tuple[str, Secret], channel: str, clock: Clock) -> None:
        self._clients = [Client(base_url, *key) for _ in range(TILLS)]
        self._stem, self._clock = CODES[channel], clock
        self._run, self._codes = secrets.token_hex(3), itertools.count(secrets.randbelow(10**9))
        self._serving: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []
        self._stack = AsyncExitStack()
        self.customers: list[Customer] = []
        self.answered: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        for client in self._clients:
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._stack.aclose()

    async def run(self, rate: float, stop: asyncio.Event) -> None:
        """Open loop: nobody waits for the customer before."""
        for number in itertools.count(1):
            due_s = (number - 1) / rate
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due_s - self._clock.now())):
                    await stop.wait()
            if stop.is_set():
                return
            customer = Customer(number, f"D{self._run}-{number}", self._clock.now())
            self.customers.append(customer)
            task = asyncio.create_task(self._serve(customer))
            self._serving.add(task)
            task.add_done_callback(self._has_served)

    async def all_served(self, within_s: float) -> None:
        """Waits for those who still stand at a till, so long.

        Raises what broke a till, which is a fault of the drill's own.
        """
        if self._serving:
            await asyncio.wait(self._serving, timeout=within_s)
        for fault in self._broken:
            raise fault

    def _has_served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._broken.append(fault)

    async def _serve(self, customer: Customer) -> None:
        client = self._clients[customer.number % TILLS]
        for tap_number in range(1, TAPS_MAX + 1):
            tap = Tap(self._clock.now())
            customer.taps.append(tap)
            payment = await self._paid(client, customer, tap, f"{customer.order_no}.{tap_number}")
            tap.ended_s, tap.status = self._clock.now(), payment.get("status", "")
            if tap.status == "succeeded":
                customer.paid_s, customer.account = tap.ended_s, payment["channel_account"]
                return
            failure = payment.get("failure") or {}
            tap.failure = (
                f"{failure.get('code', payment.get('code', ''))}/{failure.get('retry', '')}"
            )
            if failure.get("retry") not in AGAIN:
                return

    async def _paid(self, client: Client, customer: Customer, tap: Tap, key: str) -> dict[str, Any]:
        """The payment once nothing more is to be done about it, or the problem that ended it."""
        code = f"{self._stem}{next(self._codes) % 10**12:012d}{customer.number % 100:02d}00"
        body = {
            "order_no": customer.order_no,
            "amount": 100 + customer.number % 9_900,
            "auth_code": code,
        }
        while True:
            answer = await _unbroken(client.pay(body, key))
            if answer is not None and answer.status != 503:  # noqa: PLR2004 - nothing was sent: the same key again
                break
            tap.repeats += 1
            await asyncio.sleep(TRY_AGAIN_S)
        tap.answered_s = self._clock.now()
        payment: dict[str, Any] = answer.document
        if not answer.ok:
            return payment
        self.answered[key] = payment["id"]
        while payment["next_action"] is not None:
            answer = await _unbroken(client.payment(payment["id"], wait_s=POLL_S))
            if answer is None or not answer.ok:
                await asyncio.sleep(TRY_AGAIN_S)
                continue
            payment = answer.document
        return payment


async def _unbroken(call: Any) -> Answer | None:
    """The answer; None when the line broke."""
    try:
        answer: Answer = await call
    except LINE_BROKEN:
        return None
    return answer
