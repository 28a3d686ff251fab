"""The public SDKs, unchanged, accept the sandbox: they sign, and verify answers and callbacks."""

import asyncio
import base64
import json
import re
from typing import Any

import pytest
from alipay.exceptions import AliPayException
from wechatpayv3 import WeChatPayType

from tests.sandbox.conftest import Inbox, state_of, until
from tests.sandbox.merchants import alipay_sdk, wechat_sdk
from tests.sandbox_process import SandboxProcess


@pytest.mark.parametrize("mode", ["public_key", "certificate"])
async def test_python_alipay_sdk(
    sandbox: SandboxProcess, codes: Any, number: str, mode: str
) -> None:
    credentials = (await sandbox.enroll("alipay", f"sdk-{mode}", mode=mode))["credentials"]
    sdk = alipay_sdk(credentials)
    paid = await asyncio.to_thread(
        sdk.api_alipay_trade_pay, number, "bar_code", codes("28"), "茶 {1}", total_amount="12.34"
    )
    assert (paid["code"], paid["total_amount"]) == ("10000", "12.34")
    assert (await asyncio.to_thread(sdk.api_alipay_trade_query, number))[
        "trade_status"
    ] == "TRADE_SUCCESS"
    refund = await asyncio.to_thread(
        sdk.api_alipay_trade_refund, "2.34", number, out_request_no="r1"
    )
    assert (refund["fund_change"], refund["refund_fee"]) == ("Y", "2.34")
    again = await asyncio.to_thread(
        sdk.api_alipay_trade_refund, "2.34", number, out_request_no="r1"
    )
    assert again["fund_change"] == "N"
    asked = await asyncio.to_thread(
        sdk.api_alipay_trade_fastpay_refund_query, "r1", out_trade_no=number
    )
    assert asked["refund_status"] == "REFUND_SUCCESS"
    shown = await asyncio.to_thread(sdk.api_alipay_trade_precreate, "tea", f"Q{number}", "3.00")
    assert shown["qr_code"].startswith("https://qr.alipay.com/")
    await sandbox.pay(f"Q{number}", only_scan=True)
    assert (await asyncio.to_thread(sdk.api_alipay_trade_close, f"Q{number}"))["code"] == "10000"
    other = await asyncio.to_thread(
        sdk.api_alipay_trade_pay, f"C{number}", "bar_code", codes("28"), "tea", total_amount="1.00"
    )
    assert other["code"] == "10000"
    assert (await asyncio.to_thread(sdk.api_alipay_trade_cancel, f"C{number}"))[
        "action"
    ] == "refund"
    assert await state_of(sandbox, "alipay", f"C{number}") == "reversed"


async def test_alipay_certificate_of_an_unknown_number_is_downloaded(
    sandbox: SandboxProcess, alipay: Any
) -> None:
    credentials = (await sandbox.enroll("alipay", "certified", mode="certificate"))["credentials"]
    sdk = alipay_sdk(credentials)
    number = sdk.get_cert_sn(credentials["alipay_certificate"])
    found = await asyncio.to_thread(
        sdk.server_api, "alipay.open.app.alipaycert.download", {"alipay_cert_sn": number}
    )
    assert found["code"] == "10000"
    assert found["alipay_cert_content"]


async def test_python_alipay_sdk_verifies_a_gateways_refusal(
    sandbox: SandboxProcess, enrolled: Any, number: str, undisturbed: None
) -> None:
    sdk = alipay_sdk(enrolled["alipay"])
    old = {"out_trade_no": number}, {"timestamp": "2020-01-01 00:00:00"}

    def ask() -> Any:
        return sdk.server_api("alipay.trade.query", old[0], **old[1])

    refused = await asyncio.to_thread(ask)
    assert (refused["code"], refused["sub_code"]) == ("40002", "isv.invalid-timestamp")
    await sandbox.settings("alipay", gateway_refusals_are_signed=False)
    with pytest.raises(AliPayException, match="invalid-timestamp"):
        await asyncio.to_thread(ask)


@pytest.mark.parametrize("is_escaped", [False, True])
async def test_a_client_may_cut_alipays_signature_out_of_the_raw_bytes(
    sandbox: SandboxProcess, alipay: Any, codes: Any, is_escaped: bool
) -> None:
    """As smartwalle/alipay does: what stands between the quotes is the base64 itself."""
    await sandbox.settings("alipay", signature_is_escaped=is_escaped)
    answers = [await alipay.pay(f"RAW{n}{is_escaped:d}", codes("28")) for n in range(8)]
    shown = await alipay.precreate(f"RAWQR{is_escaped:d}")
    assert all(answer.genuine for answer in (*answers, shown))
    cut = [re.search(r'"sign":"([^"]+)"', answer.raw) for answer in (*answers, shown)]
    signatures = [found[1] for found in cut if found]
    assert len(signatures) == 9
    assert any("/" in signature for signature in signatures)
    assert any("\\/" in signature for signature in signatures) == is_escaped
    assert r'"qr_code":"https:\/\/qr.alipay.com\/' in shown.raw  # the inner object is escaped
    if not is_escaped:
        assert all(len(base64.b64decode(each, validate=True)) == 256 for each in signatures)


@pytest.mark.parametrize("mode", ["public_key", "platform_certificate"])
async def test_wechatpayv3(sandbox: SandboxProcess, codes: Any, number: str, mode: str) -> None:
    credentials = (await sandbox.enroll("wechat", f"sdk-{mode}", mode=mode, profile="short"))[
        "credentials"
    ]
    sdk = await asyncio.to_thread(wechat_sdk, credentials)
    terms = {
        "payer": {"auth_code": codes("13")},
        "scene_info": {"store_info": {"id": "s1"}},
        "pay_type": WeChatPayType.CODEPAY,
    }
    amount = {"total": 1234, "currency": "CNY"}
    assert await _call(sdk.pay, "tea", number, amount, **terms) == (200, "SUCCESS")
    assert await _call(sdk.query, out_trade_no=number) == (200, "SUCCESS")
    refund = {"refund": 234, "total": 1234, "currency": "CNY"}
    assert await _call(sdk.refund, "r1", refund, out_trade_no=number) == (200, "PROCESSING")
    await until(lambda: _call(sdk.query_refund, "r1"), (200, "SUCCESS"))
    assert await _call(sdk.query, out_trade_no=number) == (200, "REFUND")
    assert await _call(sdk.pay, "tea", f"Q{number}", amount) == (200, "")
    assert await _call(sdk.close, f"Q{number}") == (204, "")
    assert await _call(sdk.query, out_trade_no=f"Q{number}") == (200, "CLOSED")
    terms["payer"] = {"auth_code": codes("13")}
    assert await _call(sdk.pay, "tea", f"C{number}", amount, **terms) == (200, "SUCCESS")
    assert await _call(sdk.codepay_reverse, f"C{number}") == (200, "")
    assert await _call(sdk.query, out_trade_no=f"C{number}") == (200, "REVOKED")
    assert await _call(sdk.codepay_reverse, "neverseen") == (404, "ORDER_NOT_EXIST")


@pytest.mark.parametrize("mode", ["public_key", "platform_certificate"])
async def test_wechatpayv3_reads_callbacks_and_refuses_forged_ones(
    sandbox: SandboxProcess, inbox: Inbox, number: str, mode: str
) -> None:
    account = f"callbacks-{mode}"
    credentials = (await sandbox.enroll("wechat", account, mode=mode, profile="short"))[
        "credentials"
    ]
    sdk = await asyncio.to_thread(wechat_sdk, credentials, inbox.url)
    assert await _call(sdk.pay, "tea", number, {"total": 1234, "currency": "CNY"}) == (200, "")
    await sandbox.pay(number)
    (headers, body), *_ = await inbox.wait_for(1)
    event = await asyncio.to_thread(sdk.callback, headers, body)
    assert event["event_type"] == "TRANSACTION.SUCCESS"
    assert (event["resource"]["out_trade_no"], event["resource"]["trade_state"]) == (
        number,
        "SUCCESS",
    )
    for forged in ("signature", "signtest"):
        await sandbox.callbacks("wechat", account, number, forged=forged)
        assert (
            await asyncio.to_thread(sdk.callback, inbox.arrived[-1][0], inbox.arrived[-1][1])
            is None
        )
    refund = {"refund": 1234, "total": 1234, "currency": "CNY"}
    assert await _call(
        sdk.refund, f"R{number}", refund, out_trade_no=number, notify_url=inbox.url
    ) == (200, "PROCESSING")
    arrived = await inbox.wait_for(4)
    event = await asyncio.to_thread(sdk.callback, arrived[-1][0], arrived[-1][1])
    assert (event["event_type"], event["resource"]["amount"]["refund"]) == ("REFUND.SUCCESS", 1234)


async def test_wechatpayv3_finds_a_rotated_platform_certificate(sandbox: SandboxProcess) -> None:
    credentials = (await sandbox.enroll("wechat", "rolling", mode="platform_certificate"))[
        "credentials"
    ]
    sdk = await asyncio.to_thread(wechat_sdk, credentials)
    await sandbox.arm("wechat", "query", "rotate_key", account="rolling", times=1)
    assert await _call(sdk.query, out_trade_no="neverseen") == (404, "ORDER_NOT_EXIST")
    assert await _call(sdk.pay, "tea", "ROLLING01", {"total": 1, "currency": "CNY"}) == (200, "")
    await sandbox.disarm()


async def _call(method: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """HTTP status and the one word that matters;
    the SDK raises when a 2xx answer's signature is bad.
    """
    status, text = await asyncio.to_thread(method, *args, **kwargs)
    document = json.loads(text) if text else {}
    return status, document.get("trade_state") or document.get("status") or document.get(
        "code"
    ) or ""
