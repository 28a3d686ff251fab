"""Two persons decide what no channel decides: one line a finding.

The case is about a payment in the named state. `-` in the last columns: refused, and nothing has
changed.
"""

import pytest

from gateway.domain import outcomes as o
from gateway.domain.case import Case, CaseKind, Finding, FindingRefused
from gateway.domain.occasion import Outcome
from gateway.domain.payment import Payment, Refund
from gateway.domain.statuses import RefundStatus
from gateway.domain.words import Source
from gateway.flow.case_closing import CaseClosing, CaseStanding, OpenCase
from gateway.flow.ports import Applied, StoreRefused
from gateway.limits import SWEEP_LEASE_MS
from tests.contract.drawn import (
    EVIDENCE,
    MERCHANT,
    NO,
    SILENT,
    YES,
    after,
    asked_for,
    later,
    new_id,
    person,
    refund_change,
)
from tests.contract.test_store_failover import moved_on
from tests.unit.test_transition import Rig

OTHER_AMOUNT = o.Mismatch(field="amount", expected="1000", got="1001")
DECLINED = o.RefundDeclined(code="merchant_balance", needs_action=True, channel_code="LOW")


def desk(rig: Rig) -> CaseClosing:
    return CaseClosing(rig.store, rig.store, rig.transitions, rig.clock)


async def case_of(
    rig: Rig, payment: Payment, refund: Refund | None = None, attempt_id: str | None = None
) -> OpenCase:
    opened = Case(
        id=new_id("case"),
        kind=CaseKind.LONG_IN_DOUBT,
        evidence=EVIDENCE,
        attempt_id=attempt_id,
        refund_id=refund.id if refund else None,
    )
    assert await rig.store.open_case(MERCHANT, payment.id, opened)
    return OpenCase(
        id=opened.id,
        merchant_id=MERCHANT,
        object_id=payment.id,
        attempt_id=attempt_id,
        refund_id=opened.refund_id,
    )


async def decide(rig: Rig, case: OpenCase, finding: Finding) -> CaseStanding:
    await desk(rig).propose(case, finding, by=person("ann"), reason="looked at the console")
    rig.clock.at = later(SWEEP_LEASE_MS / 1000)
    case = OpenCase(**{f: getattr(case, f) for f in FIELDS}, proposed_as=finding, proposed_by="ann")
    return await desk(rig).confirm(case, by=person("bob"), reason="looked too")


FIELDS = ("id", "merchant_id", "object_id", "attempt_id", "refund_id")


def is_open(rig: Rig, case: OpenCase) -> bool:
    [kept] = [kept for kept in rig.store.cases if kept.case.id == case.id]
    return kept.closed is None


PAYMENTS = """
# the payment's words before | finding     | payment, attempt, its refunds
SILENT                       | paid        | succeeded succeeded     0
SILENT                       | not_charged | failed    reversed      0
YES                          | paid        | succeeded succeeded     0
YES                          | not_charged | -
NO                           | paid        | paid_late captured_late 1
NO                           | not_charged | failed    declined      0
NO,OTHER_AMOUNT              | paid        | paid_late captured_late 1
NO,OTHER_AMOUNT              | not_charged | failed    declined      0
SILENT,OTHER_AMOUNT          | paid        | succeeded succeeded     0
SILENT,OTHER_AMOUNT          | not_charged | failed    reversed      0
SILENT                       | refunded    | -
YES                          | not_refunded | -
"""
WORDS: dict[str, Outcome] = {"SILENT": SILENT, "YES": YES, "NO": NO, "OTHER_AMOUNT": OTHER_AMOUNT}


def lines(table: str) -> list[str]:
    return [line for line in table.strip().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("line", lines(PAYMENTS), ids=lambda line: " ".join(line.split()))
async def test_a_finding_about_a_payment(line):
    words, finding, expected = (part.split() for part in line.split("|"))
    rig = Rig()
    payment = await rig.opened()
    for word in words[0].split(","):
        number = payment.current.out_trade_no
        payment = await rig.transitions.learn(payment, number, WORDS[word], Source.PAY)
    case = await case_of(rig, payment)
    if expected == ["-"]:
        with pytest.raises(FindingRefused):
            await decide(rig, case, Finding(finding[0]))
        assert await rig.store.payment(MERCHANT, payment.id) == payment
        assert is_open(rig, case)
        return
    await decide(rig, case, Finding(finding[0]))
    now = await rig.store.payment(MERCHANT, payment.id)
    assert now is not None
    refunds = await rig.store.refunds_of(MERCHANT, payment.id)
    found = (now.status, now.attempts[0].status, str(len(refunds)))
    assert list(found) == expected
    assert (now.frozen_at, is_open(rig, case)) == (None, False)


REFUNDS = """
# origin, the refund's status | finding          | refund status, reserved, returned, failure
merchant needs_action | paid_another_way | failed    0    0    paid_another_way
merchant needs_action | not_refunded     | failed    0    0    given_up
merchant needs_action | refunded         | succeeded 0    400  merchant_balance
merchant in_doubt     | paid_another_way | failed    0    0    paid_another_way
merchant in_doubt     | refunded         | succeeded 0    400  None
merchant processing   | not_refunded     | failed    0    0    given_up
merchant needs_action | paid             | -
merchant in_doubt     | not_charged      | -
late     needs_action | refunded         | succeeded 0    1000 merchant_balance
late     needs_action | paid_another_way | succeeded 0    1000 merchant_balance
late     needs_action | not_refunded     | -
"""
HEARD: dict[str, o.RefundQueryOutcome] = {
    "needs_action": DECLINED,
    "in_doubt": o.Unknown(reason="timeout"),
    "processing": o.RefundPending(),
}


async def refunding(rig: Rig, origin: str, status: str) -> tuple[Payment, Refund]:
    if origin == "late":
        payment = await rig.opened(lambda p: after(p, NO), lambda p: after(p, YES, "query"))
        refund = (await rig.store.refunds_of(MERCHANT, payment.id))[0]
    else:
        payment = await rig.opened(lambda p: after(p, YES))
        change = refund_change(payment, "r1", 400)
        assert await rig.store.apply(change) == Applied()
        payment, refund = change.payment, asked_for(change)
    payment, refund = await rig.transitions.learn_refund(
        payment, refund.id, HEARD[status], Source.REFUND
    )
    assert refund.status == status
    return payment, refund


@pytest.mark.parametrize("line", lines(REFUNDS), ids=lambda line: " ".join(line.split()))
async def test_a_finding_about_a_refund(line):
    before, finding, expected = (part.split() for part in line.split("|"))
    rig = Rig()
    payment, refund = await refunding(rig, *before)
    case = await case_of(rig, payment, refund)
    if expected == ["-"]:
        with pytest.raises(FindingRefused):
            await decide(rig, case, Finding(finding[0]))
        assert await rig.store.refund(MERCHANT, refund.id) == refund
        assert is_open(rig, case)
        return
    standing = await decide(rig, case, Finding(finding[0]))
    assert standing.payment is not None
    assert standing.refund is not None
    money = standing.payment.attempts[0]
    found = (
        standing.refund.status,
        str(money.reserved_amount),
        str(money.returned_amount),
        str(standing.refund.failure_code),
    )
    assert list(found) == expected
    assert (standing.refund.evidence[-1].source, standing.refund.due_at) == ("case", None)
    assert not is_open(rig, case)


async def test_one_person_is_not_two():
    rig = Rig()
    payment = await rig.opened(lambda p: after(p, SILENT))
    case = await case_of(rig, payment)
    await desk(rig).propose(case, Finding.PAID, by=person("ann"), reason="seen")
    proposed = replace_case(case, "ann", Finding.PAID)
    with pytest.raises(FindingRefused, match="another person"):
        await desk(rig).confirm(proposed, by=person("ann"), reason="seen again")
    # What is read from the case is not trusted with it: the store says no too.
    with pytest.raises(StoreRefused):
        await desk(rig).confirm(
            replace_case(case, "eve", Finding.PAID), by=person("ann"), reason="again"
        )
    assert await rig.store.payment(MERCHANT, payment.id) == payment
    assert is_open(rig, case)


def replace_case(case: OpenCase, by: str, finding: Finding) -> OpenCase:
    return OpenCase(**{f: getattr(case, f) for f in FIELDS}, proposed_as=finding, proposed_by=by)


async def test_what_is_proposed_is_confirmed_and_nothing_else():
    rig = Rig()
    payment = await rig.opened(lambda p: after(p, SILENT))
    case = await case_of(rig, payment)
    with pytest.raises(FindingRefused, match="no finding is proposed"):
        await desk(rig).confirm(case, by=person("bob"), reason="seen")
    await desk(rig).propose(case, Finding.PAID, by=person("ann"), reason="seen")
    with pytest.raises(FindingRefused, match="proposed already"):
        await desk(rig).propose(case, Finding.NOT_CHARGED, by=person("bob"), reason="seen")
    with pytest.raises(FindingRefused, match="not proposed any more"):
        await desk(rig).confirm(
            replace_case(case, "ann", Finding.NOT_CHARGED), by=person("bob"), reason="seen"
        )
    with pytest.raises(FindingRefused, match="first"):
        await desk(rig).close(
            replace_case(case, "ann", Finding.PAID), by=person("bob"), reason="seen"
        )
    await desk(rig).withdraw(case, by=person("ann"))
    await desk(rig).close(case, by=person("bob"), reason="seen")
    assert (await rig.store.payment(MERCHANT, payment.id), is_open(rig, case)) == (payment, False)


async def test_a_finding_counts_for_the_attempt_that_the_case_shows():
    """The first attempt's number was looked up; the second one, which is in doubt, was not."""
    rig = Rig()
    sent = await rig.opened()
    number = sent.attempts[0].out_trade_no
    moved = moved_on(sent)
    await rig.store.apply(moved)
    frozen = await rig.transitions.learn(moved.payment, number, OTHER_AMOUNT, Source.CALLBACK)
    case = await case_of(rig, frozen, attempt_id=sent.attempts[0].id)
    await decide(rig, case, Finding.PAID)
    now = await rig.store.payment(MERCHANT, sent.id)
    assert now is not None
    assert [a.status for a in now.attempts] == ["captured_late", frozen.attempts[1].status]
    assert (now.status, now.frozen_at) == ("in_doubt", None)
    assert [refund.origin for refund in await rig.store.refunds_of(MERCHANT, sent.id)] == [
        "surplus"
    ]


async def test_a_refund_with_a_proposed_end_is_not_sent_and_goes_on_when_that_is_withdrawn():
    rig = Rig()
    payment, refund = await refunding(rig, "merchant", "needs_action")
    case = await case_of(rig, payment, refund)
    standing = await desk(rig).propose(
        case, Finding.PAID_ANOTHER_WAY, by=person("ann"), reason="gave cash"
    )
    assert standing.refund is not None
    assert standing.refund.stopped_at is not None
    _, held = await rig.transitions.refund_again(payment, refund.id)
    assert held.status == RefundStatus.NEEDS_ACTION
    with pytest.raises(FindingRefused, match="just before it was stopped"):
        await desk(rig).confirm(
            replace_case(case, "ann", Finding.PAID_ANOTHER_WAY), by=person("bob"), reason="seen"
        )
    await desk(rig).withdraw(case, by=person("ann"))
    _, goes_on = await rig.transitions.refund_again(payment, refund.id)
    assert (goes_on.status, goes_on.stopped_at) == ("processing", None)


async def test_the_channel_may_decide_a_refund_before_the_second_person_does():
    rig = Rig()
    payment, refund = await refunding(rig, "merchant", "in_doubt")
    case = await case_of(rig, payment, refund)
    await desk(rig).propose(case, Finding.NOT_REFUNDED, by=person("ann"), reason="seen")
    given = o.RefundSucceeded(amount=400, channel_refund_no="R1")
    await rig.transitions.learn_refund(payment, refund.id, given, Source.REFUND_QUERY)
    rig.clock.at = later(SWEEP_LEASE_MS / 1000)
    with pytest.raises(FindingRefused, match="has ended succeeded"):
        await desk(rig).confirm(
            replace_case(case, "ann", Finding.NOT_REFUNDED), by=person("bob"), reason="seen"
        )
    assert is_open(rig, case)


async def test_a_confirmation_goes_on_where_the_first_one_died():
    """Confirmed and applied, and the process died before it closed the case."""
    rig = Rig()
    payment = await rig.opened(lambda p: after(p, SILENT))
    case = await case_of(rig, payment)
    proposed = replace_case(case, "ann", Finding.PAID)
    await desk(rig).propose(case, Finding.PAID, by=person("ann"), reason="seen")
    assert await rig.store.confirm_finding(case.id, Finding.PAID, by=person("bob"))
    with pytest.raises(FindingRefused):
        await desk(rig).withdraw(proposed, by=person("ann"))
    await desk(rig).confirm(proposed, by=person("cid"), reason="seen")
    now = await rig.store.payment(MERCHANT, payment.id)
    assert now is not None
    assert (now.status, is_open(rig, case)) == ("succeeded", False)


async def test_money_of_a_refund_that_had_ended_failed_calls_a_person():
    rig = Rig()
    payment, refund = await refunding(rig, "merchant", "in_doubt")
    case = await case_of(rig, payment, refund)
    standing = await decide(rig, case, Finding.NOT_REFUNDED)
    assert standing.payment is not None
    given = o.RefundSucceeded(amount=400, channel_refund_no="R1")
    now, ended = await rig.transitions.learn_refund(
        standing.payment, refund.id, given, Source.CALLBACK
    )
    assert (ended.status, now.attempts[0].returned_amount) == ("failed", 0)
    assert rig.store.cases[-1].case.kind == CaseKind.REFUND_AFTER_ALL
