"""A till gives back within its key's limits; above them a second person does, by another key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.cli.client.client import Answer, Client
from gateway.clock import SystemIds
from gateway.storage.registries.people import Registry
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.vault import Vault
from tests.world import MASTER, TESTER, Shop, order_no, shop


@pytest.fixture
async def counter(database, redis_url):
    async with shop(database, redis_url=redis_url) as opened:
        yield opened


def people(counter: Shop) -> Registry:
    vault = Vault(MasterKeys.from_text(MASTER, source="test"))
    return Registry(counter.world.store.pool, vault=vault, ids=SystemIds(), asked_by=TESTER)


async def paid(counter: Shop, amount: int = 10_000) -> dict[str, Any]:
    return dict((await counter.pay(amount, method="cash")).document)


async def give_back(till: Client, payment: dict[str, Any], amount: int) -> Answer:
    number = f"limit-{order_no()}"
    body = {"refund_no": number, "amount": amount, "reason": "cold soup"}
    return await till.refund(payment["id"], body, number)


async def limit(counter: Shop, each: int | None, day: int | None) -> None:
    await people(counter).limit_refunds(counter.books.terminal[0], each, day)
    await counter.world.directory.refresh()


def code(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.document.get("code")


async def test_a_till_gives_back_within_its_limits_and_the_office_above_them(counter: Shop):
    payment = await paid(counter)
    await limit(counter, 500, 1_200)
    assert code(await give_back(counter.till, payment, 501)) == (403, "refund_limit")
    assert code(await give_back(counter.till, payment, 500)) == (201, None)
    assert code(await give_back(counter.till, payment, 500)) == (201, None)
    refused = await give_back(counter.till, payment, 201)
    assert (refused.document["code"], refused.document["field"]) == ("refund_limit", "amount")
    assert "200 fen are left" in refused.document["detail"]
    assert code(await give_back(counter.till, payment, 200)) == (201, None)
    assert code(await give_back(counter.office, payment, 5_000)) == (201, None)


async def test_the_role_limits_a_key_that_says_nothing_itself(counter: Shop):
    payment = await paid(counter, 900_000)
    assert code(await give_back(counter.till, payment, 200_001)) == (403, "refund_limit")
    assert code(await give_back(counter.till, payment, 200_000)) == (201, None)
    await limit(counter, 0, None)
    assert code(await give_back(counter.till, payment, 1)) == (403, "refund_limit")


async def test_two_keys_of_one_till_and_many_requests_share_the_day(counter: Shop):
    payments = [await paid(counter) for _ in range(8)]
    await limit(counter, None, 1_000)
    second = await people(counter).rotate_key(counter.books.terminal[0], KeyEnvironment.TEST)
    assert (await people(counter).key(second.id)).refund_day_max == 1_000
    await counter.world.directory.refresh()
    async with Client(counter.base_url, second.id, second.secret) as other:
        tills = [counter.till, other] * 4
        answers = await asyncio.gather(
            *(give_back(till, payment, 300) for till, payment in zip(tills, payments, strict=True))
        )
    assert sorted(map(code, answers), key=str) == [(201, None)] * 3 + [(403, "refund_limit")] * 5
    [cases] = await counter.rows('SELECT count(*) AS open FROM "case"')
    assert cases["open"] == 0, "a limit is no defect"


async def test_a_refund_that_was_made_is_answered_again_whatever_the_limit_is_now(counter: Shop):
    payment = await paid(counter)
    body = {"refund_no": "again", "amount": 400, "reason": ""}
    assert (await counter.till.refund(payment["id"], body, "again")).status == 201
    await limit(counter, 1, 1)
    assert (await counter.till.refund(payment["id"], body, "again")).status == 200
