"""The line to Postgres breaks at each statement of an override: it stands whole or not at all, and
whoever asks again hears the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.domain.errors import OutcomePending, StoreUnavailable
from gateway.domain.order import OrderTerms
from gateway.flow.ports import Applied, Opened
from gateway.storage.postgres import PostgresStore
from tests.contract.drawn import MERCHANT, SILENT, after, drawn_payment, opening_of, paid_payment
from tests.contract.split_order import named
from tests.fault_proxy import FaultProxy, fault_proxy

MOMENTS = {
    "begin": "BEGIN",
    "lock": "pg_advisory_xact_lock(hashtext('tillgate.order')",
    "known": "AS bound",
    "tenders": "k.order_no = $4 AND k.holds\nORDER BY p.id",
    "split": "INSERT INTO split_order",
    "mark": "UPDATE payment p SET",
    "risk": "INSERT INTO override",
    "open": "INSERT INTO claim",
    "commit": "COMMIT",
}
COUNTS = """SELECT
  (SELECT count(*) FROM payment) AS payments, (SELECT count(*) FROM override) AS risks,
  (SELECT count(*) FROM split_order) AS orders, (SELECT count(*) FROM "case") AS cases,
  (SELECT count(*) FROM payment WHERE overridden_at IS NOT NULL) AS marked"""


@pytest.fixture
async def far(database: str) -> AsyncIterator[tuple[PostgresStore, FaultProxy]]:
    async with fault_proxy(database) as proxy:
        store = await PostgresStore.connected(proxy.dsn)
        yield store, proxy
        await store.close()


@pytest.mark.parametrize("act", ["drop_reply", "drop_request"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_fault_07_an_override_cut_anywhere_stands_once(
    far: tuple[PostgresStore, FaultProxy], moment: str, act: str
):
    store, proxy = far
    first = drawn_payment()
    assert await store.open(opening_of(first)) == Opened()
    doubt = after(first, SILENT)
    assert await store.apply(doubt) == Applied()
    cash = paid_payment(tender_no=2)
    trap = getattr(proxy, act)(MOMENTS[moment])
    assert (
        await store.open_in_order(
            opening_of(cash), OrderTerms(amount=1000, override=named(doubt.payment, cash))
        )
        == Opened()
    )
    assert trap.sprung.is_set()
    rows = await store._fetch(COUNTS)
    assert dict(rows[0]) == {"payments": 2, "risks": 1, "orders": 1, "cases": 1, "marked": 1}
    kept = await store.payment(MERCHANT, first.id)
    assert kept is not None
    assert (kept.version, kept.overridden_by) == (doubt.payment.version + 1, cash.id)


async def test_fault_07_committed_and_then_gone(far: tuple[PostgresStore, FaultProxy]):
    """The tender stands and nobody can be asked: that nothing was written would be a lie."""
    store, proxy = far
    opening, terms = opening_of(drawn_payment(tender_no=2)), OrderTerms(amount=1000)
    trap = proxy.hold_reply(MOMENTS["commit"])
    opened = asyncio.create_task(store.open_in_order(opening, terms))
    await trap.sprung.wait()
    proxy.down()
    trap.release.set()  # the line is cut: the reply goes nowhere
    with pytest.raises(OutcomePending):
        await opened
    with pytest.raises(StoreUnavailable) as refused:  # this one never began
        await store.open_in_order(opening_of(drawn_payment("A2")), terms)
    assert not isinstance(refused.value, OutcomePending)
    await proxy.up()
    assert await store.payment(MERCHANT, opening.payment.id) is not None
    assert await store.open_in_order(opening, terms) == Opened()
