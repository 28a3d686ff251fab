"""What channels say unasked: once, late, early, forged, about others.

No sweeper runs here, so every effect is a callback's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from adapters.discovery import discover
from gateway.workers.sweeper import Sweeper
from loadtests.audit import audit
from tests.adversity.house import code, until
from tests.adversity.tables import digests
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.world import Books, Shop, provisioned, shop

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")
ACKNOWLEDGED = {"alipay": (200, "success"), "wechat": (204, "")}
REFUSED = {"alipay": (400, "failure"), "wechat": (401, '{"code":"FAIL","message":"refused"}')}
FORGERIES = {
    "alipay": ("signature", "app", "seller_or_mchid"),
    "wechat": ("signature", "app", "seller_or_mchid", "signtest", "stale_timestamp"),
}


@pytest.fixture(scope="module")
async def quiet(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """A shop whose sweeper is held still."""
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox, sweep=False) as opened:
        yield opened
    await postgres.drop(dsn)


@pytest.fixture(scope="module")
async def neighbour(quiet: Shop, sandbox: SandboxProcess) -> Books:
    """Another merchant of the same gateway."""
    books = await provisioned(quiet.books.settings, sandbox, f"{quiet.books.merchant_id[-6:]}_next")
    await until(lambda: is_known(quiet, books))
    return books


async def is_known(quiet: Shop, books: Books) -> bool:
    return all(
        quiet.world.directory.account(account) is not None for account in books.accounts.values()
    )


def bench(quiet: Shop) -> SandboxProcess:
    assert quiet.sandbox is not None
    return quiet.sandbox


async def shown(quiet: Shop, channel: str, amount: int = 4_200) -> dict[str, Any]:
    """A QR code on display."""
    answer = await quiet.pay(amount, method=channel, flow="qr")
    assert answer.document["status"] == "awaiting_payer", answer.document
    document: dict[str, Any] = answer.document
    return document


async def paid_in_silence(quiet: Shop, channel: str, amount: int = 4_200) -> dict[str, Any]:
    """Paid at the channel; its callback was lost, and nobody asks: the gateway does not know."""
    fault = await bench(quiet).arm(
        channel, "callback", "drop_before", account=quiet.books.accounts[channel]
    )
    payment = await shown(quiet, channel, amount)
    await bench(quiet).pay(payment["out_trade_no"])
    assert [row["fired"] for row in await bench(quiet).disarm() if row["id"] == fault["id"]] == [1]
    assert (await now(quiet, payment))["status"] == "awaiting_payer"
    return payment


async def now(quiet: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = (await quiet.office.payment(payment["id"])).document
    return document


async def called_back(
    quiet: Shop, channel: str, payment: dict[str, Any], **terms: Any
) -> list[tuple[int, str]]:
    """What the gateway answered to callbacks sent now."""
    sent = await bench(quiet).callbacks(
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


async def cases(quiet: Shop, object_id: str) -> list[str]:
    return [
        row["kind"]
        for row in await quiet.rows(
            'SELECT kind FROM "case" WHERE object_id = $1 ORDER BY kind', object_id
        )
    ]


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_19_a_genuine_callback_settles_without_a_query(quiet: Shop, channel: str):
    payment = await shown(quiet, channel)
    await bench(quiet).pay(payment["out_trade_no"])
    paid = await quiet.settled(payment["id"])
    assert (paid["status"], paid["amount_captured"], paid["channel_trade_no"] is not None) == (
        "succeeded",
        4_200,
        True,
    )
    said = await quiet.rows(
        "SELECT evidence::text AS e, queries FROM attempt WHERE out_trade_no = $1",
        payment["out_trade_no"],
    )
    assert [(row["queries"], '"source":"callback"' in row["e"]) for row in said] == [(0, True)]


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_19_fifty_at_once_are_one_row_and_one_effect(quiet: Shop, channel: str):
    payment = await paid_in_silence(quiet, channel)
    answers = await called_back(quiet, channel, payment, times=50)
    assert set(answers) == {ACKNOWLEDGED[channel]}
    paid = await now(quiet, payment)
    assert (paid["status"], paid["version"]) == ("succeeded", payment["version"] + 1)
    assert await inbox(quiet, payment) == [True]


@pytest.mark.parametrize(
    ("channel", "forged"),
    [(channel, forged) for channel in REMOTE for forged in FORGERIES[channel]],
)
async def test_fault_20_forged_is_refused_and_no_row_changes(
    quiet: Shop, channel: str, forged: str
):
    payment = await paid_in_silence(quiet, channel)
    before = await digests(quiet.books.dsn)
    assert (
        await called_back(quiet, channel, payment, forged=forged, times=3) == [REFUSED[channel]] * 3
    )
    assert await digests(quiet.books.dsn) == before
    assert await called_back(quiet, channel, payment) == [ACKNOWLEDGED[channel]], (
        "the genuine one still counts"
    )
    assert (await now(quiet, payment))["status"] == "succeeded"


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_20_genuine_at_somebody_elses_door(quiet: Shop, neighbour: Books, channel: str):
    """Another merchant's account, another channel's account, an account that has no channel."""
    payment = await paid_in_silence(quiet, channel)
    before = await digests(quiet.books.dsn)
    doors = {
        account: REFUSED[name] for name, account in neighbour.accounts.items() if name in REMOTE
    }
    doors |= {
        account: REFUSED[name]
        for name, account in quiet.books.accounts.items()
        if name in REMOTE and name != channel
    }
    for account, expected in doors.items():
        assert await called_back(
            quiet, channel, payment, notify_url=f"{quiet.base_url}/callbacks/{account}"
        ) == [expected]
    no_channel = f"{quiet.base_url}/callbacks/{quiet.books.accounts['cash']}"
    assert [
        status for status, _ in await called_back(quiet, channel, payment, notify_url=no_channel)
    ] == [404]
    assert await digests(quiet.books.dsn) == before


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_18_a_callback_of_another_amount_freezes(quiet: Shop, channel: str):
    payment = await paid_in_silence(quiet, channel)
    assert await called_back(quiet, channel, payment, forged="amount") == [ACKNOWLEDGED[channel]]
    frozen = await now(quiet, payment)
    assert (frozen["status"], frozen["verdict"]["code"]) == ("in_doubt", "do_not_charge_again")
    assert await cases(quiet, payment["id"]) == ["mismatch_amount"]
    refund = await quiet.till.refund(
        payment["id"], {"refund_no": f"f-{channel}", "amount": 1, "reason": ""}, f"f-{channel}"
    )
    assert (refund.status, refund.document["code"]) == (409, "payment_frozen")
    assert (await quiet.till.cancel(payment["id"], wait_s=0)).document["status"] == "in_doubt"
    await sweep_until_asked(quiet, payment)
    after = await quiet.rows(
        "SELECT status, cancels, queries FROM attempt WHERE out_trade_no = $1",
        payment["out_trade_no"],
    )
    assert [(row["status"], row["cancels"], row["queries"] > 0) for row in after] == [
        ("in_doubt", 0, True)
    ], "asked, never cancelled"
    trade = (await quiet.captured(channel))[payment["out_trade_no"]]
    assert [
        act["act"] for act in trade["history"] if act["act"] in ("closed", "reversed", "refunded")
    ] == []
    assert await called_back(quiet, channel, payment) == [ACKNOWLEDGED[channel]], (
        "a yes is evidence"
    )
    assert (await now(quiet, payment))["status"] == "in_doubt"


async def sweep_until_asked(quiet: Shop, payment: dict[str, Any]) -> None:
    """Runs the sweeper until this attempt was queried twice,
    long after every cancel would have been lawful.
    """
    stop = asyncio.Event()
    sweeping = asyncio.create_task(
        Sweeper(quiet.world.store, quiet.world.in_doubt, quiet.world.clock).run(stop)
    )
    number = payment["out_trade_no"]
    await quiet.rows(
        "UPDATE attempt SET due_at = now(), sent_at = sent_at - interval '1 hour' "
        "WHERE out_trade_no = $1",
        number,
    )

    async def asked() -> bool:
        await quiet.rows(
            "UPDATE attempt SET due_at = now() "
            "WHERE out_trade_no = $1 AND due_at > now() + interval '16 s'",
            number,
        )
        return [
            row["queries"]
            for row in await quiet.rows(
                "SELECT queries FROM attempt WHERE out_trade_no = $1", number
            )
        ] >= [2]

    try:
        await until(asked)
    finally:
        stop.set()
        await sweeping


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_18_a_callback_of_an_unknown_number_is_kept_for_a_person(
    quiet: Shop, channel: str
):
    payment = await paid_in_silence(quiet, channel)
    assert await called_back(quiet, channel, payment, forged="order") == [ACKNOWLEDGED[channel]]
    kept = await quiet.rows(
        "SELECT out_trade_no FROM callback WHERE account_id = $1 ORDER BY received_at DESC LIMIT 1",
        quiet.books.accounts[channel],
    )
    stranger = kept[0]["out_trade_no"]
    assert stranger != payment["out_trade_no"]
    assert await cases(quiet, f"{quiet.books.accounts[channel]}:{stranger}") == [
        "callback_unknown_number"
    ]
    assert (await now(quiet, payment))["version"] == payment["version"], (
        "our own payment did not move"
    )


async def test_fault_19_the_callback_before_the_reply(quiet: Shop):
    """Alipay may call back before the pay call is answered."""
    account = quiet.books.accounts["alipay"]
    fault = await bench(quiet).arm(
        "alipay", "pay", "callback_before_reply", account=account, times=1
    )
    paid = (await quiet.pay(990, auth_code=code("alipay"))).document
    assert paid["status"] == "succeeded"
    assert [row["fired"] for row in await bench(quiet).faults() if row["id"] == fault["id"]] == [1]
    said = await quiet.rows(
        "SELECT evidence::json->0->>'source' AS first FROM attempt WHERE out_trade_no = $1",
        paid["out_trade_no"],
    )
    assert [row["first"] for row in said] == ["callback"]
    assert (await now(quiet, paid))["version"] == 2, "the reply that followed was a repeat"


@pytest.mark.parametrize(("channel", "operation"), [("alipay", "cancel"), ("wechat", "close")])
async def test_fault_22_money_after_a_cancel_is_given_back(
    quiet: Shop, channel: str, operation: str
):
    """The channel said "cancelled" and took the diner's money all the same."""
    account = quiet.books.accounts[channel]
    await bench(quiet).arm(channel, operation, "lie_success", account=account, times=1)
    payment = await shown(quiet, channel)
    assert (await ended_by_cancel(quiet, payment))["status"] == "canceled"
    await bench(quiet).pay(payment["out_trade_no"])
    await until(lambda: has_status(quiet, payment, "paid_late"))
    late = await given_back(quiet, payment)
    assert late["verdict"]["code"] == "refunded"
    refunds = (await quiet.office.call("GET", f"/v1/payments/{payment['id']}/refunds")).document[
        "data"
    ]
    assert [(row["origin"], row["status"], row["amount"]) for row in refunds] == [
        ("late", "succeeded", 4_200)
    ]
    assert refunds[0]["refund_no"] == f"late.{payment['out_trade_no']}"
    trade = (await quiet.captured(channel))[payment["out_trade_no"]]
    assert (trade["state"], trade["refunded"]) == ("refunded", 4_200)
    types = [
        row["type"]
        for row in await quiet.rows(
            "SELECT type FROM event WHERE public AND object_id = ANY($1) ORDER BY xid, seq",
            [payment["id"], refunds[0]["id"]],
        )
    ]
    assert [
        kind
        for kind in types
        if kind in ("payment.canceled", "payment.paid_late", "refund.succeeded")
    ] == [
        "payment.canceled",
        "payment.paid_late",
        "refund.succeeded",
    ]


async def test_fault_22_old_news_of_money_that_the_cancel_gave_back(quiet: Shop):
    """Charged and not seen, so cancelled, which gave the money back; then comes the callback of
    that charge: nothing is owed.
    """
    account = quiet.books.accounts["alipay"]
    await bench(quiet).arm("alipay", "pay", "drop_after_charge", account=account, times=1)
    await bench(quiet).arm("alipay", "pay", "callback_after_cancel", account=account, times=1)
    await bench(quiet).arm("alipay", "query", "not_found_for_ms", account=account, delay_ms=60_000)
    payment = (await quiet.pay(990, auth_code=code("alipay"), wait_s=1)).document
    ended = await ended_by_cancel(quiet, payment)
    assert ended["status"] == "canceled", ended
    # Until now the channel would not say what became of the money, and the callback was refused.
    await bench(quiet).disarm()
    await until(lambda: is_applied(quiet, payment))
    still = await now(quiet, payment)
    assert (still["status"], still["verdict"]) == (ended["status"], ended["verdict"])
    told = await quiet.rows(
        "SELECT FROM event WHERE public AND object_id = $1 AND version > $2",
        payment["id"],
        ended["version"],
    )
    assert told == [], "asking again is our own business"
    assert await quiet.rows("SELECT FROM refund WHERE payment_id = $1", payment["id"]) == []
    trade = (await quiet.captured("alipay"))[payment["out_trade_no"]]
    assert [act["act"] for act in trade["history"]] == ["charged", "reversed"]


async def test_fault_22_a_yes_after_a_no_waits_for_the_channels_present_word(quiet: Shop):
    """While the channel cannot be asked, the callback is not acknowledged: it comes again."""
    account = quiet.books.accounts["alipay"]
    await bench(quiet).arm("alipay", "cancel", "lie_success", account=account, times=1)
    payment = await shown(quiet, "alipay")
    assert (await ended_by_cancel(quiet, payment))["status"] == "canceled"
    await bench(quiet).arm("alipay", "callback", "drop_before", account=account, times=1)
    await bench(quiet).arm("alipay", "query", "http_500_before", account=account, times=1)
    await bench(quiet).pay(payment["out_trade_no"])
    assert await called_back(quiet, "alipay", payment) == [REFUSED["alipay"]]
    assert ((await now(quiet, payment))["status"], await inbox(quiet, payment)) == (
        "canceled",
        [False],
    )
    assert await called_back(quiet, "alipay", payment) == [ACKNOWLEDGED["alipay"]]
    assert ((await now(quiet, payment))["status"], await inbox(quiet, payment)) == (
        "paid_late",
        [True],
    )


async def is_applied(quiet: Shop, payment: dict[str, Any]) -> bool:
    return await inbox(quiet, payment) == [True]


async def has_status(quiet: Shop, payment: dict[str, Any], status: str) -> bool:
    return bool((await now(quiet, payment))["status"] == status)


async def ended_by_cancel(quiet: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """Cancelled by the till, and swept until it is final."""
    await quiet.till.cancel(payment["id"], wait_s=0)
    stop = asyncio.Event()
    sweeping = asyncio.create_task(
        Sweeper(quiet.world.store, quiet.world.in_doubt, quiet.world.clock).run(stop)
    )
    try:
        return await quiet.settled(payment["id"])
    finally:
        stop.set()
        await sweeping


async def given_back(quiet: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """Swept until its automatic refund is decided."""
    stop = asyncio.Event()
    sweeping = asyncio.create_task(
        Sweeper(quiet.world.store, quiet.world.in_doubt, quiet.world.clock).run(stop)
    )
    try:
        await until(lambda: no_refund_is_open(quiet, payment))
    finally:
        stop.set()
        await sweeping
    return await now(quiet, payment)


async def no_refund_is_open(quiet: Shop, payment: dict[str, Any]) -> bool:
    rows = await quiet.rows("SELECT status FROM refund WHERE payment_id = $1", payment["id"])
    return bool(rows) and all(
        row["status"] not in ("requested", "processing", "in_doubt") for row in rows
    )


async def test_fault_20_bad_addresses_and_bodies(quiet: Shop):
    before = await digests(quiet.books.dsn)
    ours = quiet.books.accounts["wechat"]
    async with aiohttp.ClientSession() as session:
        for account, body, expected in (
            (ours, b"x" * 65_537, 413),
            ("acct_nobody", b"{}", 404),
            (quiet.books.accounts["cash"], b"{}", 404),
            ("../../etc/passwd", b"{}", 404),
            (ours, b"", 401),
            (ours, b"\xff\xfe{", 401),
            (quiet.books.accounts["alipay"], b"sign=%00&a=b", 400),
        ):
            async with session.post(f"{quiet.base_url}/callbacks/{account}", data=body) as answer:
                assert answer.status == expected, (account, body[:20], await answer.text())
    assert await digests(quiet.books.dsn) == before


async def test_and_the_books_agree(quiet: Shop):
    """All of the above, swept to its end.

    Two channels lied about a cancel, so money did come after a no.
    """
    stop = asyncio.Event()
    sweeping = asyncio.create_task(
        Sweeper(quiet.world.store, quiet.world.in_doubt, quiet.world.clock).run(stop)
    )
    try:
        await until(lambda: agree(quiet))
    finally:
        stop.set()
        await sweeping


async def agree(quiet: Shop) -> bool:
    violations = await audit(quiet.books.dsn, bench(quiet).control_url, honest=False)
    return len(violations) == 0
