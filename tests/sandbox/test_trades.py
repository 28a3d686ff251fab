"""Numbers, codes and money: what the channels remember, and what each act does to a trade."""

import asyncio
import datetime as dt
import functools
from typing import Any

import pytest

from tests.sandbox.conftest import row_of, state_of, until
from tests.sandbox.merchants import CHINA, LOST
from tests.sandbox_process import SandboxProcess, SandboxRefusedError

# last two digits, what alipay says, what wechat says, the ledger's state
MAGIC = [
    ("00", "ok", "SUCCESS", "charged"),
    ("01", "ACQ.BUYER_BALANCE_NOT_ENOUGH", "NOT_ENOUGH", "closed"),
    ("02", "ACQ.PAYMENT_AUTH_CODE_INVALID", "AUTH_CODE_EXPIRED", "closed"),
    ("03", "typing", "typing", "pending"),
    ("04", "typing", "typing", "pending"),
    ("05", LOST, LOST, "charged"),
    ("06", LOST, LOST, None),
    ("07", "ACQ.SYSTEM_ERROR", "SYSTEM_ERROR", None),
    ("99", "ok", "SUCCESS", "charged"),
]


@pytest.mark.parametrize(("last", "alipay_says", "wechat_says", "state"), MAGIC)
async def test_magic_codes(
    *,
    sandbox: SandboxProcess,
    merchant: Any,
    codes: Any,
    number: str,
    last: str,
    alipay_says: str,
    wechat_says: str,
    state: str | None,
) -> None:
    answer = await merchant.pay(number, codes(merchant.code_prefix, last))
    assert answer.said == {"alipay": alipay_says, "wechat": wechat_says}[merchant.channel]
    assert await state_of(sandbox, merchant.channel, number) == state


# What happened to the number before; what a second pay hears with the same content, and with
# another amount; each at Alipay and at WeChat Pay.
PAYS = ("ok", "SUCCESS")
GONE = ("ACQ.TRADE_HAS_CLOSE", "ORDERREVERSED")
DIFFERS = ("ACQ.CONTEXT_INCONSISTENT", "OUT_TRADE_NO_USED")
AGAIN = [
    ("never", PAYS, PAYS),
    ("declined", PAYS, PAYS),
    ("typing", PAYS, DIFFERS),
    ("paid", ("ACQ.TRADE_HAS_SUCCESS", "ORDER_PAID"), DIFFERS),
    ("reversed", GONE, GONE),
    ("cancelled", GONE, GONE),
]


@pytest.mark.parametrize("other_amount", [False, True])
@pytest.mark.parametrize(("before", "same", "other"), AGAIN, ids=[row[0] for row in AGAIN])
async def test_the_same_number_again(
    *,
    merchant: Any,
    codes: Any,
    number: str,
    before: str,
    same: Any,
    other: Any,
    other_amount: bool,
) -> None:
    last = {"typing": "04", "cancelled": "04", "declined": "01"}.get(before, "00")
    if before != "never":
        await merchant.pay(number, codes(merchant.code_prefix, last))
    if before in {"reversed", "cancelled"}:
        assert (await merchant.cancel(number)).said == "ok"
    answer = await merchant.pay(number, codes(merchant.code_prefix), 101 if other_amount else 100)
    assert answer.said == (other if other_amount else same)[merchant.channel == "wechat"]
    assert answer.genuine


@pytest.mark.parametrize("last", ["00", "01", "04"])
async def test_a_code_works_once_even_when_the_payment_failed(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str, last: str
) -> None:
    code = codes(merchant.code_prefix, last)
    await merchant.pay(number, code)
    answer = await merchant.pay(f"X{number}", code)
    assert answer.said in {"ACQ.PAYMENT_AUTH_CODE_INVALID", "AUTH_CODE_INVALID"}
    assert await state_of(sandbox, merchant.channel, f"X{number}") is None


async def test_cancel_of_a_number_never_seen_is_no_tombstone(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    answer = await merchant.cancel(number)
    if merchant.channel == "alipay":
        assert (answer.said, answer["retry_flag"], "action" in (answer.document or {})) == (
            "ok",
            "N",
            False,
        )
    else:
        assert (answer.status, answer.said) == (404, "ORDER_NOT_EXIST")
    assert (await merchant.pay(number, codes(merchant.code_prefix))).said in {"ok", "SUCCESS"}


async def test_cancel_is_a_tombstone_when_the_setting_says_so(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    try:
        assert (await sandbox.settings(merchant.channel, cancel_is_tombstone=True))[
            "cancel_is_tombstone"
        ] is True
        assert [(await merchant.cancel(number)).said for _ in range(2)] == ["ok", "ok"]
    finally:
        await sandbox.settings(merchant.channel, cancel_is_tombstone=False)
    assert (await merchant.pay(number, codes(merchant.code_prefix))).said in {
        "ACQ.TRADE_HAS_CLOSE",
        "ORDERREVERSED",
    }


async def test_cancel_gives_back_once_and_repeats_its_answer(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix))
    first, second = await asyncio.gather(merchant.cancel(number), merchant.cancel(number))
    assert first.document == second.document
    row = await row_of(sandbox, merchant.channel, number)
    assert [entry["act"] for entry in (row or {})["history"]] == ["charged", "reversed"]
    assert (await merchant.query(number)).said in {"TRADE_CLOSED", "REVOKED"}


async def test_fifty_tills_charge_one_number_once(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    answers = await asyncio.gather(
        *(merchant.pay(number, codes(merchant.code_prefix)) for _ in range(50))
    )
    assert sum(answer.said in {"ok", "SUCCESS"} for answer in answers) == 1
    row = await row_of(sandbox, merchant.channel, number)
    assert [entry["act"] for entry in (row or {})["history"]] == ["charged"]


async def test_refunds_add_up_and_happen_once(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix), 100)
    await asyncio.gather(*(merchant.refund(number, f"a{number}", 60) for _ in range(5)))
    assert (await merchant.refund(number, f"a{number}", 59)).said in {
        "ACQ.DISCORDANT_REPEAT_REQUEST",
        "PARAM_ERROR",
    }
    assert (await merchant.refund(number, f"b{number}", 41)).said in {
        "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
        "INVALID_REQUEST",
    }
    assert (await merchant.refund(number, f"b{number}", 40)).said in {"ok", "PROCESSING"}
    assert (await merchant.refund(f"X{number}", "c", 1)).said in {
        "ACQ.TRADE_NOT_EXIST",
        "RESOURCE_NOT_EXISTS",
    }
    await until(lambda: _refunded(sandbox, merchant.channel, number), 100)
    assert (await merchant.query(number)).said in {"TRADE_CLOSED", "REFUND"}
    assert (await merchant.refund_query(number, f"b{number}")).said in {"REFUND_SUCCESS", "SUCCESS"}
    assert (await merchant.cancel(number)).said in {"ACQ.CANCEL_NOT_ALLOWED", "TRADE_ERROR"}


async def test_qr_before_and_after_the_scan(
    sandbox: SandboxProcess, merchant: Any, number: str
) -> None:
    shown, again = await merchant.precreate(number), await merchant.precreate(number)
    assert shown.document == again.document
    assert (await merchant.precreate(number, 101)).said in {
        "ACQ.CONTEXT_INCONSISTENT",
        "OUT_TRADE_NO_USED",
    }
    assert (await merchant.query(number)).said == {
        "alipay": "ACQ.TRADE_NOT_EXIST",
        "wechat": "NOTPAY",
    }[merchant.channel]
    if merchant.channel == "alipay":
        assert "action" not in ((await merchant.cancel(number)).document or {})
        assert (await merchant.close(number)).said == "ACQ.TRADE_NOT_EXIST"
    row = await sandbox.pay(number, channel=merchant.channel)
    assert row["state"] == "charged"
    assert (await merchant.query(number)).said in {"TRADE_SUCCESS", "SUCCESS"}
    assert (await merchant.close(number)).said in {"ACQ.TRADE_STATUS_ERROR", "ORDER_PAID"}
    with pytest.raises(SandboxRefusedError, match="charged"):
        await sandbox.pay(number, channel=merchant.channel)


async def test_a_closed_qr_cannot_be_paid(
    sandbox: SandboxProcess, merchant: Any, number: str
) -> None:
    await merchant.precreate(number)
    if merchant.channel == "alipay":
        await sandbox.pay(number, channel="alipay", only_scan=True)
        assert (await merchant.query(number)).said == "WAIT_BUYER_PAY"
    assert (await merchant.close(number)).said == "ok"
    with pytest.raises(SandboxRefusedError, match="closed"):
        await sandbox.pay(number, channel=merchant.channel)
    assert (await merchant.query(number)).said in {"TRADE_CLOSED", "CLOSED"}


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_a_second_close_hears_that_the_order_is_closed(
    *, sandbox: SandboxProcess, wechat: Any, number: str, may_repeat: bool
) -> None:
    await sandbox.settings("wechat", close_may_repeat=may_repeat)
    await wechat.precreate(number)
    assert (await wechat.close(number)).status == 204
    again = await wechat.close(number)
    assert (again.status, again.said, again.genuine) == (
        (204, "ok", True) if may_repeat else (400, "ORDER_CLOSED", True)
    )


@pytest.mark.parametrize("status", [200, 202])
async def test_typing_is_accepted_and_not_done(
    *, sandbox: SandboxProcess, wechat: Any, codes: Any, number: str, status: int
) -> None:
    if status == 200:
        await sandbox.settings("wechat", user_paying_status=200)
    code = codes("13", "04")
    for _ in range(2):  # a repeat with the same code hears the same
        answer = await wechat.pay(number, code)
        assert (answer.status, answer.said, answer["trade_type"]) == (status, "typing", "MICROPAY")
    assert (await wechat.query(number)).status == 200


FUNDS = ["fund_bill_list", "voucher_detail_list", "mdiscount_amount"]
NONE = ("0.00", "0.00", "0.00", "0.00")
PAID = ("0.80", "0.80", "0.80", "0.00")
AMOUNTS = ("receipt_amount", "buyer_pay_amount", "invoice_amount", "point_amount")


@pytest.mark.parametrize(("unasked", "options", "amounts", "lists"), [
    (False, None, NONE, []),
    (False, [], NONE, []),
    (False, ["mdiscount_amount"], NONE, ["mdiscount_amount"]),
    (False, FUNDS, PAID, FUNDS),
    (True, None, PAID, FUNDS),
])  # fmt: skip
async def test_alipay_tells_the_funds_to_those_who_ask(
    *,
    sandbox: SandboxProcess,
    alipay: Any,
    codes: Any,
    number: str,
    unasked: bool,
    options: list[str] | None,
    amounts: tuple[str, ...],
    lists: list[str],
) -> None:
    await sandbox.settings("alipay", voucher_fen=20, lists_are_unasked=unasked)
    extra = {} if options is None else {"query_options": options}
    paid = await alipay.pay(number, codes("28"), 100, **extra)
    asked = await alipay.call("alipay.trade.query", {"out_trade_no": number} | extra)
    assert (asked.said, asked["total_amount"]) == ("TRADE_SUCCESS", "1.00")
    assert tuple(asked[name] for name in AMOUNTS) == amounts
    assert tuple(paid[name] for name in AMOUNTS) == PAID  # a pay always tells the amounts
    for answer in (paid, asked):
        document = answer.document or {}
        assert [name for name in FUNDS if name in document] == lists
    if lists == FUNDS:
        [voucher] = asked["voucher_detail_list"]
        assert (voucher["merchant_contribute"], voucher["other_contribute"]) == ("0.20", "0.00")
        assert [one["amount"] for one in asked["fund_bill_list"]] == ["0.80", "0.20"]


async def test_alipay_takes_a_face_for_a_code(
    sandbox: SandboxProcess, alipay: Any, number: str
) -> None:
    face = "fp" + f"{number}0aZ".rjust(33, "x")
    answer = await alipay.pay(number, face, scene="security_code")
    assert (answer.said, answer.genuine) == ("ok", True)
    again = await alipay.pay(f"X{number}", face, scene="security_code")
    assert again.said == "ACQ.PAYMENT_AUTH_CODE_INVALID"  # it works once


async def test_an_expired_qr_is_dead(sandbox: SandboxProcess, alipay: Any, number: str) -> None:
    expires = (dt.datetime.now(CHINA) + dt.timedelta(seconds=1.5)).strftime("%Y-%m-%d %H:%M:%S")
    biz = {"out_trade_no": number, "subject": "tea", "total_amount": "1.00", "time_expire": expires}
    assert (await alipay.call("alipay.trade.precreate", biz)).said == "ok"
    await until(functools.partial(state_of, sandbox, "alipay", number), "closed")
    assert (await alipay.query(number)).said == "ACQ.TRADE_NOT_EXIST"
    with pytest.raises(SandboxRefusedError, match="closed"):
        await sandbox.pay(number)


async def test_an_unpaid_barcode_order_closes_by_itself_at_wechat(
    sandbox: SandboxProcess, wechat: Any, codes: Any, number: str
) -> None:
    await wechat.pay(number, codes("13", "04"))
    await until(functools.partial(state_of, sandbox, "wechat", number), "closed")
    assert (await wechat.query(number)).said == "CLOSED"


async def test_closing_a_barcode_order_is_refused_at_wechat(
    wechat: Any, codes: Any, number: str
) -> None:
    await wechat.pay(number, codes("13", "04"))
    assert (await wechat.close(number)).said == "INVALID_REQUEST"
    assert (await wechat.precreate(f"Q{number}")).said == "ok"
    assert (await wechat.cancel(f"Q{number}")).said == "INVALID_REQUEST"


async def test_the_customer_finishes_typing(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix, "04"))
    assert (await merchant.query(number)).said in {"WAIT_BUYER_PAY", "typing"}
    await sandbox.pay(number, channel=merchant.channel, account="shop")
    assert (await merchant.query(number)).said in {"TRADE_SUCCESS", "SUCCESS"}


async def test_a_lost_answer_may_be_found_only_later(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.settings(merchant.channel, query_lag_ms_max=0)
    await merchant.pay(number, codes(merchant.code_prefix, "05"))
    assert (await merchant.query(number)).said in {"TRADE_SUCCESS", "SUCCESS"}
    await sandbox.settings(merchant.channel, query_lag_ms_max=2_000)
    await merchant.pay(f"X{number}", codes(merchant.code_prefix, "05"))
    await until(lambda: _is_paid(merchant, f"X{number}"), True)


async def _is_paid(merchant: Any, number: str) -> bool:
    return (await merchant.query(number)).said in {"TRADE_SUCCESS", "SUCCESS"}


async def _refunded(sandbox: SandboxProcess, channel: str, number: str) -> int:
    row = await row_of(sandbox, channel, number)
    refunded: int = row["refunded"] if row else 0
    return refunded
