"""Partitions: a wire that swallows what we say, what we hear, or both, and never tells. Deadlines
end every call, and then the rules of the fault behind it hold: Redis away (11), Postgres away (6,
7), a channel's answer lost (14) or our request lost (15).
"""

from __future__ import annotations

import asyncio
from typing import Any

from loadtests.audit import audit
from tests.adversity.house import taken, until
from tests.adversity.wire import FarSandbox, State, Wire, wire_to_postgres, wire_to_redis
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

BROKEN_WAYS: tuple[State, ...] = ("deaf", "mute", "dead")


async def agree(opened: Shop) -> bool:
    violations = await audit(opened.books.dsn, opened.sandbox.control_url)
    return len(violations) == 0


async def test_fault_27_redis_behind_a_broken_wire_costs_moments(
    database: str, redis_url: str, sandbox: SandboxProcess
):
    async with (
        wire_to_redis(redis_url) as (url, wire),
        shop(database, redis_url=url, sandbox=sandbox) as opened,
    ):
        for how in BROKEN_WAYS:
            wire.cut(how)
            await until(lambda: paid_until_noticed(opened, wire))
            wire.heal()
        await until(lambda: agree(opened))


async def paid_until_noticed(opened: Shop, wire: Wire) -> bool:
    """Four taps of one key, all answered.

    A Redis that failed before is left alone for a while: then nothing is said to the wire.
    """
    order, scanned = order_no(), code("alipay")
    answers = await asyncio.gather(
        *(taken(opened, 660, order_no=order, key=order, auth_code=scanned) for _ in range(4))
    )
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    return wire.seen.is_set()


async def test_fault_27_postgres_behind_a_broken_wire_is_a_bounded_503(
    postgres: DatabaseServer, sandbox: SandboxProcess
):
    """A tap on a connection that went dead: answered within the bounds, as a doubt, and the truth
    is under the same key afterwards. Where the writer had no connection, or had lost it, nothing
    was handed over, and the till hears so.

    Three gateways side by side, one for each way a wire breaks: they mostly wait.
    """
    databases = [await postgres.fresh_database() for _ in BROKEN_WAYS]
    words = await asyncio.gather(
        *(
            tapped_meanwhile(dsn, sandbox, how)
            for dsn, how in zip(databases, BROKEN_WAYS, strict=True)
        )
    )
    assert "do_not_charge_again" in words
    for dsn in databases:
        await postgres.give_back(dsn)


async def tapped_meanwhile(database: str, sandbox: SandboxProcess, how: State) -> str:
    """The verdict that the till heard meanwhile."""
    async with wire_to_postgres(database) as (dsn, wire), shop(dsn, sandbox=sandbox) as opened:
        await taken(opened, 500, auth_code=code("alipay"))  # the lanes are connected
        order = order_no()
        tap: dict[str, Any] = {"order_no": order, "key": order, "auth_code": code("alipay")}
        wire.cut(how)
        async with asyncio.timeout(30):
            answer = await opened.tap(500, **tap)
        assert (answer.status, answer.document["code"]) == (503, "store_unavailable"), (
            answer.document
        )
        word: str = answer.document["verdict"]["code"]
        assert word in ("do_not_charge_again", "try_again")
        assert "Retry-After" in answer.headers
        wire.heal()
        await until(lambda: is_ready(opened))
        assert len(await opened.captured("alipay")) == 1, "nothing was sent for it"
        again = await taken(opened, 500, **tap)
        assert again.ok, again.document
        ended = await opened.settled(again.document["id"])
        committed = how == "mute" and word == "do_not_charge_again"
        assert again.replayed is committed, (how, word, ended)
        assert (ended["status"] == "succeeded") is (
            ended["out_trade_no"] in await opened.captured("alipay")
        ), (how, ended)
        if committed:
            assert ended["status"] == "failed", "its send deadline had passed before anybody knew"
        await until(lambda: agree(opened))
    return word


async def is_ready(opened: Shop) -> bool:
    return (await opened.office.call("GET", "/readyz")).status == 200


async def test_fault_27_a_channel_behind_a_broken_wire_is_in_doubt_until_it_can_be_asked(
    database: str, sandbox: SandboxProcess
):
    """One way each.

    Never heard there: not charged. Charged and not heard here: found by a query, or given back by
    the cancel.
    """
    far = FarSandbox(sandbox)
    try:
        async with shop(database, sandbox=far) as opened:
            wire = far.wires["alipay"]
            await sandbox.arm(
                "alipay", "callback", "drop_before", account=opened.books.accounts["alipay"]
            )
            payments = []
            ways: tuple[tuple[State, list[str]], ...] = (("mute", ["charged"]), ("deaf", []))
            for how, done in ways:
                # A connection is kept, no account rests.
                await taken(opened, 660, auth_code=code("alipay"))
                wire.cut(how)
                asked = await taken(opened, 660, auth_code=code("alipay"), wait_s=0)
                assert asked.document["verdict"]["code"] == "wait"
                await wire.seen.wait()
                doubtful = await in_doubt(opened, asked.document["id"])
                assert doubtful["verdict"]["code"] == "do_not_charge_again"
                wire.heal()
                payments.append((doubtful["id"], done))
            for payment_id, done in payments:
                ended = await opened.settled(payment_id)
                trade = (await opened.captured("alipay")).get(
                    ended["out_trade_no"], {"history": []}
                )
                acts = [act["act"] for act in trade["history"] if act["act"] != "closed"]
                assert acts == (
                    done if ended["status"] == "succeeded" or not done else [*done, "reversed"]
                ), ended
                assert (ended["status"] == "succeeded") is (acts == ["charged"]), ended
            await until(lambda: agree(opened))
    finally:
        await far.close()


async def in_doubt(opened: Shop, payment_id: str) -> dict[str, Any]:
    async def holds() -> bool:
        return bool((await opened.till.payment(payment_id)).document["status"] == "in_doubt")

    await until(holds)
    return dict((await opened.till.payment(payment_id)).document)
