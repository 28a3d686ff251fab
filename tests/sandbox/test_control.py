"""The control API: what it answers, and how it refuses."""

import json
import re
from typing import Any

import aiohttp
import pytest

from tests.sandbox.conftest import MERCHANTS
from tests.sandbox_process import ROOT, SandboxProcess, SandboxRefusedError


async def test_enrolment(
    sandbox: SandboxProcess,
    enrolled: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.raises(SandboxRefusedError, match="enrolled") as refused:
        await sandbox.enroll("alipay", "shop")
    assert refused.value.status == 409
    listed = json.dumps(await sandbox.accounts())
    for credentials in enrolled.values():
        for name in ("app_private_key", "merchant_private_key", "api_v3_key"):
            assert credentials.get(name, "-----BEGIN PRIVATE") not in listed
    assert "PRIVATE" not in listed
    for terms, words in (
        ({"mode": "sm2"}, "mode"),
        ({"profile": "fast"}, "profile"),
        ({"colour": "red"}, "colour"),
    ):
        with pytest.raises(SandboxRefusedError, match=words):
            await sandbox.enroll("wechat", "other", **terms)


async def test_the_ledger_is_paged(sandbox: SandboxProcess, enrolled: Any) -> None:
    rows = await sandbox.ledger("alipay")
    first = await sandbox._call("GET", "ledger?channel=alipay&limit=1")
    assert [row["channel"] for row in rows] == ["alipay"] * len(rows)
    assert first["data"] == rows[:1]
    assert first["next_cursor"] == ("1" if len(rows) > 1 else None)
    with pytest.raises(SandboxRefusedError, match="next_cursor"):
        await sandbox._call("GET", "ledger?cursor=x")


# path, body, status, words
REFUSALS = [
    ("pay", {"out_trade_no": "nobody"}, 404, "no channel account"),
    ("pay", {}, 422, "out_trade_no"),
    (
        "callbacks",
        {"channel": "alipay", "account": "shop", "out_trade_no": "nobody"},
        404,
        "knows no out_trade_no",
    ),
    (
        "callbacks",
        {"channel": "alipay", "account": "shop", "out_trade_no": "x", "forged": "name"},
        422,
        "seller_or_mchid",
    ),
    (
        "callbacks",
        {"channel": "alipay", "account": "shop", "out_trade_no": "x", "forged": "signtest"},
        422,
        "Alipay sends none",
    ),
    (
        "callbacks",
        {"channel": "alipay", "account": "shop", "out_trade_no": "x", "times": 0},
        422,
        "times",
    ),
    ("settings", {"channel": "alipay", "colour": 1}, 422, "colour"),
    ("settings", {"channel": "alipay", "colour": 1}, 422, "notify_empty_fields"),  # what there is
    ("settings", {"channel": "alipay", "user_paying_status": 200}, 422, "user_paying_status"),
    ("settings", {"channel": "wechat", "user_paying_status": 201}, 422, "user_paying_status"),
    ("settings", {"channel": "wechat", "close_may_repeat": "yes"}, 422, "close_may_repeat"),
    ("settings", {"channel": "cheques"}, 422, "channel"),
    ("settings", {}, 422, "channel"),
    ("settings", [], 422, "object"),
    ("settings", {"channel": "alipay", "query_lag_ms_max": -1}, 422, "query_lag_ms_max"),
    (
        "faults",
        {"channel": "alipay", "operation": "pay", "fault": "drop_before", "account": "nobody"},
        404,
        "not enrolled",
    ),
    (
        "faults",
        {"channel": "alipay", "operation": "pay", "fault": "drop_before", "probability": 2},
        422,
        "probability",
    ),
    (
        "faults",
        {"channel": "alipay", "operation": "pay", "fault": "drop_before", "host": "third"},
        422,
        "host",
    ),
    (
        "faults",
        {"channel": "alipay", "operation": "callback", "fault": "drop_before", "host": "main"},
        422,
        "none of its hosts",
    ),
    (
        "faults",
        {"channel": "wechat", "operation": "refund", "fault": "callback_late", "host": "main"},
        422,
        "none of its hosts",
    ),
    ("nothing", {}, 404, "nothing"),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), REFUSALS)
async def test_refusals(
    *,
    sandbox: SandboxProcess,
    enrolled: Any,
    path: str,
    body: dict[str, Any],
    status: int,
    words: str,
) -> None:
    with pytest.raises(SandboxRefusedError, match=words) as refused:
        await sandbox._call("POST", path, body)
    assert refused.value.status == status


async def test_every_setting_is_described_and_no_other(sandbox: SandboxProcess) -> None:
    text = (ROOT / "sandbox/README.md").read_text()
    described = re.findall(r"^\| (?:(\w+) )?`(\w+)` \| `([^`]+)` \|", text, re.MULTILINE)
    real = {
        channel: {name for name in await sandbox.settings(channel) if name != "channel"}
        for channel in MERCHANTS
    }
    everywhere = set.intersection(*real.values())
    own = {(channel, name) for channel, names in real.items() for name in names - everywhere}
    assert {(channel, name) for channel, name, _ in described} == own | {
        ("", name) for name in everywhere
    }


async def test_a_refused_setting_changes_none(sandbox: SandboxProcess, undisturbed: None) -> None:
    before = await sandbox.settings("alipay")
    assert before["channel"] == "alipay"
    with pytest.raises(SandboxRefusedError, match="voucher_fen"):
        await sandbox.settings("alipay", clock_offset_ms=1, voucher_fen=-1)
    assert await sandbox.settings("alipay") == before
    changed = await sandbox.settings("alipay", voucher_fen=1)
    assert changed == before | {"voucher_fen": 1}


async def test_a_number_at_two_accounts_has_to_be_told_apart(
    sandbox: SandboxProcess, merchants: dict[str, Any], number: str
) -> None:
    for merchant in merchants.values():
        await merchant.precreate(number)
    with pytest.raises(SandboxRefusedError, match="name channel and account"):
        await sandbox.pay(number)
    assert (await sandbox.pay(number, channel="wechat"))["state"] == "charged"


async def test_a_callback_of_an_unpaid_trade_can_only_be_forged(
    sandbox: SandboxProcess, merchants: dict[str, Any], number: str
) -> None:
    await merchants["wechat"].precreate(number)
    with pytest.raises(SandboxRefusedError, match="never paid"):
        await sandbox.callbacks("wechat", "shop", number)
    assert (
        len(
            await sandbox.callbacks(
                "wechat", "shop", number, forged="signature", notify_url="http://127.0.0.1:1/"
            )
        )
        == 1
    )


async def test_health_names_the_channels(sandbox: SandboxProcess) -> None:
    health = await sandbox._call("GET", "health")
    assert health["status"] == "ok"
    assert set(health["channels"]) >= set(MERCHANTS)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"", 200),
        ({"Content-Type": "application/json"}, b"{}", 422),
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Origin": "https://evil.example"}, b"", 403),
        ({"Origin": "null"}, b"", 403),
        ({"Host": "evil.example"}, b"", 403),
        ({"Host": "localhost:1"}, b"", 200),
        ({"Host": "[::1"}, b"", 403),
        ({"Host": "127.0.0.1.evil.example"}, b"", 403),
    ],
)
async def test_only_programs_on_this_machine_may_ask(
    sandbox: SandboxProcess, headers: dict[str, str], body: bytes, status: int
) -> None:
    """No page that is open in a browser arms a fault or pays."""
    method, path = ("POST", "pay") if body else ("GET", "health")
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, f"{sandbox.control_url}/_control/{path}", data=body or None, headers=headers
        ) as answer,
    ):
        assert answer.status == status
