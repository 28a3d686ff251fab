"""Tenders of one order as a test wants them: opened under its lock, in doubt, named by an override;
and what a refusal must not leave.
"""

from typing import Any

from gateway.domain import order as o
from gateway.domain.acts import overridden
from gateway.domain.payment import Payment
from gateway.flow.ports import Applied, Opened
from tests.contract.drawn import SILENT, Books, after, drawn_payment, occasion, opening_of, watched
from tests.fakes.store import MemoryStore

PLAIN = o.OrderTerms()


def of(amount: int | None) -> o.OrderTerms:
    return o.OrderTerms(amount=amount)


async def in_order(books: Books, terms: o.OrderTerms = PLAIN, **fields: Any) -> Payment:
    payment = drawn_payment(**fields)
    assert await books.store.open_in_order(opening_of(payment), terms) == Opened()
    return payment


async def doubtful(books: Books, **fields: Any) -> Payment:
    payment = await in_order(books, **fields)
    change = after(payment, SILENT)
    assert await books.store.apply(change) == Applied()
    return change.payment


def named(payment: Payment, by: Payment) -> o.Override:
    change = watched(
        overridden(payment, by=by.id, words="ann: queue", occasion=occasion("supervisor"))
    )
    return o.Override(change=change, supervisor_id="ann", reason="queue")


async def risks(books: Books) -> list[tuple[str, str, int, str, str]]:
    """(let in, in doubt, its amount, supervisor, reason)."""
    if isinstance(books.store, MemoryStore):
        found = [
            (by, v.change.payment.id, v.change.payment.amount, v.supervisor_id, v.reason)
            for _, by, v in books.store.overrides
        ]
        return sorted(found)
    rows = await books.store._fetch(
        "SELECT payment_id, named_id, amount, supervisor_id, reason FROM override "
        "ORDER BY payment_id"
    )
    return [tuple(row) for row in rows]


async def traces(books: Books) -> tuple[Any, ...]:
    """What a refusal must not leave."""
    if isinstance(books.store, MemoryStore):
        orders = sorted(
            (merchant, store, order_no, amount)
            for (merchant, store, order_no), amount in books.store.orders.items()
        )
    else:
        orders = [
            tuple(r)
            for r in await books.store._fetch(
                "SELECT merchant_id, store_id, order_no, amount FROM split_order ORDER BY 1, 2, 3"
            )
        ]
    return orders, await books.log(), await books.cases(), await books.journal(), await risks(books)
