import asyncio
from datetime import datetime
from typing import Any

import pytest

from gateway.cli.client.client import Client
from gateway.clock import SystemIds
from gateway.domain.verdicts import SHANGHAI
from gateway.storage.registries.people import Registry
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.vault import Vault
from tests.world import MASTER, TESTER, Shop, order_no, shop


@pytest.fixture
async def counter(database, redis_url):
    async with shop(database, redis_url=redis_url) as opened:
        yield opened


def a_vault() -> Vault:
    return Vault(MasterKeys.from_text(MASTER, source="test"))


async def test_cash_with_change(counter: Shop):
    answer = await counter.pay(
        12850, method="cash", cash={"tendered": 20000}, metadata={"table": "8"}
    )
    assert answer.status == 201, answer.document
    paid = answer.document
    assert (paid["status"], paid["change"], paid["amount_captured"], paid["verdict"]["code"]) == (
        "succeeded",
        7150,
        12850,
        "paid",
    )
    assert paid["terminal_id"] == counter.books.terminal_id
    again = await counter.till.payment(paid["id"])
    assert again.document == paid
    lines = await counter.rows(
        "SELECT account, amount FROM journal WHERE posting_id = $1 ORDER BY amount", paid["id"]
    )
    assert [tuple(line) for line in lines] == [
        ("takings/store_1", -12850),
        (f"drawer/store_1/{counter.books.terminal_id}", 12850),
    ]


async def test_double_tap_is_one_payment(counter: Shop):
    order = order_no()
    answers = await asyncio.gather(
        *(counter.pay(500, order_no=order, key="tap", method="cash") for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.document["id"] for answer in answers}) == 1
    assert [
        row["n"]
        for row in await counter.rows(
            "SELECT count(*) AS n FROM payment WHERE order_no = $1", order
        )
    ] == [1]


async def test_same_key_other_body_names_the_field(counter: Shop):
    order = order_no()
    await counter.pay(500, order_no=order, key="k1", method="cash")
    answer = await counter.pay(501, order_no=order, key="k1", method="cash")
    assert (answer.status, answer.document["code"], answer.document["field"]) == (
        422,
        "idempotency_key_reused",
        "amount",
    )
    assert answer.document["verdict"]["code"] == "already_paid"
    assert answer.document["payment"]["verdict"] == answer.document["verdict"]


@pytest.mark.parametrize("amount", [500, 50_000])
async def test_a_number_that_was_paid_hands_over_no_goods_to_another_request(
    counter: Shop, amount: int
):
    """The same number for another customer, or the same bill again: neither has paid now."""
    order = order_no()
    first = await counter.pay(500, order_no=order, key=f"{order}/1", method="cash")
    answer = await counter.pay(amount, order_no=order, key=f"{order}/2", method="cash")
    assert (answer.status, answer.document["code"]) == (409, "order_used")
    assert answer.document["payment"]["id"] == first.document["id"]
    assert answer.document["payment"]["verdict"] == answer.document["verdict"]
    paid_at = datetime.fromisoformat(first.document["paid_at"]).astimezone(SHANGHAI)
    assert answer.document["verdict"] == {
        "code": "already_paid",
        "zh": (
            f"单号 {order} 已于 {paid_at:%Y-%m-%d %H:%M} 收款 5.00 元（现金）。"
            "同一账单：只收剩余金额，作为下一笔收款。另一账单：请换新单号"
        ),
        "en": (
            f"Order {order} took 5.00 on {paid_at:%Y-%m-%d} at {paid_at:%H:%M} by Cash. "
            "Same bill: charge only the rest, as the next tender. Another bill: take a new number"
        ),
    }


async def test_what_was_given_back_whole_is_paid_to_nobody(counter: Shop):
    """Not to the request that was paid, and not to another one for the number."""
    order = order_no()
    body: dict[str, Any] = {"order_no": order, "method": "cash"}
    paid = (await counter.pay(1000, key=f"{order}/1", **body)).document
    part = await counter.till.refund(paid["id"], {"refund_no": f"{order}-1", "amount": 400}, "p1")
    assert part.document["verdict"]["code"] == "refunded"
    again = await counter.pay(1000, key=f"{order}/1", **body)
    assert again.document["verdict"] == {
        "code": "paid",
        "zh": "收款成功，其中已退款 4.00 元",
        "en": "Paid; of it 4.00 was refunded",
    }
    await counter.till.refund(paid["id"], {"refund_no": f"{order}-2", "amount": 600}, "p2")
    again = await counter.pay(1000, key=f"{order}/1", **body)
    other = await counter.pay(1000, key=f"{order}/2", **body)
    assert (again.status, again.document["verdict"]["code"]) == (200, "refunded")
    assert (other.document["code"], other.document["verdict"]["code"]) == ("order_used", "refunded")


async def test_refund_in_parts_up_to_the_whole(counter: Shop):
    paid = (await counter.pay(1000, method="cash")).document
    first = await counter.till.refund(
        paid["id"], {"refund_no": "r1", "amount": 300, "reason": "cold soup"}, "rk1"
    )
    assert (first.status, first.document["status"]) == (201, "succeeded"), first.document
    again = await counter.till.refund(
        paid["id"], {"refund_no": "r1", "amount": 300, "reason": "cold soup"}, "rk1"
    )
    assert (again.status, again.document) == (200, first.document)
    too_much = await counter.till.refund(
        paid["id"], {"refund_no": "r2", "amount": 701, "reason": "all"}, "rk2"
    )
    assert (too_much.status, too_much.document["code"]) == (409, "refund_exceeds_captured")
    assert (too_much.document["verdict"]["code"], too_much.document["detail_zh"]) == (
        "fix_and_try",
        "退款金额超出可退金额，还可退 7.00 元",
    )
    assert too_much.document["payment"]["verdict"]["code"] == "already_paid"
    taken = await counter.till.refund(
        paid["id"], {"refund_no": "r1", "amount": 301, "reason": "cold soup"}, "rk3"
    )
    assert (taken.status, taken.document["code"]) == (409, "refund_no_taken")
    assert taken.document["verdict"]["code"] == "fix_and_try"
    rest = await counter.till.refund(
        paid["id"], {"refund_no": "r2", "amount": 700, "reason": "all"}, "rk2"
    )
    assert rest.document["status"] == "succeeded"
    assert (await counter.till.payment(paid["id"])).document["amount_refunded"] == 1000
    assert [
        row["s"]
        for row in await counter.rows(
            "SELECT sum(amount)::bigint AS s FROM journal GROUP BY account"
        )
    ] == [0, 0]


async def test_racing_refunds_never_exceed(counter: Shop):
    paid = (await counter.pay(1000, method="cash")).document
    answers = await asyncio.gather(
        *(
            counter.till.refund(
                paid["id"], {"refund_no": f"x{n}", "amount": 300, "reason": ""}, f"xk{n}"
            )
            for n in range(8)
        )
    )
    assert sorted(answer.status for answer in answers) == [201] * 3 + [409] * 5
    assert (await counter.till.payment(paid["id"])).document["amount_refunded"] == 900


async def test_events_in_order_each_change_once(counter: Shop):
    paid = (await counter.pay(1000, method="cash")).document
    await counter.till.refund(paid["id"], {"refund_no": "e1", "amount": 300, "reason": ""}, "ek1")
    page = (await counter.office.call("GET", "/v1/events?limit=10")).document
    assert [
        (event["type"], event["data"][event["type"].split(".")[0]]["version"])
        for event in page["data"]
    ] == [
        ("payment.succeeded", 1),
        ("refund.succeeded", 1),
    ]
    assert page["data"][0]["data"]["payment"] == paid
    rest = (await counter.office.call("GET", f"/v1/events?after={page['next_cursor']}")).document
    assert (rest["data"], rest["has_more"]) == ([], False)


async def test_cash_goes_out_of_the_drawer_of_the_till_that_gives_it(counter: Shop):
    people = Registry(counter.world.store.pool, vault=a_vault(), ids=SystemIds(), asked_by=TESTER)
    merchant = counter.books.merchant_id
    second = await people.create_terminal(merchant, "store_1", "Till 2")
    key = await people.issue_terminal_key(merchant, second.id, KeyEnvironment.TEST)
    await counter.world.directory.refresh()
    paid = (await counter.pay(5000, method="cash")).document
    async with Client(counter.base_url, key.id, key.secret) as till:
        body = {"refund_no": "from-till-2", "amount": 2000, "reason": "cold soup"}
        refund = (await till.refund(paid["id"], body, "from-till-2")).document
    assert (refund["status"], refund["terminal_id"]) == ("succeeded", second.id)
    lines = await counter.rows(
        "SELECT account, amount FROM journal WHERE posting_id = $1 ORDER BY amount", refund["id"]
    )
    assert [tuple(line) for line in lines] == [
        (f"drawer/store_1/{second.id}", -2000),
        ("takings/store_1", 2000),
    ]
    body = {"refund_no": "from-office", "amount": 1000, "reason": "cold soup"}
    refund = (await counter.office.refund(paid["id"], body, "from-office")).document
    assert refund["terminal_id"] is None
    [line] = await counter.rows(
        "SELECT account FROM journal WHERE posting_id = $1 AND amount < 0", refund["id"]
    )
    assert line["account"] == "drawer/store_1/office"


async def test_the_books_say_which_key_asked(counter: Shop):
    paid = (await counter.pay(5000, method="cash")).document
    body = {"refund_no": "whose", "amount": 1000, "reason": ""}
    await counter.office.refund(paid["id"], body, "whose")
    [row] = await counter.rows(
        "SELECT p.asked_by AS pay, f.asked_by AS refund FROM payment p "
        "JOIN refund f ON f.payment_id = p.id WHERE p.id = $1",
        paid["id"],
    )
    assert tuple(row) == (counter.books.terminal[0], counter.books.merchant[0])


async def test_many_at_once_give_back_one_fen_each_and_all_are_answered(counter: Shop):
    """Each writer compares the payment's version: the many lose to one another, and none for ever.
    A fault of ours is never the answer.
    """
    paid = (await counter.pay(1000, method="cash")).document

    async def clerk(name: int) -> list[int]:
        statuses = []
        for n in range(12):
            body = {"refund_no": f"race-{name}-{n}", "amount": 1, "reason": ""}
            answer = await counter.till.refund(paid["id"], body, f"race-{name}-{n}")
            statuses.append(answer.status)
        return statuses

    answers = [s for each in await asyncio.gather(*map(clerk, range(8))) for s in each]
    assert set(answers) <= {201, 503}
    given = (await counter.till.payment(paid["id"])).document["amount_refunded"]
    assert given == answers.count(201)
