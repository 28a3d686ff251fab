"""The reply to a COMMIT is lost, or Postgres goes away at the worst statement: the till learns the
truth with the same key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from loadtests.audit import audit
from tests.adversity.house import until
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

WRITE_1, WRITE_2 = "INSERT INTO claim", "UPDATE payment p SET"
METHODS = ["alipay", "cash"]


@pytest.fixture(scope="module")
async def far(
    postgres: DatabaseServer, sandbox: SandboxProcess
) -> AsyncIterator[tuple[Shop, FaultProxy]]:
    """A shop whose every word with Postgres goes through the proxy."""
    dsn = await postgres.fresh_database()
    async with fault_proxy(dsn) as proxy, shop(proxy.dsn, sandbox=sandbox) as opened:
        yield opened, proxy
    await postgres.give_back(dsn)


def body(method: str) -> dict[str, Any]:
    return {"method": method} | ({"auth_code": code(method)} if method != "cash" else {})


async def payments_of(opened: Shop, order: str) -> list[str]:
    return [
        row["status"]
        for row in await opened.rows("SELECT status FROM payment WHERE order_no = $1", order)
    ]


@pytest.mark.parametrize("method", METHODS)
async def test_fault_07_reply_to_write_1_is_lost(far: tuple[Shop, FaultProxy], method: str):
    opened, proxy = far
    order, tap = order_no(), body(method)
    trap = proxy.drop_reply(WRITE_1)
    answer = await opened.tap(500, order_no=order, key=order, **tap)
    assert trap.sprung.is_set()
    assert (answer.status, answer.document["status"]) == (201, "succeeded"), answer.document
    assert await payments_of(opened, order) == ["succeeded"]
    again = await opened.tap(500, order_no=order, key=order, **tap)
    assert (again.status, again.document["id"]) == (200, answer.document["id"])


@pytest.mark.parametrize("method", METHODS)
async def test_fault_07_write_1_never_arrives(far: tuple[Shop, FaultProxy], method: str):
    opened, proxy = far
    order = order_no()
    trap = proxy.drop_request(WRITE_1)
    answer = await opened.tap(500, order_no=order, **body(method))
    assert trap.sprung.is_set()
    assert (answer.status, answer.document["status"]) == (201, "succeeded"), answer.document
    assert await payments_of(opened, order) == ["succeeded"]


async def test_fault_07_reply_to_write_2_is_lost(far: tuple[Shop, FaultProxy]):
    opened, proxy = far
    trap = proxy.drop_reply(WRITE_2)
    answer = await opened.tap(500, **body("alipay"))
    assert trap.sprung.is_set()
    assert (answer.document["status"], answer.document["version"]) == ("succeeded", 2)


async def test_fault_07_reply_to_a_refund_is_lost(far: tuple[Shop, FaultProxy]):
    opened, proxy = far
    paid = (await opened.tap(500, **body("cash"))).document
    trap = proxy.drop_reply(WRITE_2)
    answer = await opened.till.refund(
        paid["id"], {"refund_no": "lost-1", "amount": 200, "reason": ""}, "lost-1"
    )
    assert trap.sprung.is_set()
    assert (answer.status, answer.document["status"]) == (201, "succeeded"), answer.document
    assert (await opened.till.payment(paid["id"])).document["amount_refunded"] == 200


async def test_fault_06_lines_cut_in_mid_air_say_nothing_of_the_key(far: tuple[Shop, FaultProxy]):
    """Postgres is unreachable before anything was handed over:
    nothing was sent, the same key works afterwards.
    """
    opened, proxy = far
    order, tap = order_no(), body("alipay")
    proxy.down()
    refused = await opened.tap(500, order_no=order, key=order, **tap)
    assert (refused.status, refused.document["code"]) == (503, "store_unavailable"), (
        refused.document
    )
    assert "Retry-After" in refused.headers
    assert refused.document["verdict"]["code"] in ("try_again", "do_not_charge_again")
    await proxy.up()
    assert await payments_of(opened, order) == []
    answer = await opened.tap(500, order_no=order, key=order, **tap)
    assert (answer.status, answer.document["status"]) == (201, "succeeded"), answer.document


async def test_fault_07_committed_and_then_gone(far: tuple[Shop, FaultProxy]):
    """Write 1 is committed and nobody can be asked: not charged again, nothing sent, and the key
    shows what became of it.
    """
    opened, proxy = far
    order, tap = order_no(), body("alipay")
    await opened.tap(500, **body("alipay"))  # the lanes are connected
    trap = proxy.drop_reply(WRITE_1)
    tapping = asyncio.create_task(opened.tap(500, order_no=order, key=order, **tap))
    proxy.refuse()
    answer = await tapping
    assert trap.sprung.is_set()
    assert (answer.status, answer.document["code"]) == (503, "store_unavailable"), answer.document
    assert answer.document["verdict"]["code"] == "do_not_charge_again"
    await proxy.up()
    known = await opened.tap(500, order_no=order, key=order, wait_s=0, **tap)
    assert (known.status, known.replayed) == (200, True), "the key is bound"
    ended = await opened.settled(known.document["id"])
    assert (ended["status"], ended["verdict"]["code"]) == ("failed", "safe_to_charge_again")
    assert ended["out_trade_no"] not in await opened.captured("alipay"), "nothing was ever sent"


async def test_and_the_books_agree(far: tuple[Shop, FaultProxy], sandbox: SandboxProcess):
    opened, _ = far

    async def agree() -> bool:
        violations = await audit(opened.books.dsn, sandbox.control_url)
        return len(violations) == 0

    await until(agree)
