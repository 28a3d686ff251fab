"""Openings in a split order, for the store in memory; the same rules as `orders`.

Nothing waits inside, so no lock is needed.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from gateway.domain.change import Opening
from gateway.domain.order import OrderRefusal, OrderTerms, refusal
from gateway.domain.words import Numbering
from gateway.flow.ports import (
    Applied,
    KeyTaken,
    NumberTaken,
    Opened,
    OrderSplit,
    Stale,
    StoreRefused,
    TenderTaken,
)

if TYPE_CHECKING:
    from tests.fakes.store import MemoryStore


async def opened_in_order(
    store: MemoryStore, opening: Opening, terms: OrderTerms
) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderRefusal | Stale:
    """All of it or nothing."""
    p = opening.payment
    order, in_merchant = (p.merchant_id, p.store_id, p.order_no), (p.merchant_id, p.order_no)
    by_merchant = p.numbering == Numbering.BY_MERCHANT
    lost = store.why_lost(opening)
    if isinstance(lost, Opened) and terms.override is not None:
        case = terms.override.change.case
        return Opened(case is not None and case.id in {kept.case.id for kept in store.cases})
    if not isinstance(lost, OrderSplit | NumberTaken):
        return lost
    holding = [
        store.payment_rows[claim.merchant_id, claim.payment_id]
        for claim in store.beside((p.merchant_id, p.store_id, p.numbering))
        if claim.holds and claim.order_no == p.order_no
    ]
    fixed = store.orders.get(order)
    if fixed is None and by_merchant:
        fixed = store.merchant_orders.get(in_merchant)
    refused = refusal(p, terms, fixed, sorted(holding, key=lambda payment: payment.id))
    if refused is not None:
        return refused
    before = (
        {name: copy(table) for name, table in vars(store).items()}
        if terms.override is not None
        else {}
    )
    result = await _overridden_and_opened(store, opening, terms, before)
    if isinstance(result, Opened):
        store.orders[order] = store.orders.get(order) or terms.amount
        if by_merchant:
            known = store.merchant_orders.get(in_merchant)
            store.merchant_orders[in_merchant] = known or terms.amount
    else:
        vars(store).update(before)
    return NumberTaken(opening.claim.first_n - 1) if isinstance(result, OrderSplit) else result


async def _overridden_and_opened(
    store: MemoryStore, opening: Opening, terms: OrderTerms, before: dict[str, Any]
) -> Opened | KeyTaken | TenderTaken | NumberTaken | OrderSplit | Stale:
    case_opened = False
    try:
        if terms.override is not None:
            change = terms.override.change
            if (
                store.payment_rows[change.payment.merchant_id, change.payment.id].version
                != change.payment.version - 1
            ):
                return Stale()
            applied = await store.apply(change)
            assert isinstance(applied, Applied)
            case_opened = applied.case_opened
            store.overrides.append(
                (opening.payment.merchant_id, opening.payment.id, terms.override)
            )
        result = store.opened_alone(opening)
        return Opened(case_opened) if isinstance(result, Opened) else result
    except StoreRefused:
        vars(store).update(before)
        raise
