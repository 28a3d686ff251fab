"""Tills that share a bill: several people pay a part each, or a supervisor does not wait for a
wallet that is in doubt.
"""

from __future__ import annotations

import asyncio
import itertools

from msgspec import structs

from gateway.domain.errors import OrderInDoubt, OrderOverpaid, OverrideRefused
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_FINAL, PAYMENT_UNCHARGED
from gateway.flow.commands import OverrideCommand
from tests.fakes.supervisors import PIN
from tests.simulation.till import CALLER, Till

PATIENCE = 12  # requests for one tender before its customer walks away


class SplitTill(Till):
    """One bill, whose total the tills say more or less often."""

    async def sell(self) -> None:
        """The story of the bill."""
        await asyncio.sleep(self._chance.uniform(0, 40))
        self._total = self._chance.choice((3, 500, 12850))
        self._asked = itertools.count()
        await (self._insists() if self._chance.random() < 0.5 else self._shares())

    async def _shares(self) -> None:
        """At about the same moment; what all of them want together may be more than the bill."""
        people = self._chance.choice((2, 2, 3))
        share = self._chance.choice((-(-self._total // people), -(-self._total // 2), self._total))
        await asyncio.gather(*(self._tender(number, share) for number in range(1, people + 1)))

    async def _tender(self, number: int, amount: int) -> None:
        for _ in range(2):
            payment = await self._opened(number, amount)
            if payment is None or (await self._followed(payment)).status not in PAYMENT_UNCHARGED:
                return
            await asyncio.sleep(self._chance.uniform(0.1, 20))

    async def _insists(self) -> None:
        """The whole bill by wallet; while that is in doubt, a supervisor lets the customer pay the
        whole bill another way.
        """
        first = await self._opened(1, self._total)
        if first is None:
            return
        wanted = first.id
        while first.status not in PAYMENT_FINAL | {"in_doubt"}:
            await asyncio.sleep(self._chance.uniform(0.1, 3))
            first = await self._anybody(lambda desks: desks.lookup.payment(wanted, CALLER))
        second = None
        if first.status == "in_doubt":
            second = await self._opened(2, self._total, self._override(first))
        for payment in (first, second):
            if payment is not None:
                await self._followed(payment)

    async def _opened(
        self, number: int, amount: int, override: OverrideCommand | None = None
    ) -> Payment | None:
        """The tender once it is taken; None when the customer need not or will not pay it."""
        # Somebody has to say it.
        says_total = number == 2 or override is not None or self._chance.random() < 0.7
        for _ in range(PATIENCE):
            total = self._total if says_total else None
            command = structs.replace(
                self._command(),
                tender_no=number,
                amount=amount,
                order_amount=total,
                override=override,
            )
            try:
                return await self._pay(command, f"{self._order_no}/{number}/{next(self._asked)}")
            except OrderOverpaid:
                return None
            except OverrideRefused as ended:
                if ended.payment is None or ended.payment.status not in PAYMENT_UNCHARGED:
                    return None
                override = None
            except OrderInDoubt as doubt:
                named = doubt.payment if self._chance.random() < 0.5 else None
                override = self._override(named) if named is not None else None
                await asyncio.sleep(self._chance.uniform(0.5, 10))
        return None

    def _override(self, payment: Payment) -> OverrideCommand:
        return OverrideCommand(
            payment_id=payment.id, supervisor_id="ann", pin=PIN, reason="the queue is long"
        )
