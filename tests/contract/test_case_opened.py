"""The store says whether a case was really opened: what stands open already is not told again, and
a reply that was lost is no second case.
"""

from msgspec.structs import replace

from gateway.domain import order as o
from gateway.domain.acts import overridden
from gateway.domain.case import Case, CaseKind
from gateway.domain.change import Change
from gateway.domain.payment import Payment
from gateway.flow.ports import Applied, Opened
from tests.contract.drawn import (
    MERCHANT,
    SILENT,
    Books,
    after,
    case,
    drawn_payment,
    later,
    occasion,
    opened,
    opening_of,
    person,
    watched,
)


async def applied(books: Books, change: Change) -> bool:
    result = await books.store.apply(change)
    assert isinstance(result, Applied)
    return result.case_opened


async def test_a_case_by_itself(books):
    first = case()
    assert await books.store.open_case(MERCHANT, "x", first)
    assert not await books.store.open_case(MERCHANT, "x", case())
    assert await books.store.open_case(MERCHANT, "y", case())
    assert await books.store.open_case(MERCHANT, "x", case(CaseKind.OVERRIDE))
    await books.store.close_case(first.id, closed_by=person("ann"), reason="seen", now=later(1))
    assert await books.store.open_case(MERCHANT, "x", case())


async def test_a_case_of_a_change(books):
    payment = await opened(books)
    results = []
    told: list[Case | None] = [None, case(), case(), case(CaseKind.OVERRIDE)]
    for at, carried in enumerate(told):
        change = replace(after(payment, SILENT, "query", later(at)), case=carried)
        results.append(await applied(books, change))
        payment = change.payment
    assert results == [False, True, False, True]


async def test_a_change_sent_again_has_opened_its_case_once(books):
    """The reply was lost: what the first sending opened is told by the second."""
    payment = await opened(books)
    first = replace(after(payment, SILENT), case=case())
    assert [await applied(books, first) for _ in range(2)] == [True, True]
    second = replace(after(first.payment, SILENT, "query", later(1)), case=case())
    assert [await applied(books, second) for _ in range(2)] == [False, False]


async def doubtful(books: Books) -> Payment:
    change = after(await opened(books), SILENT)
    await books.store.apply(change)
    return change.payment


async def let_in(books: Books, named: Payment, times: int) -> list[bool]:
    """Another tender, sent so often as after a lost reply."""
    other = drawn_payment(tender_no=2)
    marked = overridden(named, by=other.id, words="", occasion=occasion("supervisor"))
    override = o.Override(change=watched(marked), supervisor_id="ann", reason="queue")
    opening, terms = opening_of(other), o.OrderTerms(override=override)
    told = []
    for _ in range(times):
        result = await books.store.open_in_order(opening, terms)
        assert isinstance(result, Opened)
        told.append(result.case_opened)
    return told


async def test_the_case_of_an_override(books):
    assert await let_in(books, await doubtful(books), times=2) == [True, True]


async def test_the_case_of_an_override_that_stands_open_already(books):
    named = await doubtful(books)
    assert await books.store.open_case(MERCHANT, named.id, case(CaseKind.OVERRIDE))
    assert await let_in(books, named, times=2) == [False, False]
