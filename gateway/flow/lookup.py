"""Reading: one object, lists, events.

Another tenant's ids, and another store's for a terminal, do not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.domain.errors import FieldInvalid, NoSuchObject, NotPermitted
from gateway.domain.payment import Payment, Refund
from gateway.domain.resources import is_ended, payment_seen, refund_seen
from gateway.domain.states import REFUND_OPEN
from gateway.flow.commands import Caller
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.on_read import OnRead
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.ports import EventPage, Store
from gateway.flow.visible import visible, visible_store


@dataclass(frozen=True, slots=True)
class Lookup:
    """Queries of callers."""

    store: Store
    in_flight: InFlight
    on_read: OnRead

    async def payment(self, payment_id: str, caller: Caller, wait_s: float = 0) -> Payment:
        """With `wait_s`, answers as soon as a reader sees a change, at once when it has ended.

        Raises `NoSuchObject`.
        """
        with self.in_flight.waiter() as waiter:
            if wait_s:
                waiter.await_changes(caller.merchant_id, payment_id)
            found = await self.store.payment(caller.merchant_id, payment_id)
            if found is None or not visible(caller, found):
                raise NoSuchObject
            self.on_read.look(found)
            first = payment_seen(found)
            if not wait_s or is_ended(first):
                return found
            return await waiter.until(lambda now: payment_seen(now) != first, found, wait_s)

    async def payments(self, wanted: PaymentFilter, caller: Caller) -> tuple[list[Payment], bool]:
        """(newest first, whether there are more).

        A terminal lists its own store; another store's list is empty, not forbidden.
        """
        store_id = wanted.store_id or caller.store_id
        if store_id is not None and not visible_store(caller, store_id):
            return [], False
        if wanted.starting_after is not None:
            last = await self.store.payment(caller.merchant_id, wanted.starting_after)
            if last is None or not visible(caller, last):
                raise _unknown_start()
        found = await self.store.payments(caller.merchant_id, replace(wanted, store_id=store_id))
        return list(found[: wanted.limit]), len(found) > wanted.limit

    async def refund(self, refund_id: str, caller: Caller, wait_s: float = 0) -> Refund:
        """As `payment`. Raises `NoSuchObject`."""
        found = await self._refund(refund_id, caller)
        if not wait_s or found.status not in REFUND_OPEN:
            await self.payment(found.payment_id, caller)
            return found
        until = asyncio.get_running_loop().time() + wait_s
        # A change of the refund is one of its payment. The refund is read again once the waiter
        # listens: what changed in between is seen.
        with self.in_flight.waiter() as waiter:
            waiter.await_changes(caller.merchant_id, found.payment_id)
            first, payment = refund_seen(found), await self.payment(found.payment_id, caller)
            found = await self._refund(refund_id, caller)
            while refund_seen(found) == first:
                version, left_s = payment.version, until - asyncio.get_running_loop().time()
                payment = await waiter.until(_newer_than(version), payment, left_s)
                if payment.version == version:
                    break  # the time is up, or the worker drains
                found = await self._refund(refund_id, caller)
        return found

    async def _refund(self, refund_id: str, caller: Caller) -> Refund:
        found = await self.store.refund(caller.merchant_id, refund_id)
        if found is None:
            raise NoSuchObject
        return found

    async def refunds_of(self, payment_id: str, caller: Caller) -> list[Refund]:
        """Oldest first."""
        await self.payment(payment_id, caller)
        return list(await self.store.refunds_of(caller.merchant_id, payment_id))

    async def refunds(self, wanted: RefundFilter, caller: Caller) -> tuple[list[Refund], bool]:
        """As `payments`; the store of a refund is its payment's."""
        store_id = wanted.store_id or caller.store_id
        if store_id is not None and not visible_store(caller, store_id):
            return [], False
        if wanted.starting_after is not None:
            last = await self.store.refund(caller.merchant_id, wanted.starting_after)
            if last is None or not visible_store(caller, last.store_id):
                raise _unknown_start()
        found = await self.store.refunds(caller.merchant_id, replace(wanted, store_id=store_id))
        return list(found[: wanted.limit]), len(found) > wanted.limit

    async def events(self, after: str | None, limit: int, caller: Caller) -> EventPage:
        """The merchant's feed, in commit order; a terminal key has no feed."""
        if caller.store_id is not None:
            raise NotPermitted
        return await self.store.events(caller.merchant_id, after, limit)


def _newer_than(version: int) -> Callable[[Payment], bool]:
    return lambda payment: payment.version > version


def _unknown_start() -> FieldInvalid:
    return FieldInvalid(
        "there is no such object here: begin again without it",
        zh="没有此对象，请不带该参数重新读取",
        field="starting_after",
    )
