"""What channels say unasked: once, late, early, forged, about others.

No sweeper runs here, so every effect is a callback's.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from adapters.discovery import discover
from tests.adversity.house import until
from tests.adversity.quiet_shop import (
    ACKNOWLEDGED,
    REFUSED,
    books_agree,
    called_back,
    cases,
    inbox,
    is_applied,
    knows,
    now,
    paid_in_silence,
    shown,
    sweeping,
)
from tests.adversity.tables import digests
from tests.sandbox_process import SandboxProcess
from tests.wallet_codes import code
from tests.world import Books, Shop, provisioned

REMOTE = sorted(name for name, manifest in discover().items() if manifest.settles == "remote")
FORGERIES = {
    "alipay": ("signature", "app", "seller_or_mchid"),
    "wechat": ("signature", "app", "seller_or_mchid", "signtest", "stale_timestamp"),
}


@pytest.fixture(scope="module")
async def neighbour(quiet: Shop, sandbox: SandboxProcess) -> Books:
    """Another merchant of the same gateway."""
    books = await provisioned(quiet.books.settings, sandbox, f"{quiet.books.merchant_id[-6:]}_next")
    await until(lambda: knows(quiet, books))
    return books


@pytest.mark.parametrize("channel", REMOTE)
async def test_fault_19_a_genuine_callback_settles_without_a_query(quiet: Shop, channel: str):
    payment = await shown(quiet, channel)
    await quiet.sandbox.pay(payment["out_trade_no"])
    paid = await quiet.settled(payment["id"])
    # The payment is told first; then its callback is noted as applied.
    await until(lambda: is_applied(quiet, payment))
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

    async with sweeping(quiet):
        await until(asked)


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
    fault = await quiet.sandbox.arm(
        "alipay", "pay", "callback_before_reply", account=account, times=1
    )
    paid = (await quiet.pay(990, auth_code=code("alipay"))).document
    assert paid["status"] == "succeeded"
    assert [row["fired"] for row in await quiet.sandbox.faults() if row["id"] == fault["id"]] == [1]
    said = await quiet.rows(
        "SELECT evidence::json->0->>'source' AS first FROM attempt WHERE out_trade_no = $1",
        paid["out_trade_no"],
    )
    assert [row["first"] for row in said] == ["callback"]
    assert (await now(quiet, paid))["version"] == 2, "the reply that followed was a repeat"


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
    """All of the above, swept to its end."""
    await books_agree(quiet)
