"""What was seen on channel A, and whether the payment may move to B: the rows of the decision
table, each by its number.

Real servers on both sides; the sandbox's ledgers are asked what really happened. Row 1 (breaker, no
capacity) stands in test_choosing_accounts.py, row 8 (a crash) in tests/adversity, row 16 (the
supervisor) in test_override.py.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.channel import Flow
from gateway.domain import outcomes as o
from gateway.domain.acts import cancel_sent
from gateway.domain.learning import learned
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.unit import paying
from tests.wallet_codes import code
from tests.world import Books, Shop, reopened, shop

BOTH = pytest.mark.parametrize("channel", ["alipay", "wechat"])


@pytest.fixture(scope="module")
async def books(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Books]:
    """Two accounts of each wallet; enrolling makes RSA keys, so once for all rows."""
    dsn = await postgres.fresh_database()
    async with shop(
        dsn, sandbox=sandbox, sweep=False, extra_accounts={"alipay": 1, "wechat": 1}
    ) as opened:
        yield opened.books
    await postgres.give_back(dsn)


@pytest.fixture
async def two(books: Books, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """The shop anew for every row, so that no row has heard of the trouble of another."""
    async with reopened(books, sandbox=sandbox) as opened:
        yield opened


async def struck(two: Shop, channel: str, operation: str, fault: str, **terms: Any) -> None:
    """A fault at account A only."""
    await two.sandbox.arm(channel, operation, fault, account=two.books.accounts[channel], **terms)


async def charges(two: Shop, channel: str, payment: dict[str, Any]) -> dict[str, str]:
    """What the ledgers of A and B say of this payment's numbers: account -> state."""
    found = {}
    for name, attempt in zip(("A", "B"), payment["attempts"], strict=False):
        row = (await two.captured(channel if name == "A" else f"{channel}_2")).get(
            attempt["out_trade_no"]
        )
        found[name] = row["state"] if row else "never seen"
    return found


def tried(payment: dict[str, Any]) -> list[str]:
    return [attempt["status"] for attempt in payment["attempts"]]


async def proofs(two: Shop, payment: dict[str, Any]) -> list[list[str]]:
    """The proofs stored with each attempt."""
    rows = await two.rows(
        "SELECT number, (SELECT coalesce(json_agg(e->>'proof'), '[]') "
        "FROM json_array_elements(evidence) e WHERE e->>'proof' IS NOT NULL)::text AS proofs "
        "FROM attempt WHERE payment_id = $1 ORDER BY number",
        payment["id"],
    )
    return [json.loads(row["proofs"]) for row in rows]


@BOTH
async def test_row_02_no_byte_written_moves_on_with_the_same_code(two: Shop, channel: str) -> None:
    await struck(two, channel, "pay", "refuse_connection")
    paid = (await two.pay(1200, auth_code=code(channel))).document
    assert (paid["status"], tried(paid)) == ("succeeded", ["not_sent", "succeeded"]), paid
    assert await proofs(two, paid) == [["P0"], []]
    assert await charges(two, channel, paid) == {"A": "never seen", "B": "charged"}
    assert "after attempt 1: P0" in paid["attempts"][1]["why"]
    assert paid["channel_account"] == two.books.accounts[f"{channel}_2"]


@BOTH
async def test_row_02_all_accounts_unreachable_is_a_proven_no(two: Shop, channel: str) -> None:
    for account in (channel, f"{channel}_2"):
        await two.sandbox.arm(
            channel, "pay", "refuse_connection", account=two.books.accounts[account]
        )
    paid = (await two.pay(1200, auth_code=code(channel))).document
    assert (paid["status"], tried(paid)) == ("failed", ["not_sent", "not_sent"])
    assert (paid["verdict"]["code"], paid["failure"]["code"]) == (
        "safe_to_charge_again",
        "channel_unreachable",
    )


@BOTH
async def test_row_03_the_accounts_own_fault_moves_on_where_no_code_was_spent(
    two: Shop, channel: str
) -> None:
    await struck(two, channel, "precreate", "account_blocked")
    shown = (await two.pay(1300, method=channel, flow="qr")).document
    assert (shown["status"], tried(shown)) == ("awaiting_payer", ["declined", "pending"]), shown
    assert await proofs(two, shown) == [["P1"], []]
    await two.sandbox.pay(shown["out_trade_no"])
    paid = await two.settled(shown["id"])
    assert (paid["status"], await charges(two, channel, paid)) == (
        "succeeded",
        {"A": "never seen", "B": "charged"},
    )


@BOTH
async def test_row_03_a_spent_code_needs_a_new_scan(two: Shop, channel: str) -> None:
    """The wallet has seen the code: B may only take the next one, and the answer says so."""
    await struck(two, channel, "pay", "account_blocked")
    refused = (await two.pay(1300, auth_code=code(channel))).document
    assert (refused["status"], tried(refused), refused["failure"]["retry"]) == (
        "failed",
        ["declined"],
        "rescan",
    ), refused


@BOTH
async def test_row_04_the_customers_fault_stays(two: Shop, channel: str) -> None:
    refused = (await two.pay(700, auth_code=code(channel, "01"))).document
    assert (refused["status"], tried(refused), refused["failure"]["retry"]) == (
        "failed",
        ["declined"],
        "other_method",
    ), refused
    assert await proofs(two, refused) == [["P1"]]


@BOTH
async def test_row_05_signed_success_is_booked(two: Shop, channel: str) -> None:
    paid = (await two.pay(800, auth_code=code(channel))).document
    assert (paid["status"], tried(paid), await charges(two, channel, paid)) == (
        "succeeded",
        ["succeeded"],
        {"A": "charged"},
    )


NEVER = [
    "drop_after_charge",
    "drop_before",
    "http_500_after_charge",
    "http_500_before",
    "bad_signature",
    "system_error_charged",
]


@BOTH
@pytest.mark.parametrize("fault", NEVER)
async def test_row_06_an_unknown_answer_never_moves(two: Shop, channel: str, fault: str) -> None:
    await struck(two, channel, "pay", fault, times=1)
    payment = (await two.pay(900, auth_code=code(channel), wait_s=0)).document
    payment = (await two.office.payment(payment["id"], wait_s=2)).document
    assert payment["status"] in ("in_doubt", "succeeded")
    assert len(payment["attempts"]) == 1


@BOTH
async def test_row_07_a_customer_who_types_never_moves(two: Shop, channel: str) -> None:
    payment = (await two.pay(900, auth_code=code(channel, "04"), wait_s=1)).document
    assert (payment["status"], len(payment["attempts"])) == ("awaiting_payer", 1)
    ended = await two.settled(payment["id"])
    assert (ended["status"], tried(ended), ended["failure"]["retry"]) == (
        "expired",
        ["reversed"],
        "rescan",
    )


@BOTH
async def test_row_09_a_query_that_says_paid_is_booked_however_late(
    two: Shop, channel: str
) -> None:
    await struck(two, channel, "pay", "drop_after_charge", times=1)
    await struck(two, channel, "query", "http_500_before", times=1)
    await struck(two, channel, "callback", "callback_hold")
    payment = (await two.pay(900, auth_code=code(channel), wait_s=0)).document
    paid = await two.settled(payment["id"])
    booked = (paid["status"], tried(paid), await charges(two, channel, paid))
    if booked != ("succeeded", ["succeeded"], {"A": "charged"}):
        # On a busy host the cancel's time may come before the second query.
        assert booked == ("failed", ["reversed"], {"A": "reversed"})
        account = two.world.directory.remote_account(two.books.accounts[channel])
        assert account is not None
        schedule = account.schedule(Flow.CODE)
        assert await cancelled_after_ms(two, paid) >= (schedule.unknown_cancel_ms or 0)


async def cancelled_after_ms(two: Shop, payment: dict[str, Any]) -> float:
    """From the pay to its first cancel."""
    found = await two.rows(
        "SELECT extract(epoch FROM min((e->>'at')::timestamptz) - sent_at) * 1000 AS ms "
        "FROM attempt, json_array_elements(evidence) e "
        "WHERE payment_id = $1 AND e->>'outcome' = 'CancelSent' GROUP BY sent_at",
        payment["id"],
    )
    return float(found[0]["ms"])


async def test_row_10_not_found_inside_the_window_waits_for_proof(two: Shop) -> None:
    """Alipay: two early "not found" bring the cancel forward; only P4 ends it, and by then B needs
    a new scan.
    """
    await struck(two, "alipay", "pay", "drop_before", times=1)
    payment = (await two.pay(900, auth_code=code("alipay"), wait_s=0)).document
    ended = await two.settled(payment["id"])
    assert (ended["status"], tried(ended), ended["failure"]["retry"]) == (
        "failed",
        ["reversed"],
        "rescan",
    ), ended
    assert await proofs(two, ended) == [["P4"]]
    said = await two.rows(
        "SELECT evidence::text AS words FROM attempt WHERE payment_id = $1", ended["id"]
    )
    assert said[0]["words"].index('"NotFound"') < said[0]["words"].index('"CancelSent"')


async def test_row_11_a_query_that_says_closed_moves_on(two: Shop) -> None:
    """The order on A was made, but its code never reached us; somebody closed it: B shows a new
    code in the same payment.
    """
    await struck(two, "wechat", "precreate", "http_500_after_charge", times=1)
    # Closed, but we do not hear it: a query tells.
    await struck(two, "wechat", "close", "drop_after_charge", times=1)
    shown = (await two.pay(1100, method="wechat", flow="qr", wait_s=0)).document
    shown = await shown_by_b(two, shown)
    assert await proofs(two, shown) == [["P2"], []]
    await two.sandbox.pay(shown["out_trade_no"])
    paid = await two.settled(shown["id"])
    assert (paid["status"], await charges(two, "wechat", paid)) == (
        "succeeded",
        {"A": "closed", "B": "charged"},
    )


async def shown_by_b(two: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    for _ in range(20):
        payment = (await two.office.payment(payment["id"], wait_s=3)).document
        if payment["status"] == "awaiting_payer":
            return payment
    raise AssertionError(payment)


@BOTH
async def test_row_12_when_query_and_cancel_fail_too_nothing_moves(two: Shop, channel: str) -> None:
    for operation, fault in (
        ("pay", "drop_after_charge"),
        ("query", "http_500_before"),
        ("cancel", "http_500_before"),
        ("reverse", "http_500_before"),
    ):
        if (channel, operation) not in (("alipay", "reverse"), ("wechat", "cancel")):
            await struck(two, channel, operation, fault)
    await struck(two, channel, "callback", "callback_hold")
    payment = (await two.pay(900, auth_code=code(channel), wait_s=3)).document
    assert (payment["status"], payment["verdict"]["code"]) == ("in_doubt", "do_not_charge_again")
    payment = (await two.office.payment(payment["id"], wait_s=2)).document
    assert (payment["status"], len(payment["attempts"])) == ("in_doubt", 1)
    await two.sandbox.disarm()
    settled = await two.settled(payment["id"])
    assert settled["status"] in ("succeeded", "failed")
    assert (await charges(two, channel, settled))["A"] == (
        "charged" if settled["status"] == "succeeded" else "reversed"
    )


async def test_row_13_a_confirmed_cancel_moves_on(two: Shop) -> None:
    await struck(two, "wechat", "precreate", "http_500_after_charge", times=1)
    shown = (await two.pay(1100, method="wechat", flow="qr", wait_s=0)).document
    shown = await shown_by_b(two, shown)
    assert await proofs(two, shown) == [["P3"], []]
    assert await charges(two, "wechat", shown) == {"A": "closed", "B": "pending"}


@BOTH
async def test_row_14_a_cancel_that_met_money_books_what_is_said_afterwards(
    two: Shop, channel: str
) -> None:
    """Paid, but every query is lost: the cancel gives the money back by itself, and only its answer
    ends the payment.
    """
    await struck(two, channel, "pay", "drop_after_charge", times=1)
    await struck(two, channel, "query", "http_500_before")
    await struck(two, channel, "callback", "callback_hold")
    payment = (await two.pay(900, auth_code=code(channel), wait_s=0)).document
    ended = await two.settled(payment["id"])
    assert (ended["status"], tried(ended), ended["failure"]["retry"]) == (
        "failed",
        ["reversed"],
        "rescan",
    )
    assert await charges(two, channel, ended) == {"A": "reversed"}
    assert await proofs(two, ended) == [["P3"]]


def test_row_15_a_card_timeout_is_a_reversal_stored_first_and_repeated_until_acknowledged() -> None:
    """The machine every channel's reversal runs on: durable before it leaves, repeated while
    unanswered, and only an answer ends it.
    """
    sent = paying.payment("in_doubt", paying.attempt("in_doubt"))
    change = cancel_sent(sent, sent.attempts[0], paying.occasion("sweeper"))
    assert change.payment.attempts[0].status == "cancelling"
    for unanswered in (
        o.Unknown(reason="timeout"),
        o.CallAgain(),
        o.NotSent(reason="refused"),
        o.Unknown(reason="bad_mac"),
    ):
        again = learned(
            change.payment, change.payment.attempts[0], unanswered, paying.occasion("cancel")
        )
        assert again is not None
        assert (again.payment.status, again.payment.attempts[0].status) == (
            "in_doubt",
            "cancelling",
        )
        change = again
    answered = learned(
        change.payment,
        change.payment.attempts[0],
        o.Reversed(channel_code="00"),
        paying.occasion("cancel"),
    )
    assert answered is not None
    assert (answered.payment.status, answered.payment.attempts[0].status) == ("failed", "reversed")
    approval_came_late = replace(answered.payment.attempts[0])
    late = learned(
        answered.payment,
        approval_came_late,
        o.Succeeded(amount=1000, channel_trade_no="C"),
        paying.occasion("query", asked_after_end=True),
    )
    assert late is not None and late.new_refund is not None  # noqa: PT018


async def test_row_17_cash_is_one_transaction_and_never_needs_another_account(two: Shop) -> None:
    paid = (await two.pay(500, method="cash", cash={"tendered": 1000})).document
    assert (paid["status"], tried(paid), paid["change"]) == ("succeeded", ["succeeded"], 500)
    written = await two.rows(
        "SELECT count(DISTINCT x) AS n FROM ("
        "SELECT xmin::text AS x FROM payment WHERE id = $1 "
        "UNION SELECT xmin::text FROM attempt WHERE payment_id = $1 "
        "UNION SELECT xmin::text FROM journal WHERE posting_id = $1) every",
        paid["id"],
    )
    assert written[0]["n"] == 1
