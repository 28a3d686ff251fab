"""The audit can fail: a small healthy world, then one planted discrepancy a line, and the invariant
that must notice it.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from loadtests.audit import audit, compare
from loadtests.books import Books, Row, read_books, read_ledger
from tests.adversity.house import until
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

World = tuple[Books, list[Row]]
Bend = Callable[[Books, list[Row]], object]


@pytest.fixture(scope="module")
async def healthy(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[World]:
    """Cash with a partial refund, Alipay with a partial refund, and a tender that failed and was
    paid at the second try.
    """
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        await played(opened)
        await until(lambda: is_healthy(dsn, sandbox))
        yield await read_books(dsn), await read_ledger(sandbox.control_url)
    await postgres.give_back(dsn)


async def played(opened: Shop) -> None:
    order = order_no()
    await opened.pay(500, order_no=order, key=f"{order}-1", auth_code=code("alipay", "01"))
    await opened.pay(500, order_no=order, key=f"{order}-2", auth_code=code("alipay"))
    for method, body in (
        ("alipay", {"auth_code": code("alipay")}),
        ("cash", {"cash": {"tendered": 2_000}}),
    ):
        paid = (await opened.pay(1_000, method=method, **body)).document
        await opened.till.refund(
            paid["id"],
            {"refund_no": f"{method}-1", "amount": 300, "reason": ""},
            f"{method}-1",
            wait_s=5,
        )


async def is_healthy(dsn: str, sandbox: SandboxProcess) -> bool:
    violations = await audit(dsn, sandbox.control_url)
    return len(violations) == 0


def one(rows: list[Row], **wanted: Any) -> Row:
    """The first row with these values."""
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def paid(books: Books) -> Row:
    return one(books.attempts, channel="alipay", status="succeeded", captured_amount=1_000)


def trade(books: Books, ledger: list[Row]) -> Row:
    return one(ledger, out_trade_no=paid(books)["out_trade_no"])


def second(books: Books) -> Row:
    return one(books.attempts, trade_number=2)


def first(books: Books) -> Row:
    return one(books.attempts, status="declined")


def refund(books: Books) -> Row:
    return one(books.refunds, payment_id=paid(books)["payment_id"])


def charge(ledger: list[Row], number: str) -> None:
    """The channel took the money of a trade it had declined."""
    row = one(ledger, out_trade_no=number)
    row["state"] = "charged"
    row["history"].append(
        {"act": "charged", "amount": row["amount"], "number": "late", "at": "2000-01-01T00:00:00Z"}
    )


PLANTED: list[tuple[str, Bend, set[str]]] = [
    ("charged twice", lambda b, t: charge(t, first(b)["out_trade_no"]), {"INV1", "INV2", "INV9"}),
    (
        "charged once too often",
        lambda b, t: trade(b, t)["history"].append(trade(b, t)["history"][0]),
        {"INV1"},
    ),
    ("one fen more", lambda b, t: trade(b, t).update(amount=1_001), {"INV1", "INV2"}),
    ("a trade nobody sent", lambda b, t: b.attempts.remove(paid(b)), {"INV2", "INV3"}),
    ("at another account", lambda b, t: paid(b).update(channel_account="acct_other"), {"INV2"}),
    (
        "charged, called failed",
        lambda b, t: paid(b).update(status="reversed", captured_amount=0),
        {"INV2", "INV3", "INV10"},
    ),
    (
        "gone back at the channel",
        lambda b, t: trade(b, t).update(state="reversed"),
        {"INV2", "INV3"},
    ),
    ("given back unseen", lambda b, t: trade(b, t).update(refunded=400), {"INV2"}),
    ("paid, unknown there", lambda b, t: t.remove(trade(b, t)), {"INV3", "INV10"}),
    (
        "paid without an attempt",
        lambda b, t: one(b.payments, status="failed").update(status="succeeded"),
        {"INV3", "INV4", "INV7"},
    ),
    ("cash without a posting", lambda b, t: b.journal.clear(), {"INV3", "INV5"}),
    (
        "a fen in the drawer",
        lambda b, t: b.journal[0].update(amount=b.journal[0]["amount"] + 1),
        {"INV5"},
    ),
    ("posted twice", lambda b, t: b.journal.extend(copy.deepcopy(b.journal)), {"INV5"}),
    ("an event lost", lambda b, t: b.events.pop(0), {"INV4"}),
    ("an event twice", lambda b, t: b.events.insert(0, b.events[0]), {"INV4"}),
    ("no event at all", lambda b, t: b.events.clear(), {"INV4"}),
    (
        "a forbidden step",
        lambda b, t: one(b.events, status="failed").update(
            status="canceled", type="payment.canceled"
        ),
        {"INV4"},
    ),
    (
        "back from the end",
        lambda b, t: one(b.events, type="payment.succeeded", version=2).update(status="processing"),
        {"INV4"},
    ),
    (
        "a public step hidden",
        lambda b, t: one(b.events, type="payment.succeeded").update(public=False),
        {"INV4"},
    ),
    ("an attempt revived", lambda b, t: revive(b), {"INV4"}),
    (
        "a key without payment",
        lambda b, t: b.claims.append(b.claims[0] | {"payment_id": "pay_none", "holds": False}),
        {"INV7"},
    ),
    (
        "two keys, one payment",
        lambda b, t: b.claims.append(b.claims[0] | {"holds": False}),
        {"INV7"},
    ),
    (
        "two holders",
        lambda b, t: one(b.claims, payment_id=first(b)["payment_id"]).update(holds=True),
        {"INV7"},
    ),
    (
        "never ended",
        lambda b, t: one(b.payments, status="failed").update(status="in_doubt"),
        {"INV4", "INV7", "INV8"},
    ),
    (
        "a refund left open",
        lambda b, t: refund(b).update(status="in_doubt"),
        {"INV4", "INV8", "INV10"},
    ),
    ("a callback left open", lambda b, t: b.callbacks[0].update(applied=False), {"INV8"}),
    ("sent again without proof", lambda b, t: first(b).update(evidence=[]), {"INV9"}),
    (
        "sent again before the proof",
        lambda b, t: second(b).update(sent_at=first(b)["sent_at"] - timedelta(seconds=9)),
        {"INV9"},
    ),
    ("more back than came", lambda b, t: refund(b).update(amount=1_300), {"INV10"}),
    (
        "refunded twice",
        lambda b, t: trade(b, t)["history"].append(trade(b, t)["history"][-1]),
        {"INV10"},
    ),
    (
        "a refund of nobody's",
        lambda b, t: trade(b, t)["history"][-1].update(number="stranger"),
        {"INV10"},
    ),
    ("said refunded, was not", lambda b, t: trade(b, t)["history"].pop(), {"INV10"}),
    ("sums that do not fit", lambda b, t: paid(b).update(reserved_amount=1), {"INV10"}),
]


def revive(books: Books) -> None:
    updated = one(books.events, object_id=paid(books)["payment_id"], version=3)
    updated["attempts"] = dict.fromkeys(updated["attempts"], "sent")


def test_a_healthy_world_has_no_violation(healthy: World):
    books, ledger = healthy
    assert compare(books, ledger) == []
    assert {
        len(table) > 0
        for table in (books.payments, books.refunds, books.journal, books.callbacks, ledger)
    } == {True}


@pytest.mark.parametrize(
    ("bend", "invariants"), [line[1:] for line in PLANTED], ids=[line[0] for line in PLANTED]
)
def test_each_planted_discrepancy_is_found(healthy: World, bend: Bend, invariants: set[str]):
    books, ledger = copy.deepcopy(healthy)
    bend(books, ledger)
    assert {violation.invariant for violation in compare(books, ledger)} == invariants


def test_what_a_till_was_answered_must_still_be_there(healthy: World):
    books, ledger = healthy
    key, payment_id = books.claims[0]["idempotency_key"], books.claims[0]["payment_id"]
    assert compare(books, ledger, answered={key: payment_id}) == []
    assert [
        violation.invariant
        for violation in compare(books, ledger, answered={key: "pay_other", "key-lost": "pay_lost"})
    ] == [
        "INV7",
        "INV7",
    ]


def test_undecided_is_no_violation_before_rest_and_a_frozen_payment_is_a_persons(healthy: World):
    books, ledger = copy.deepcopy(healthy)
    books.callbacks[0]["applied"] = False
    assert compare(books, ledger, at_rest=False) == []
    trade(books, ledger)["state"] = "reversed"
    one(books.payments, id=paid(books)["payment_id"])["frozen"] = True
    assert compare(books, ledger, at_rest=False) == []
