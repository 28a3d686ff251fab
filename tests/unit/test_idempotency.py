"""Same key, same body: the same payment.

Same key, other body: the first field that differs is named.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.errors import IdempotencyKeyReused
from gateway.domain.presenting import CashGiven, Given, MethodOnly, PaymentCode, ShownQr
from gateway.domain.tender import tender_of
from gateway.flow.commands import Caller, OverrideCommand, PayCommand
from gateway.flow.open.idempotency import KeyDesk, fingerprint, same_body_or_refuse
from gateway.flow.ports import KeyTaken
from gateway.limits import HELD_LOOKS_MAX
from security.secret import Secret
from tests.contract.drawn import drawn_payment, opening_of
from tests.fakes.claims import MemoryClaims
from tests.fakes.store import MemoryStore
from tests.unit.paying import payment

BODY: dict[str, Any] = {
    "order_no": "A1",
    "tender_no": 1,
    "amount": 1000,
    "currency": "CNY",
    "method": "auto",
    "given": PaymentCode(Secret("280000000000000000")),
    "store_id": None,
    "operator_id": "op",
    "description": "noodles",
    "metadata": {"a": "1", "b": "2"},
}
CALLER = Caller(key_id="k", merchant_id="m1", store_id="s1", terminal_id="t1", role="terminal")
TENDER = tender_of(drawn_payment())


def digest(purpose: str, text: str) -> str:
    return f"{purpose}:{len(text)}:{sum(text.encode())}"


def overriding(pin: str) -> OverrideCommand:
    return OverrideCommand(payment_id="p", supervisor_id="s", pin=Secret(pin), reason="r")


def prints(**fields: Any) -> bytes:
    return fingerprint(PayCommand(**(BODY | fields)), "s1", digest)


def test_same_body_passes():
    same_body_or_refuse(KeyTaken(payment(), prints()), prints(), CALLER)


def test_the_order_of_metadata_is_no_difference():
    other_order = prints(metadata={"b": "2", "a": "1"})
    same_body_or_refuse(KeyTaken(payment(), prints()), other_order, CALLER)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"order_no": "A2"}, "order_no"),
        ({"tender_no": 2}, "tender_no"),
        ({"amount": 1001}, "amount"),
        ({"method": "alipay"}, "method"),
        ({"currency": "USD"}, "currency"),
        ({"given": PaymentCode(Secret("280000000000000001"))}, "auth_code"),
        ({"given": MethodOnly()}, "auth_code"),
        ({"given": CashGiven(1000)}, "auth_code"),
        ({"given": ShownQr()}, "flow"),
        ({"operator_id": None}, "operator_id"),
        ({"description": "rice"}, "description"),
        ({"metadata": {"a": "1"}}, "metadata"),
        ({"notify_url": "https://shop.example/told"}, "notify_url"),
        ({"order_amount": 3000}, "order_amount"),
        ({"override": overriding("1")}, "override"),
        ({"amount": 1001, "description": "rice"}, "amount"),
    ],
)
def test_other_body_names_the_first_field_that_differs(fields, named):
    with pytest.raises(IdempotencyKeyReused) as refused:
        same_body_or_refuse(KeyTaken(payment(), prints()), prints(**fields), CALLER)
    assert refused.value.field == named
    assert (
        refused.value.detail_zh
        == f"字段 {named} 与该幂等键的首次请求不同，另一请求请使用新的幂等键"
    )


@pytest.mark.parametrize(
    ("first", "again", "named"),
    [
        (CashGiven(1000), CashGiven(1001), "cash"),
        (CashGiven(1000), MethodOnly(), "cash"),
        (MethodOnly(), CashGiven(1000), "cash"),
        (ShownQr(60), ShownQr(61), "expires_in"),
        (ShownQr(), ShownQr(301), "expires_in"),
        (MethodOnly(), PaymentCode(Secret("280000000000000000")), "auth_code"),
        (ShownQr(), MethodOnly(), "flow"),
    ],
)
def test_how_the_customer_pays_is_compared(first: Given, again: Given, named: str) -> None:
    with pytest.raises(IdempotencyKeyReused) as refused:
        same_body_or_refuse(KeyTaken(payment(), prints(given=first)), prints(given=again), CALLER)
    assert refused.value.field == named


def test_the_store_for_which_it_came_is_compared():
    with pytest.raises(IdempotencyKeyReused) as refused:
        same_body_or_refuse(
            KeyTaken(payment(), prints()), fingerprint(PayCommand(**BODY), "s2", digest), CALLER
        )
    assert refused.value.field == "store_id"


def test_a_pin_is_compared_and_kept_as_a_digest_only():
    first = prints(override=overriding("482913"))
    same_body_or_refuse(KeyTaken(payment(), first), prints(override=overriding("482913")), CALLER)
    other = prints(override=overriding("482914"))
    with pytest.raises(IdempotencyKeyReused) as refused:
        same_body_or_refuse(KeyTaken(payment(), first), other, CALLER)
    assert refused.value.field == "override"
    assert b"482913" not in first


def test_a_default_written_out_is_the_same_body():
    same_body_or_refuse(
        KeyTaken(payment(), prints(given=ShownQr())), prints(given=ShownQr(300)), CALLER
    )


def test_a_code_asked_for_before_defaults_were_filled_in_is_the_same_body():
    before = prints(given=ShownQr()).replace(b'"expires_in":300', b'"expires_in":null')
    same_body_or_refuse(KeyTaken(payment(), before), prints(given=ShownQr(300)), CALLER)


def test_a_fingerprint_from_before_is_read_as_it_was_written():
    """It stands in the books for weeks: its names and its values may not change."""
    written = (
        b'{"order_no":"A1","tender_no":1,"amount":1000,"currency":"CNY","method":"auto",'
        b'"flow":"code","auth_code":"auth_code:18:874","cash":null,"expires_in":null,'
        b'"store_id":"s1","operator_id":"op","description":"noodles",'
        b'"metadata":{"a":"1","b":"2"},"notify_url":null,"order_amount":null,"override":null}'
    )
    assert prints() == written


def test_the_refusal_carries_the_payment_that_the_key_is_bound_to():
    """The till that reused a key after a proven no hears that it may charge, with a new key."""
    bound = payment("failed")
    with pytest.raises(IdempotencyKeyReused) as refused:
        same_body_or_refuse(KeyTaken(bound, prints()), prints(amount=1001), CALLER)
    assert refused.value.payment is bound


@pytest.mark.parametrize("fields", [{}, {"order_no": "A2"}, {"amount": 1001}])
def test_another_stores_key_tells_nothing_of_what_it_is_bound_to(fields):
    elsewhere = payment(store_id="s2")
    with pytest.raises(IdempotencyKeyReused) as refused:
        same_body_or_refuse(KeyTaken(elsewhere, prints()), prints(**fields), CALLER)
    problem = refused.value
    assert (problem.field, problem.payment) == (None, None)
    assert (problem.detail, problem.detail_zh) == (problem.title, problem.zh)


def test_a_payment_code_is_kept_as_a_digest_only():
    assert b"280000000000000000" not in prints()
    assert digest("auth_code", "280000000000000000").encode() in prints()


# --- the claim around a request


class StillClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 21, tzinfo=UTC)

    def monotonic(self) -> float:
        return 1.0


class Tokens:
    def __init__(self) -> None:
        self.made = 0

    def new(self, prefix: str) -> str:
        return prefix

    def token(self) -> str:
        self.made += 1
        return f"token{self.made}"


class CountingStore(MemoryStore):
    """Counts the looks for a row; `appears_at` is the look at which it is there."""

    def __init__(self, appears_at: int | None) -> None:
        super().__init__()
        self.looks, self.appears_at = 0, appears_at

    async def payment_by_key(
        self, merchant_id: str, store_id: str, idempotency_key: str
    ) -> KeyTaken | None:
        self.looks += 1
        if self.looks == self.appears_at:
            await self.open(opening_of(drawn_payment(), idempotency_key))
        return await super().payment_by_key(merchant_id, store_id, idempotency_key)


async def test_a_free_key_is_taken_and_let_go():
    store, claims = CountingStore(None), MemoryClaims(StillClock())
    desk = KeyDesk(store, claims, Tokens())
    token, bound = await desk.take(TENDER, "k1")
    assert (token, bound, store.looks) == ("token1", None, 0)
    desk.release(TENDER, "k1", token)
    assert await desk.take(TENDER, "k1") == ("token2", None)


@pytest.mark.parametrize("appears_at", range(1, HELD_LOOKS_MAX + 1))
async def test_a_held_key_waits_for_the_row_of_the_other(appears_at):
    store = CountingStore(appears_at)
    desk = KeyDesk(store, MemoryClaims(StillClock()), Tokens())
    await desk.take(TENDER, "k1")
    token, bound = await desk.take(TENDER, "k1")
    assert token is None
    assert bound is not None
    assert store.looks == appears_at


async def test_a_held_key_without_a_row_goes_on_after_a_while():
    """Whoever held it may be dead: Postgres decides."""
    store, claims = CountingStore(None), MemoryClaims(StillClock())
    desk = KeyDesk(store, claims, Tokens())
    first, _ = await desk.take(TENDER, "k1")
    assert await desk.take(TENDER, "k1") == (None, None)
    assert store.looks == HELD_LOOKS_MAX
    desk.release(TENDER, "k1", None)  # whoever has no token lets nothing go
    assert await claims.take("{m1}:pay:s1:k1", "x") is False
    desk.release(TENDER, "k1", first)
    assert await claims.take("{m1}:pay:s1:k1", "x") is True


async def test_without_redis_postgres_decides():
    store, claims = CountingStore(None), MemoryClaims(StillClock())
    claims.reachable = False
    assert await KeyDesk(store, claims, Tokens()).take(TENDER, "k1") == (None, None)
    assert store.looks == 0
