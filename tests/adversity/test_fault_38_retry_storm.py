"""Fault 38, a retry storm after an outage: one retry layer, a breaker for each account, few calls
to who does not answer.

Real servers on both sides; what reached a channel is counted by the gateway's own metric of calls
and by the channel's ledger.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from gateway.limits import BREAKER_FAILURES_MAX
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Books, Shop, reopened, shop

TILLS, TAPS = 8, 15


@pytest.fixture(scope="module")
async def books(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Books]:
    """Two accounts of Alipay and one of WeChat Pay."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False, extra_accounts={"alipay": 1}) as opened:
        yield opened.books
    await postgres.give_back(dsn)


@pytest.fixture
async def two(books: Books, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    async with reopened(books, sandbox=sandbox) as opened:
        yield opened


def unsent() -> float:
    """Calls to Alipay that found no connection, so far."""
    counted = {"channel": "alipay", "outcome": "NotSent"}
    return sum(
        REGISTRY.get_sample_value("tillgate_channel_calls_total", counted | {"operation": each})
        or 0
        for each in ("pay", "query")
    )


async def lunch(two: Shop) -> list[dict[str, Any]]:
    """Some tills, each with one payment after the other."""

    async def till() -> list[dict[str, Any]]:
        return [(await two.pay(1000, auth_code=code("alipay"))).document for _ in range(TAPS)]

    return [
        payment
        for paid in await asyncio.gather(*(till() for _ in range(TILLS)))
        for payment in paid
    ]


async def test_fault_38_retry_storm_a_dark_channel_hears_little_and_nobody_asks_twice(
    two: Shop,
) -> None:
    a, b = two.books.accounts["alipay"], two.books.accounts["alipay_2"]
    await two.sandbox.arm("alipay", "pay", "refuse_connection", account=a)
    before = unsent()
    payments = await lunch(two)
    asked = unsent() - before
    assert {payment["status"] for payment in payments} == {"succeeded"}
    tried = [
        [attempt["channel_account"] for attempt in payment["attempts"]] for payment in payments
    ]
    # One layer: an account is tried once, by one attempt.
    assert all(each in ([b], [a, b]) for each in tried), tried
    at_a = sum(a in each for each in tried)
    assert at_a <= BREAKER_FAILURES_MAX + TILLS, (
        "those that were under way when the breaker opened, and no more"
    )
    assert asked - at_a <= 10, "the rest are probes, one for each open time"
    ledger = await two.captured("alipay_2")
    assert Counter(ledger[payment["out_trade_no"]]["state"] for payment in payments) == {
        "charged": len(payments)
    }
    assert (
        not {payment["out_trade_no"] for payment in payments}
        & (await two.captured("alipay")).keys()
    )


async def test_fault_38_retry_storm_one_dark_account_is_one_open_breaker(two: Shop) -> None:
    a, b = two.books.accounts["alipay"], two.books.accounts["alipay_2"]
    await two.sandbox.arm("alipay", "pay", "refuse_connection", account=a)
    await lunch(two)
    assert (await two.pay(500, auth_code=code("wechat"))).document["status"] == "succeeded"
    states = {
        (name, operation): standing.breaker.state
        for name, record in two.world.health._records._records.items()
        for operation, standing in record.standings.items()
    }
    assert states[a, "pay"] in ("open", "half_open")
    assert {state for (name, _), state in states.items() if name != a} == {"closed"}
    assert states[b, "pay"] == "closed"


async def test_fault_38_retry_storm_payments_return_one_first_and_then_all(two: Shop) -> None:
    """After the outage: a probe, one payment, then everybody; no payment is lost meanwhile."""
    a = two.books.accounts["alipay"]
    await two.sandbox.arm("alipay", "pay", "refuse_connection", account=a)
    await lunch(two)
    await two.sandbox.disarm()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            payments = await lunch(two)
            assert {payment["status"] for payment in payments} == {"succeeded"}
            assert {len(payment["attempts"]) for payment in payments} == {1}
            if {payment["channel_account"] for payment in payments} == {a}:
                break
            await asyncio.sleep(0.2)
    moves = [row["to"] for row in await breaker_moves(two, a)]
    opened = moves.index("open")
    assert moves[opened:][-2:] == ["half_open", "closed"]


async def breaker_moves(two: Shop, account: str) -> list[Any]:
    """Of this worker, once the last of them is written."""
    sql = """SELECT "to" FROM channel_health_event
    WHERE account = $1 AND worker = $2 AND what = 'breaker' AND operation = 'pay' ORDER BY seq"""
    async with asyncio.timeout(PATIENCE_S):
        while (  # noqa: ASYNC110
            not (found := await two.rows(sql, account, two.world.worker_id))
            or found[-1]["to"] != "closed"
        ):
            await asyncio.sleep(0.05)
    return found
