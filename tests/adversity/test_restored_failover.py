"""Fault 36, of a payment that the backup holds as sent: in the lost minutes it moved on to another
account, and was charged there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.domain.payment import Payment
from gateway.domain.presenting import PaymentCode, Presented
from gateway.flow.choose.health import Place
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Caller, PayCommand
from gateway.limits import SEND_DEADLINE_MS, SILENCES_QUICK_MAX
from security.secret import Secret
from tests.adversity.house import until
from tests.adversity.test_restored import back_up, own_database, restored
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import Books, Shop, order_no, reopened, shop

__all__ = ["own_database"]  # a fixture
AMOUNT = 900


class Died:
    """A worker that died between write 1 and the call."""

    async def send(
        self, payment: Payment, place: Place, deadline: float, presented: Presented
    ) -> None:
        place.leave()


@asynccontextmanager
async def moved_on(
    dsn: str, sandbox: SandboxProcess, order: str, scanned: str
) -> AsyncIterator[tuple[Books, Payment]]:
    """The backup has the first attempt as sent; since then it was refused a connection, and the
    second one was charged elsewhere.
    """
    async with shop(dsn, sandbox=sandbox, sweep=False, extra_accounts={"alipay": 1}) as first:
        sent, books = await written_only(first, order, scanned), first.books
    await back_up(dsn)
    async with reopened(books, sandbox=sandbox, sweep=False) as later:
        sender = later.world.checkout.sender
        await sandbox.arm("alipay", "pay", "refuse_connection", account=books.accounts["alipay"])
        deadline = later.world.clock.monotonic() + SEND_DEADLINE_MS / 1000
        account = later.world.directory.remote_account(books.accounts["alipay"])
        assert account is not None
        place = later.world.health.enter(Choice(account=account, why=""), "pay")
        await sender.send(sent, place, deadline, PaymentCode(Secret(scanned)))
        await sandbox.disarm()
        paid = await later.world.store.payment(sent.merchant_id, sent.id)
        assert paid is not None
        assert [attempt.status for attempt in paid.attempts] == ["not_sent", "succeeded"]
        assert [row["state"] for row in (await later.captured("alipay_2")).values()] == ["charged"]
    yield books, paid


async def written_only(opened: Shop, order: str, scanned: str) -> Payment:
    """Write 1 and no more, under the key that `Shop.pay` gives this order."""
    key_id, terminal = opened.books.terminal[0], opened.books.terminal_id
    caller = Caller(
        key_id=key_id,
        merchant_id=opened.books.merchant_id,
        store_id="store_1",
        terminal_id=terminal,
        role="terminal",
    )
    command = PayCommand(
        order_no=order,
        tender_no=1,
        amount=AMOUNT,
        currency="CNY",
        method="auto",
        given=PaymentCode(Secret(scanned)),
        store_id=None,
        operator_id=None,
        description=None,
    )
    checkout = replace(opened.world.checkout, sender=Died())  # type: ignore[arg-type]
    return (await checkout.pay(command, caller, f"key-{order}", wait_s=0)).payment


async def attempts(opened: Shop) -> list[tuple[str, str]]:
    rows = await opened.rows("SELECT channel_account, status FROM attempt ORDER BY number")
    return [(row["channel_account"], row["status"]) for row in rows]


async def test_fault_36_a_lost_second_attempt_is_found_before_the_first_is_called_a_no(
    own_database: str, sandbox: SandboxProcess
):
    order, scanned = order_no(), code("alipay")
    async with (
        moved_on(own_database, sandbox, order, scanned) as (books, paid),
        restored(books, sandbox) as after,
    ):
        assert await attempts(after) == [(books.accounts["alipay"], "sent")], (
            "the books have lost the second attempt"
        )
        settled = await after.settled(paid.id)
        assert (settled["status"], settled["verdict"]["code"]) == ("succeeded", "paid")
        assert settled["out_trade_no"] == paid.current.out_trade_no
        assert await attempts(after) == [
            (books.accounts["alipay"], "reversed"),
            (books.accounts["alipay_2"], "succeeded"),
        ]
        repeated = await after.pay(AMOUNT, order_no=order, auth_code=scanned, wait_s=1)
        assert (repeated.document["id"], repeated.document["status"]) == (paid.id, "succeeded")
        told = [
            row["type"]
            for row in await after.rows("SELECT type FROM event WHERE public ORDER BY xid, seq")
        ]
        assert told == ["payment.in_doubt", "payment.succeeded"], "nobody ever heard a no"
        charged = [
            row
            for name in ("alipay", "alipay_2")
            for row in (await after.captured(name)).values()
            if row["state"] == "charged"
        ]
        assert len(charged) == 1


async def test_fault_36_no_end_while_somebody_cannot_be_asked(
    own_database: str, sandbox: SandboxProcess
):
    order, scanned = order_no(), code("alipay")
    async with moved_on(own_database, sandbox, order, scanned) as (books, paid):
        await sandbox.arm("alipay", "query", "drop_before", account=books.accounts["alipay_2"])
        async with restored(books, sandbox) as after:
            await until(lambda: postponed(after))
            repeated = await after.pay(AMOUNT, order_no=order, auth_code=scanned, wait_s=0)
            assert (repeated.document["id"], repeated.document["status"]) == (paid.id, "in_doubt")
            assert repeated.document["verdict"]["code"] == "do_not_charge_again"
            assert [status for _, status in await attempts(after)] == ["cancelling"]
            await sandbox.disarm()
            assert (await after.settled(paid.id))["status"] == "succeeded"


async def postponed(opened: Shop) -> bool:
    """An end was near, and was put off."""
    rows = await opened.rows(
        "SELECT silences, evidence::text AS evidence FROM attempt WHERE number = 1"
    )
    return "restored_unsure" in rows[0]["evidence"] and rows[0]["silences"] <= SILENCES_QUICK_MAX


@pytest.mark.parametrize("mode", ["stands", "has ended"])
async def test_an_attempt_that_was_the_only_one_ends_as_ever(
    own_database: str, sandbox: SandboxProcess, mode: str
):
    """Nobody knows a later one: asked in the mode, not asked without it."""
    order, scanned = order_no(), code("alipay")
    async with shop(
        own_database, sandbox=sandbox, sweep=False, extra_accounts={"alipay": 1}
    ) as first:
        sent, books = await written_only(first, order, scanned), first.books
    await back_up(own_database)
    opening = restored(books, sandbox) if mode == "stands" else reopened(books, sandbox=sandbox)
    async with opening as after:
        assert (await after.settled(sent.id))["status"] == "failed"
        assert await attempts(after) == [(books.accounts["alipay"], "reversed")]
