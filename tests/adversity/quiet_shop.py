"""A shop whose sweeper is held still, and what a test does with it: every effect is a callback's,
until the test lets the sweeper run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from gateway.workers.sweeper import Sweeper
from loadtests.audit import audit
from tests.adversity.house import until
from tests.world import Books, Shop

ACKNOWLEDGED = {"alipay": (200, "success"), "wechat": (204, "")}
REFUSED = {"alipay": (400, "failure"), "wechat": (401, '{"code":"FAIL","message":"refused"}')}


@contextlib.asynccontextmanager
async def sweeping(quiet: Shop) -> AsyncIterator[None]:
    """The sweeper runs meanwhile."""
    stop = asyncio.Event()
    sweeper = Sweeper(quiet.world.store, quiet.world.in_doubt, quiet.world.clock)
    running = asyncio.create_task(sweeper.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def books_agree(quiet: Shop) -> None:
    """Swept until the audit finds nothing; channels may have lied."""
    async with sweeping(quiet):
        await until(lambda: _agree(quiet))


async def _agree(quiet: Shop) -> bool:
    return await audit(quiet.books.dsn, quiet.sandbox.control_url, honest=False) == []


async def knows(quiet: Shop, books: Books) -> bool:
    """Whether the gateway has read these keys and accounts."""
    directory = quiet.world.directory
    return await knows_key(quiet, books.merchant[0]) and all(
        directory.account(account) is not None for account in books.accounts.values()
    )


async def knows_key(quiet: Shop, key_id: str) -> bool:
    return quiet.world.directory.key(key_id) is not None


async def shown(quiet: Shop, channel: str, amount: int = 4_200) -> dict[str, Any]:
    """A QR code on display."""
    answer = await quiet.pay(amount, method=channel, flow="qr")
    assert answer.document["status"] == "awaiting_payer", answer.document
    document: dict[str, Any] = answer.document
    return document


async def paid_in_silence(quiet: Shop, channel: str, amount: int = 4_200) -> dict[str, Any]:
    """Paid at the channel; its callback was lost, and nobody asks: the gateway does not know."""
    fault = await quiet.sandbox.arm(
        channel, "callback", "drop_before", account=quiet.books.accounts[channel]
    )
    payment = await shown(quiet, channel, amount)
    await quiet.sandbox.pay(payment["out_trade_no"])
    assert [row["fired"] for row in await quiet.sandbox.disarm() if row["id"] == fault["id"]] == [1]
    assert (await now(quiet, payment))["status"] == "awaiting_payer"
    return payment


async def now(quiet: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = (await quiet.office.payment(payment["id"])).document
    return document


async def called_back(
    quiet: Shop, channel: str, payment: dict[str, Any], **terms: Any
) -> list[tuple[int, str]]:
    """What the gateway answered to callbacks sent now."""
    sent = await quiet.sandbox.callbacks(
        channel, quiet.books.accounts[channel], payment["out_trade_no"], **terms
    )
    return [(answer["status"], answer["body"]) for answer in sent]


async def inbox(quiet: Shop, payment: dict[str, Any]) -> list[bool]:
    """Whether each stored callback of this trade was applied."""
    rows = await quiet.rows(
        "SELECT applied_at IS NOT NULL AS applied FROM callback WHERE out_trade_no = $1",
        payment["out_trade_no"],
    )
    return [row["applied"] for row in rows]


async def is_applied(quiet: Shop, payment: dict[str, Any]) -> bool:
    return await inbox(quiet, payment) == [True]


async def cases(quiet: Shop, object_id: str) -> list[str]:
    return [
        row["kind"]
        for row in await quiet.rows(
            'SELECT kind FROM "case" WHERE object_id = $1 ORDER BY kind', object_id
        )
    ]
