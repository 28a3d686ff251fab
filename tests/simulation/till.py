"""Tills of a simulated world: they tap twice, retry, ask another worker, cancel, refund, and write
down what they were told.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from gateway.domain.errors import (
    AlreadyPaid,
    Conflict,
    IdempotencyKeyReused,
    OrderTenderTaken,
    OrderUsed,
    Unavailable,
)
from gateway.domain.payment import Payment
from gateway.domain.presenting import PaymentCode, ShownQr
from gateway.domain.states import PAYMENT_FINAL, PAYMENT_UNCHARGED
from gateway.flow.commands import Caller, PayCommand, RefundCommand
from security.secret import Secret
from tests.simulation.desks import Desks
from tests.simulation.worker import MERCHANT, STORE, Worker

CALLER = Caller(
    key_id="key", merchant_id=MERCHANT, store_id=STORE, terminal_id="t1", role="terminal"
)
STEMS = {"alipay": "28", "wechat": "13"}


@dataclass(slots=True)
class Journal:
    """What the tills were told, to be held against the books."""

    # Idempotency key -> payments it was answered with.
    keys: dict[str, set[str]] = field(default_factory=dict)
    finals: list[tuple[str, str]] = field(default_factory=list)  # (payment, final status)
    other_bodies_taken: list[str] = field(default_factory=list)
    refunds: dict[str, set[str]] = field(default_factory=dict)


class Till:
    """One bill from the first tap to the end of its story."""

    def __init__(
        self,
        order_no: str,
        chance: random.Random,
        workers: Callable[[], list[Worker]],
        journal: Journal,
        codes: Any,
    ) -> None:
        self._order_no, self._chance, self._workers, self._journal, self._codes = (
            order_no,
            chance,
            workers,
            journal,
            codes,
        )

    async def sell(self) -> None:
        """Up to three payments under keys of their own,
        each only after the one before was proven not charged.
        """
        await asyncio.sleep(self._chance.uniform(0, 40))
        for round_no in range(3):
            command = self._command()
            taps = [
                self._pay(command, f"{self._order_no}/{round_no}")
                for _ in range(self._chance.choice((1, 1, 2)))
            ]
            if self._chance.random() < 0.2:  # another till takes the same bill
                taps.append(self._pay(self._command(), f"{self._order_no}/{round_no}/other"))
            found = {
                payment.id: payment
                for payment in await asyncio.gather(*taps)
                if payment is not None
            }
            ended = [await self._followed(payment) for payment in found.values()]
            if not ended or any(payment.status not in PAYMENT_UNCHARGED for payment in ended):
                return
            await asyncio.sleep(self._chance.uniform(0.1, 20))

    async def _pay(self, command: PayCommand, key: str) -> Payment | None:
        """The same request with the same key, until somebody answers."""
        await asyncio.sleep(self._chance.choice((0.0, 0.01, 0.5)))
        while True:
            try:
                paid = await self._anybody(
                    lambda desks: desks.checkout.pay(command, CALLER, key, 2.0)
                )
            except (OrderTenderTaken, OrderUsed) as taken:
                return taken.payment
            payment: Payment = paid.payment
            self._journal.keys.setdefault(key, set()).add(payment.id)
            if self._chance.random() < 0.15:
                await self._tries_another_body(command, key)
            return payment

    async def _tries_another_body(self, command: PayCommand, key: str) -> None:
        other = structs.replace(command, amount=command.amount + 1)
        try:
            await self._anybody(lambda desks: desks.checkout.pay(other, CALLER, key, 0.0))
        except IdempotencyKeyReused:
            return
        self._journal.other_bodies_taken.append(key)

    async def _followed(self, payment: Payment) -> Payment:
        """Asks until it ends. May want it cancelled, and may give money back."""
        cancel = self._chance.random() < 0.25
        wanted, pause = payment.id, 2.0
        while payment.status not in PAYMENT_FINAL:
            await asyncio.sleep(self._chance.uniform(pause / 2, pause * 2))
            pause = min(pause * 1.4, 20.0)  # whoever waits for minutes asks less often
            if cancel and self._chance.random() < 0.3:
                cancel = False
                try:
                    payment = await self._anybody(
                        lambda desks: desks.cancellation.cancel(wanted, CALLER, 1.0)
                    )
                except AlreadyPaid as paid:
                    payment = paid.payment or payment
            else:
                payment = await self._anybody(lambda desks: desks.lookup.payment(wanted, CALLER))
        self._journal.finals.append((payment.id, payment.status))
        if payment.status == "succeeded" and self._chance.random() < 0.4:
            await self._refund(payment)
        return payment

    async def _refund(self, payment: Payment) -> None:
        for number in range(self._chance.choice((1, 2))):
            amount = self._chance.choice((payment.amount, (payment.amount + 1) // 2, 1))
            command = RefundCommand(
                refund_no=f"{payment.order_no}-{number}", amount=amount, reason="", operator_id=None
            )
            key = f"refund {payment.id} {number}"
            try:
                for _ in range(self._chance.choice((1, 2))):
                    answer = await self._anybody(
                        lambda desks: desks.refunds.refund(payment.id, command, CALLER, key, 1.0)  # noqa: B023
                    )
                    self._journal.refunds.setdefault(key, set()).add(answer.refund.id)
            except Conflict:
                return

    async def _anybody(self, request: Callable[[Desks], Any]) -> Any:
        """From any living worker; a broken connection and a 503 are tried again.

        Raises what is an answer.
        """
        while True:
            living = self._workers()
            with contextlib.suppress(ConnectionError, Unavailable):
                if living:
                    worker = self._chance.choice(living)
                    return await worker.ask(request(worker.desks))
            await asyncio.sleep(self._chance.uniform(0.2, 2.0))

    def _command(self) -> PayCommand:
        channel = self._chance.choice(list(STEMS))
        shown = self._chance.random() < 0.15
        return PayCommand(
            order_no=self._order_no,
            tender_no=1,
            amount=self._chance.choice((1, 500, 12850)),
            currency="CNY",
            method=channel,
            given=ShownQr(60)
            if shown
            else PaymentCode(Secret(f"{STEMS[channel]}{next(self._codes):016d}")),
            store_id=None,
            operator_id=None,
            description=None,
        )
