"""Callbacks: who gets one, how it is resent, and how each fault bends it.

The SDKs judge the signatures.
"""

import time
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.sandbox.conftest import Inbox, until
from tests.sandbox_process import SandboxProcess, SandboxRefusedError


def read(merchant: Any, inbox: Inbox) -> list[dict[str, Any] | None]:
    """What the merchant's SDK makes of each callback; None is a bad signature."""
    return [merchant.read_callback(headers, body) for headers, body in inbox.arrived]


async def paid_by_qr(sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str) -> None:
    merchant.notify_url = inbox.url
    await merchant.precreate(number)
    await sandbox.pay(number, channel=merchant.channel)


async def test_a_paid_qr_is_told(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str
) -> None:
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(1)
    fields = read(merchant, inbox)[0]
    assert fields
    assert fields["out_trade_no"] == number
    assert fields.get("trade_status", fields.get("trade_state")) in {"TRADE_SUCCESS", "SUCCESS"}


async def test_alipay_tells_a_barcode_payment_and_its_refund(
    alipay: Any, inbox: Inbox, codes: Any, number: str
) -> None:
    alipay.notify_url = inbox.url
    await alipay.pay(number, codes("28"), 250)
    await inbox.wait_for(1)
    await alipay.refund(number, "r1", 100)
    await inbox.wait_for(2)
    paid, refunded = read(alipay, inbox)
    assert paid
    assert refunded
    assert (paid["total_amount"], "body" in paid, paid["refund_fee"]) == ("2.50", False, "0.00")
    assert {"out_biz_no", "gmt_refund"}.isdisjoint(paid)
    assert (refunded["trade_status"], refunded["refund_fee"], refunded["out_biz_no"]) == (
        "TRADE_SUCCESS",
        "1.00",
        "r1",
    )


async def test_wechat_tells_no_barcode_payment(
    sandbox: SandboxProcess, wechat: Any, codes: Any, number: str
) -> None:
    await wechat.pay(number, codes("13"))
    with pytest.raises(SandboxRefusedError, match="no notify_url"):
        await sandbox.callbacks("wechat", "shop", number)


@pytest.mark.parametrize("bad", [(500, b""), (200, b"SUCCESS"), (302, b"success")])
async def test_resent_until_acknowledged(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str, bad: tuple[int, bytes]
) -> None:
    if merchant.channel == "wechat" and bad[0] == 200:
        bad = (404, b"")
    inbox.answers = [bad, bad]
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(3)
    assert all(read(merchant, inbox))


async def test_duplicates(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str
) -> None:
    await sandbox.arm(merchant.channel, "precreate", "callback_duplicate", times=1)
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(3)
    assert all(read(merchant, inbox))


async def test_held_until_disarmed(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str
) -> None:
    await sandbox.arm(merchant.channel, "callback", "callback_hold", times=1)
    await paid_by_qr(sandbox, merchant, inbox, number)
    await sandbox.ledger()
    assert inbox.arrived == []
    assert (await sandbox.disarm())[0]["fired"] == 1
    await inbox.wait_for(1)


async def test_late(sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str) -> None:
    await sandbox.arm(merchant.channel, "callback", "callback_late", times=1, delay_ms=1_000)
    await paid_by_qr(sandbox, merchant, inbox, number)
    await paid_by_qr(sandbox, merchant, inbox, f"X{number}")
    await inbox.wait_for(2)
    assert [(fields or {})["out_trade_no"] for fields in read(merchant, inbox)] == [
        f"X{number}",
        number,
    ]


async def test_before_the_reply(
    sandbox: SandboxProcess, alipay: Any, inbox: Inbox, codes: Any, number: str
) -> None:
    await sandbox.arm("alipay", "pay", "callback_before_reply", times=1)
    alipay.notify_url = inbox.url
    answer = await alipay.pay(number, codes("28"))
    assert (answer.said, len(inbox.arrived)) == ("ok", 1)


async def test_refund_callback_before_the_refunds_reply(
    *, sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str
) -> None:
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(1)
    await sandbox.arm(merchant.channel, "refund", "callback_before_reply", times=1)
    await merchant.refund(number, f"R{number}", 40)
    assert len(inbox.arrived) == 2
    assert (await sandbox.faults())[0]["fired"] == 1


async def test_after_cancel(
    sandbox: SandboxProcess, alipay: Any, inbox: Inbox, codes: Any, number: str
) -> None:
    await sandbox.arm("alipay", "pay", "callback_after_cancel", times=1)
    alipay.notify_url = inbox.url
    await alipay.pay(number, codes("28"))
    await sandbox.ledger()
    assert inbox.arrived == []
    await alipay.cancel(number)
    await inbox.wait_for(1)
    assert (read(alipay, inbox)[0] or {})["trade_status"] == "TRADE_SUCCESS"


@pytest.mark.parametrize(("fault", "genuine"), [
    ("callback_forged", [False, True]),
    ("signtest_probe", [False, True]),
    ("bad_signature", [False]),
    ("wrong_amount", [True]),
    ("wrong_order", [True]),
])  # fmt: skip
async def test_bent_callbacks(
    *,
    sandbox: SandboxProcess,
    merchant: Any,
    inbox: Inbox,
    number: str,
    fault: str,
    genuine: list[bool],
) -> None:
    if fault == "signtest_probe" and merchant.channel == "alipay":
        pytest.skip("the probe is WeChat Pay's")
    await sandbox.arm(merchant.channel, "callback", fault, times=1)
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(len(genuine))
    heard = read(merchant, inbox)
    assert [fields is not None for fields in heard] == genuine
    if fault == "wrong_order":
        assert (heard[0] or {})["out_trade_no"] != number
    if fault == "wrong_amount":
        assert "1.01" in str(heard[0]) or "101" in str(heard[0])


async def test_lost_callback_is_counted(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str
) -> None:
    await sandbox.arm(merchant.channel, "callback", "drop_before", times=1)
    await paid_by_qr(sandbox, merchant, inbox, number)
    await until(lambda: _fired(sandbox), 1)
    assert inbox.arrived == []


@pytest.mark.parametrize(("forged", "genuine", "field"), [
    (None, True, ""),
    ("signature", False, ""),
    ("amount", True, "total_amount amount"),
    ("app", True, "app_id appid"),
    ("seller_or_mchid", True, "seller_id mchid"),
    ("order", True, "out_trade_no"),
])  # fmt: skip
async def test_sent_by_hand(
    *,
    sandbox: SandboxProcess,
    merchant: Any,
    inbox: Inbox,
    number: str,
    forged: str | None,
    genuine: bool,
    field: str,
) -> None:
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(1)
    answers = await sandbox.callbacks(merchant.channel, "shop", number, forged=forged, times=5)
    assert answers == [{"status": 200, "body": "success"}] * 5
    honest, *sent = read(merchant, inbox)
    assert [fields is not None for fields in sent] == [genuine] * 5
    for name in field.split():
        for fields in sent:
            assert name not in (honest or {}) or (fields or {})[name] != (honest or {})[name]


async def test_signtest_and_stale_timestamp_by_hand(
    sandbox: SandboxProcess, wechat: Any, inbox: Inbox, number: str
) -> None:
    await paid_by_qr(sandbox, wechat, inbox, number)
    await inbox.wait_for(1)
    await sandbox.callbacks("wechat", "shop", number, forged="signtest")
    assert inbox.arrived[-1][0]["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    await sandbox.callbacks("wechat", "shop", number, forged="stale_timestamp")
    assert int(inbox.arrived[-1][0]["Wechatpay-Timestamp"]) < time.time() - 300
    assert read(wechat, inbox)[1] is None


async def test_refund_callbacks_name_the_refund(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, codes: Any, number: str
) -> None:
    merchant.notify_url = inbox.url
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(1)
    await merchant.refund(number, f"R{number}", 40)
    await inbox.wait_for(2)
    fields = read(merchant, inbox)[1]
    assert fields
    assert f"R{number}" in {fields.get("out_biz_no"), fields.get("out_refund_no")}
    assert fields.get("trade_status", fields.get("refund_status")) in {"TRADE_SUCCESS", "SUCCESS"}


async def test_a_notify_may_tell_no_refund_fee(
    sandbox: SandboxProcess, alipay: Any, inbox: Inbox, number: str
) -> None:
    await sandbox.settings("alipay", refund_fee_is_always_told=False)
    await paid_by_qr(sandbox, alipay, inbox, number)
    await inbox.wait_for(1)
    [fields] = read(alipay, inbox)
    assert "refund_fee" not in (fields or {"refund_fee": "unread"})


@pytest.mark.parametrize("is_notified", [False, True])
async def test_alipay_tells_a_closed_trade_only_when_that_was_ordered(
    *, sandbox: SandboxProcess, alipay: Any, inbox: Inbox, number: str, is_notified: bool
) -> None:
    await sandbox.settings("alipay", closed_is_notified=is_notified)
    await paid_by_qr(sandbox, alipay, inbox, number)
    await inbox.wait_for(1)
    await alipay.refund(number, "r1", 40)
    await inbox.wait_for(2)
    await alipay.refund(number, "r2", 60)  # closes the trade
    await paid_by_qr(sandbox, alipay, inbox, f"X{number}")
    await inbox.wait_for(3 + is_notified)
    told = [(fields or {}).get("trade_status") for fields in read(alipay, inbox)]
    assert told.count("TRADE_CLOSED") == is_notified


FIELDS = {"body": "桌号 8", "passback_params": "till%3D3"}


@pytest.mark.parametrize("call", ["pay", "precreate"])
async def test_alipay_says_again_what_the_merchant_said(
    *, sandbox: SandboxProcess, alipay: Any, inbox: Inbox, codes: Any, number: str, call: str
) -> None:
    alipay.notify_url = inbox.url
    biz = {"out_trade_no": number, "subject": "tea", "total_amount": "1.00"} | FIELDS
    if call == "pay":
        biz |= {"auth_code": codes("28")}  # the scene is bar_code when none is said
    assert (await alipay.call(f"alipay.trade.{call}", biz)).said == "ok"
    if call == "precreate":
        await sandbox.pay(number, channel="alipay")
    await inbox.wait_for(1)
    told = read(alipay, inbox)[0] or {}
    assert {name: told[name] for name in FIELDS} == FIELDS


@pytest.mark.parametrize(("empty", "by_text", "by_filled"), [
    # what verifies a notify: the text of the documentation, which keeps empty values in; alipay's
    # own Java SDK, which leaves them out
    ("none", True, True),
    ("signed", True, False),
    ("unsigned", False, True),
])  # fmt: skip
async def test_alipay_sends_no_empty_field_so_that_every_reading_verifies(
    *,
    sandbox: SandboxProcess,
    alipay: Any,
    inbox: Inbox,
    number: str,
    empty: str,
    by_text: bool,
    by_filled: bool,
) -> None:
    await sandbox.settings("alipay", notify_empty_fields=empty)
    await paid_by_qr(sandbox, alipay, inbox, number)
    [(_, body)] = await inbox.wait_for(1)
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    filled = {name: value for name, value in fields.items() if value}
    assert (fields == filled) == (empty == "none")
    signature = fields.pop("sign")
    filled.pop("sign")
    assert alipay.sdk.verify(dict(fields), signature) == by_text
    assert alipay.sdk.verify(dict(filled), signature) == by_filled


@pytest.mark.parametrize(("switch", "said", "copies"), [
    (False, b"success", 1),
    (False, b"SUCCESS", 2),
    (True, b"SUCCESS", 1),
    (True, b"done", 2),
])  # fmt: skip
async def test_what_acknowledges_an_alipay_notify(
    *,
    sandbox: SandboxProcess,
    alipay: Any,
    inbox: Inbox,
    number: str,
    switch: bool,
    said: bytes,
    copies: int,
) -> None:
    await sandbox.settings("alipay", acknowledged_in_any_case=switch)
    inbox.answers = [(200, said)]
    await paid_by_qr(sandbox, alipay, inbox, number)
    await inbox.wait_for(copies)
    # Another trade's callback goes the same way: what comes before it is all there is.
    await paid_by_qr(sandbox, alipay, inbox, f"X{number}")
    await inbox.wait_for(copies + 1)
    told = [(fields or {})["out_trade_no"] for fields in read(alipay, inbox)]
    assert told == [number] * copies + [f"X{number}"]


async def test_a_merchant_that_does_not_answer_is_reported(
    sandbox: SandboxProcess, merchant: Any, inbox: Inbox, number: str
) -> None:
    await paid_by_qr(sandbox, merchant, inbox, number)
    await inbox.wait_for(1)
    answers = await sandbox.callbacks(
        merchant.channel, "shop", number, notify_url="http://127.0.0.1:1/none"
    )
    assert answers[0]["status"] == 0


async def _fired(sandbox: SandboxProcess) -> int:
    return int((await sandbox.faults())[0]["fired"])
