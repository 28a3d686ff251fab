"""A refund that is asked for twice, and one of a payment that stands still."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.domain import outcomes as o
from gateway.domain.errors import (
    GatewayError,
    IdempotencyKeyReused,
    PaymentFrozen,
    RefundNoTaken,
)
from gateway.domain.payment import Payment
from gateway.domain.words import Source
from gateway.flow.commands import Caller, RefundCommand
from tests.contract.drawn import MERCHANT, NOW
from tests.unit.test_transition import HandClock
from tests.unit.visiting import Road

CALLER = Caller(key_id="k", merchant_id=MERCHANT, store_id="s1", terminal_id="t1", role="terminal")
ASKED = RefundCommand(refund_no="r1", amount=400, reason="cold soup", operator_id="op")
OTHER = {"refund_no": "r2", "amount": 401, "reason": "late", "operator_id": None}
YES = o.Succeeded(amount=1000, channel_trade_no="C1")


@pytest.fixture
def road() -> Road:
    return Road(HandClock(NOW))


async def paid(road: Road, order_no: str = "A1") -> Payment:
    payment = await road.opened(order_no=order_no)
    road.script.lines["refund"] = [o.RefundPending()]
    return await road.transitions.learn(payment, payment.current.out_trade_no, YES, Source.PAY)


async def refusal(road: Road, payment: Payment, command: RefundCommand, key: str) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        await road.refunds.refund(payment.id, command, CALLER, key, 0)
    return refused.value


async def test_a_repeat_is_the_same_refund(road: Road) -> None:
    payment = await paid(road)
    first = await road.refunds.refund(payment.id, ASKED, CALLER, "k1", 0)
    for key in ("k1", "k2"):  # by its key, and by its number
        again = await road.refunds.refund(payment.id, ASKED, CALLER, key, 0)
        assert (again.replayed, again.refund.id) == (True, first.refund.id)


def test_every_field_of_a_refund_is_in_the_tables() -> None:
    assert set(OTHER) == set(RefundCommand.__struct_fields__)


@pytest.mark.parametrize("field", OTHER)
async def test_the_same_key_with_another_field_names_it(road: Road, field: str) -> None:
    payment = await paid(road)
    await road.refunds.refund(payment.id, ASKED, CALLER, "k1", 0)
    command: RefundCommand = replace(ASKED, **{field: OTHER[field]})
    problem = await refusal(road, payment, command, "k1")
    assert (type(problem), problem.field) == (IdempotencyKeyReused, field)


@pytest.mark.parametrize("field", sorted(set(OTHER) - {"refund_no"}))
async def test_the_same_number_with_another_field_is_another_refund(road: Road, field: str) -> None:
    payment = await paid(road)
    await road.refunds.refund(payment.id, ASKED, CALLER, "k1", 0)
    changed: dict[str, Any] = {field: OTHER[field]}
    problem = await refusal(road, payment, replace(ASKED, **changed), "k2")
    assert type(problem) is RefundNoTaken


async def test_the_same_refund_of_another_payment_is_another_refund(road: Road) -> None:
    first, second = await paid(road), await paid(road, "A2")
    await road.refunds.refund(first.id, ASKED, CALLER, "k1", 0)
    by_key, by_number = (
        await refusal(road, second, ASKED, "k1"),
        await refusal(road, second, ASKED, "k2"),
    )
    assert (type(by_key), by_key.field) == (IdempotencyKeyReused, "payment_id")
    assert type(by_number) is RefundNoTaken


async def test_a_frozen_payment_gives_nothing_back(road: Road) -> None:
    """A person looks first: its channel said what cannot be right."""
    payment = await paid(road)
    mismatch = o.Mismatch(field="amount", expected="1000", got="1", evidence="")
    await road.transitions.learn(payment, payment.current.out_trade_no, mismatch, Source.QUERY)
    problem = await refusal(road, payment, ASKED, "k1")
    assert type(problem) is PaymentFrozen
    assert await road.store.refunds_of(MERCHANT, payment.id) == []
