"""Each fault does what its name says: what the merchant sees, and what the ledger knows."""

import asyncio
import datetime as dt
from typing import Any

import pytest

from tests.sandbox.conftest import MERCHANTS, row_of, state_of, until
from tests.sandbox.merchants import CHINA, LOST
from tests.sandbox_process import SandboxProcess, SandboxRefusedError

PAID = {"alipay": "ok", "wechat": "SUCCESS"}
SYSTEM_ERROR = {"alipay": "ACQ.SYSTEM_ERROR", "wechat": "SYSTEM_ERROR"}
REFUSED = {"alipay": "ACQ.PAYMENT_FAIL", "wechat": "NOT_ENOUGH"}
NOT_FOUND = {"alipay": "ACQ.TRADE_NOT_EXIST", "wechat": "ORDER_NOT_EXIST"}
BLOCKED = {"alipay": "ACQ.SELLER_BEEN_BLOCKED", "wechat": "RULE_LIMIT"}
QUERY_PAID = {"alipay": "TRADE_SUCCESS", "wechat": "SUCCESS"}

# fault, what the merchant hears, is the signature good, the ledger's state afterwards
PAY_FAULTS = [
    ("drop_before", LOST, False, None),
    ("drop_after_charge", LOST, False, "charged"),
    ("drop_bytes_after", LOST, False, "charged"),
    ("http_500_before", "http_500", False, None),
    ("http_500_after_charge", "http_500", False, "charged"),
    ("delay_before", PAID, True, "charged"),
    ("delay_after", PAID, True, "charged"),
    ("bad_signature", PAID, False, "charged"),
    ("lie_success", PAID, True, None),
    ("lie_failure", REFUSED, True, "charged"),
    ("account_blocked", BLOCKED, True, None),
    ("user_paying_forever", "typing", True, "pending"),
    ("system_error_charged", SYSTEM_ERROR, True, "charged"),
    ("system_error_not_charged", SYSTEM_ERROR, True, None),
]


@pytest.mark.parametrize(
    ("fault", "said", "genuine", "state"),
    PAY_FAULTS,
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_fault_on_pay(
    *,
    sandbox: SandboxProcess,
    merchant: Any,
    number: str,
    codes: Any,
    fault: str,
    said: Any,
    genuine: bool,
    state: str | None,
) -> None:
    await sandbox.arm(merchant.channel, "pay", fault, account="shop", times=1, delay_ms=50)
    answer = await merchant.pay(number, codes(merchant.code_prefix))
    assert answer.said == (said if isinstance(said, str) else said[merchant.channel])
    assert answer.genuine is genuine
    assert await state_of(sandbox, merchant.channel, number) == state
    assert [row["fired"] for row in await sandbox.faults()] == [1]


async def test_times_probability_and_account_choose_who_is_struck(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "query", "http_500_before", times=2)
    heard = [(await merchant.query(number)).said for _ in range(4)]
    assert heard == ["http_500"] * 2 + [NOT_FOUND[merchant.channel]] * 2
    await sandbox.disarm()
    await sandbox.arm(merchant.channel, "query", "http_500_before", probability=0.5, seed=7)
    first = [(await merchant.query(number)).said for _ in range(12)]
    await sandbox.disarm()
    await sandbox.arm(merchant.channel, "query", "http_500_before", probability=0.5, seed=7)
    assert [(await merchant.query(number)).said for _ in range(12)] == first
    assert 0 < first.count("http_500") < 12
    assert (await sandbox.disarm())[0]["fired"] == first.count("http_500")


async def test_a_request_that_was_held_is_executed_though_its_caller_left(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "pay", "delay_before", times=1, delay_ms=1_500)
    caller = asyncio.create_task(merchant.pay(number, codes(merchant.code_prefix)))
    await until(lambda: times_fired(sandbox), [1])
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await state_of(sandbox, merchant.channel, number) is None
    await until(lambda: state_of(sandbox, merchant.channel, number), "charged")


async def times_fired(sandbox: SandboxProcess) -> list[int]:
    return [row["fired"] for row in await sandbox.faults()]


async def test_a_held_request_is_refused_when_its_own_time_is_over(
    sandbox: SandboxProcess, alipay: Any, codes: Any, number: str
) -> None:
    await sandbox.arm("alipay", "pay", "delay_before", times=1, delay_ms=1_100)
    soon = _china_time_in(1)
    answer = await alipay.pay(number, codes("28"), time_expire=soon)
    assert answer.said == "ACQ.INVALID_PARAMETER"
    assert await state_of(sandbox, "alipay", number) is None


async def test_a_held_request_is_refused_when_its_signature_is_too_old_by_then(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "pay", "delay_before", times=1, delay_ms=500)
    held = asyncio.create_task(merchant.pay(number, codes(merchant.code_prefix)))
    await until(lambda: _fired(sandbox), 1)
    try:
        await sandbox.settings(merchant.channel, clock_offset_ms=700_000)
        assert (await held).said in {"isv.invalid-timestamp", "SIGN_ERROR"}
    finally:
        await sandbox.settings(merchant.channel, clock_offset_ms=0)
    assert await state_of(sandbox, merchant.channel, number) is None


async def test_wrong_amount_and_wrong_order_are_genuinely_signed(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "pay", "wrong_amount", times=1)
    answer = await merchant.pay(number, codes(merchant.code_prefix), 250)
    assert (answer.genuine, merchant.amount_of(answer)) == (True, 251)
    await sandbox.arm(merchant.channel, "query", "wrong_order", times=1)
    answer = await merchant.query(number)
    assert answer.genuine
    assert answer["out_trade_no"] != number
    row = await row_of(sandbox, merchant.channel, number)
    assert row
    assert (row["amount"], row["state"]) == (250, "charged")


async def test_a_fault_that_could_do_nothing_has_not_fired(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "pay", "wrong_amount", times=1)
    await merchant.pay(number, codes(merchant.code_prefix, "01"))
    assert (await sandbox.faults())[0]["fired"] == 0


async def test_typing_customer_pays_by_himself(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "pay", "user_paying_then_success", times=1)
    assert (await merchant.pay(number, codes(merchant.code_prefix))).said == "typing"
    await until(lambda: state_of(sandbox, merchant.channel, number), "charged")
    assert (await merchant.query(number)).said == QUERY_PAID[merchant.channel]


async def test_not_found_for_ms_hides_a_charged_trade(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await sandbox.arm(merchant.channel, "pay", "not_found_for_ms", times=1, delay_ms=400)
    await merchant.pay(number, codes(merchant.code_prefix))
    assert await state_of(sandbox, merchant.channel, number) == "charged"
    assert (await merchant.query(number)).said == NOT_FOUND[merchant.channel]
    await until(lambda: _said(merchant.query(number)), QUERY_PAID[merchant.channel])


async def test_not_found_for_ms_on_query_counts_only_young_trades(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix))
    await sandbox.arm(merchant.channel, "query", "not_found_for_ms", delay_ms=60_000)
    assert (await merchant.query(number)).said == NOT_FOUND[merchant.channel]
    await sandbox.disarm()
    await sandbox.arm(merchant.channel, "query", "not_found_for_ms", delay_ms=0)
    assert (await merchant.query(number)).said == QUERY_PAID[merchant.channel]
    assert (await sandbox.faults())[0]["fired"] == 0


async def test_cancel_retry_does_nothing_yet(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix))
    await sandbox.arm(merchant.channel, merchant.cancel_operation, "cancel_retry", times=1)
    answer = await merchant.cancel(number)
    assert {"retry_flag": "Y"}.items() <= (answer.document or {}).items() or answer.said == "typing"
    assert await state_of(sandbox, merchant.channel, number) == "charged"
    assert (await merchant.cancel(number)).said == "ok"
    assert await state_of(sandbox, merchant.channel, number) == "reversed"


@pytest.mark.parametrize(("fault", "alipay_says", "wechat_says", "refunded"), [
    ("refund_processing", "ok", "PROCESSING", 40),
    ("refund_abnormal", "ACQ.REASON_TRADE_REFUND_FEE_ERR", "PROCESSING", 0),
    ("lie_success", "ok", "SUCCESS", 0),
    ("drop_after_charge", LOST, LOST, 40),
])  # fmt: skip
async def test_fault_on_refund(
    *,
    sandbox: SandboxProcess,
    merchant: Any,
    codes: Any,
    number: str,
    fault: str,
    alipay_says: str,
    wechat_says: str,
    refunded: int,
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix))
    await sandbox.arm(merchant.channel, "refund", fault, times=1, delay_ms=200)
    answer = await merchant.refund(number, f"R{number}", 40)
    assert answer.said == {"alipay": alipay_says, "wechat": wechat_says}[merchant.channel]
    if fault == "refund_processing":
        assert (await row_of(sandbox, merchant.channel, number) or {})["refunded"] == 0
    await until(lambda: _refunded(sandbox, merchant.channel, number), refunded)
    if fault == "refund_abnormal" and merchant.channel == "wechat":
        await until(lambda: _said(merchant.refund_query(number, f"R{number}")), "ABNORMAL")


async def test_refused_connection_is_the_whole_account(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    await merchant.pay(number, codes(merchant.code_prefix))
    await sandbox.arm(merchant.channel, "pay", "refuse_connection", account="shop", times=1)
    assert [(await merchant.query(number)).said for _ in range(3)] == [LOST] * 3
    assert (await sandbox.faults())[0]["fired"] == 1
    await sandbox.disarm()
    assert (await merchant.query(number)).said == QUERY_PAID[merchant.channel]


SECOND_URLS = {"gateway_url": "second_gateway_url", "base_url": "second_base_url"}


def at_second_host(merchant: Any) -> Any:
    """The same merchant, calling at the other host."""
    turned = {
        name: merchant.credentials[second]
        for name, second in SECOND_URLS.items()
        if name in merchant.credentials
    }
    return type(merchant)(merchant.session, merchant.credentials | turned)


async def test_both_hosts_serve_one_ledger_and_can_be_shut_apart(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    second = at_second_host(merchant)
    await sandbox.arm(merchant.channel, "pay", "refuse_connection", account="shop", host="main")
    assert (await merchant.query(number)).said == LOST
    assert (await second.pay(number, codes(merchant.code_prefix))).said == PAID[merchant.channel]
    await sandbox.disarm()
    assert (await merchant.query(number)).said == QUERY_PAID[merchant.channel]
    await sandbox.arm(merchant.channel, "pay", "refuse_connection", account="shop", host="second")
    assert (await second.query(number)).said == LOST
    assert (await merchant.query(number)).said == QUERY_PAID[merchant.channel]
    await sandbox.arm(merchant.channel, "pay", "refuse_connection", account="shop")
    assert (await merchant.query(number)).said == LOST


async def test_a_fault_can_be_armed_at_one_host(
    sandbox: SandboxProcess, merchant: Any, number: str
) -> None:
    armed = await sandbox.arm(merchant.channel, "query", "http_500_before", host="main")
    assert armed["host"] == "main"
    assert (await at_second_host(merchant).query(number)).said == NOT_FOUND[merchant.channel]
    assert (await sandbox.faults())[0]["fired"] == 0
    assert (await merchant.query(number)).said == "http_500"
    assert (await sandbox.faults())[0]["fired"] == 1


async def test_stale_timestamp(
    sandbox: SandboxProcess, wechat: Any, codes: Any, number: str
) -> None:
    await sandbox.arm("wechat", "pay", "stale_timestamp", times=1)
    answer = await wechat.pay(number, codes("13"))
    assert (answer.said, answer.genuine) == ("SUCCESS", False)


async def test_rotated_key_stays_and_is_published(
    sandbox: SandboxProcess, session: Any, codes: Any
) -> None:
    for channel, merchants in MERCHANTS.items():
        enrolled = await sandbox.enroll(channel, "rotating", profile="short")
        merchant = merchants(session, enrolled["credentials"])
        await sandbox.arm(channel, "query", "rotate_key", account="rotating", times=1)
        assert [(await merchant.query("T000000")).genuine for _ in range(2)] == [False, False]
        facts = next(
            row
            for row in await sandbox.accounts()
            if (row["channel"], row["account"]) == (channel, "rotating")
        )["facts"]
        renewed = {
            name: facts[name] for name in ("alipay_public_key", "platform_keys") if name in facts
        }
        assert (
            await merchants(session, enrolled["credentials"] | renewed).query("T000000")
        ).genuine


@pytest.mark.parametrize(("channel", "operation", "fault", "status", "words"), [
    ("alipay", "pay", "no_such_fault", 422, "drop_after_charge"),
    ("alipay", "reverse", "drop_before", 422, "cancel, close, pay"),
    ("wechat", "cancel", "drop_before", 422, "reverse"),
    ("alipay", "query", "user_paying_forever", 422, "armed on pay"),
    ("alipay", "query", "stale_timestamp", 422, "armed on callback"),
    ("alipay", "callback", "signtest_probe", 422, "Alipay sends none"),
    ("wechat", "pay", "callback_late", 422, "no callback"),
    ("alipay", "sale", "drop_before", 422, "no card channel"),
    ("alipay", "pay", "bad_mac", 422, "card"),
    ("alipay", "bill", "bill_amount", 409, "bills not built yet"),
    ("alipay", "pay", "bill_fee", 409, "bills not built yet"),
    ("cheques", "pay", "drop_before", 422, "alipay, wechat"),
])  # fmt: skip
async def test_what_cannot_be_armed(
    *,
    sandbox: SandboxProcess,
    enrolled: Any,
    channel: str,
    operation: str,
    fault: str,
    status: int,
    words: str,
) -> None:
    with pytest.raises(SandboxRefusedError, match=words) as refused:
        await sandbox.arm(channel, operation, fault)
    assert refused.value.status == status


async def _fired(sandbox: SandboxProcess) -> int:
    return int((await sandbox.faults())[0]["fired"])


async def _said(call: Any) -> str:
    return str((await call).said)


async def _refunded(sandbox: SandboxProcess, channel: str, number: str) -> int:
    row = await row_of(sandbox, channel, number)
    assert row is not None
    refunded: int = row["refunded"]
    return refunded


def _china_time_in(seconds: int) -> str:
    return (dt.datetime.now(CHINA) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
