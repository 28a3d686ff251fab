"""What every store keeps of findings: two persons, one proposal, and one case a refund."""

from msgspec.structs import replace

from gateway.domain.case import CaseKind, Finding
from tests.contract.drawn import MERCHANT, case, later, person, refused


async def test_two_persons_decide(books):
    first, store = case(), books.store
    await store.open_case(MERCHANT, "x", first)
    assert not await store.confirm_finding(first.id, Finding.PAID, by=person("bob"))
    assert not await store.withdraw_finding(first.id, by=person("ann"))
    proposal = {"reason": "seen", "now": later(1)}
    assert await store.propose_finding(first.id, Finding.PAID, by=person("ann"), **proposal)
    assert not await store.propose_finding(first.id, Finding.PAID, by=person("bob"), **proposal)
    assert not await store.confirm_finding(first.id, Finding.NOT_CHARGED, by=person("bob"))
    assert (
        await refused(store.confirm_finding(first.id, Finding.PAID, by=person("ann")))
        == "23514 two_persons"
    )
    assert await store.withdraw_finding(first.id, by=person("ann"))
    assert await store.propose_finding(first.id, Finding.PAID, by=person("bob"), **proposal)
    assert await store.confirm_finding(first.id, Finding.PAID, by=person("ann"))
    assert await store.confirm_finding(first.id, Finding.PAID, by=person("cid"))
    assert not await store.withdraw_finding(first.id, by=person("ann"))
    await store.unconfirm_finding(first.id, by=person("ann"))
    assert await store.confirm_finding(first.id, Finding.PAID, by=person("ann"))
    await store.close_case(first.id, closed_by=person("ann"), reason="seen", now=later(2))
    assert not await store.propose_finding(first.id, Finding.PAID, by=person("ann"), **proposal)
    assert not await store.confirm_finding(first.id, Finding.PAID, by=person("ann"))


async def test_what_the_gateway_answered_itself_leaves_a_persons_finding_alone(books):
    first, store = case(CaseKind.OVERRIDE), books.store
    await store.open_case(MERCHANT, "x", first)
    await store.propose_finding(
        first.id, Finding.PAID, by=person("ann"), reason="seen", now=later(1)
    )
    await store.settle_case(MERCHANT, "x", CaseKind.OVERRIDE, reason="answered", now=later(2))
    assert await books.cases() == [("override", "x", None)]


async def test_two_refunds_of_one_payment_may_each_wait_for_a_person(books):
    one, two, again = (
        replace(case(CaseKind.REFUND_NEEDS_ACTION), refund_id=refund)
        for refund in ("ref_1", "ref_2", "ref_1")
    )
    told = [await books.store.open_case(MERCHANT, "x", each) for each in (one, two, again)]
    assert told == [True, True, False]
