"""Who is not let in, in which words, and which refusals are signed."""

from typing import Any

import pytest
from cryptography import x509
from wechatpayv3 import utils

from tests.sandbox.conftest import state_of
from tests.sandbox.merchants import AlipayMerchant, WeChatMerchant
from tests.sandbox_process import SandboxProcess

QUERY = "alipay.trade.query"
ALIPAY_REFUSALS = [
    ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
    ({"sign_type": "RSA"}, "isv.invalid-signature-type"),
    ({"charset": "gbk"}, "isv.invalid-charset"),
    ({"version": "2.0"}, "isv.invalid-parameter"),
    ({"app_cert_sn": "00"}, "isv.missing-signature-config"),
    ({"timestamp": "2020-01-01 00:00:00"}, "isv.invalid-timestamp"),
    ({"timestamp": ""}, "isv.missing-timestamp"),
    ({"method": "alipay.trade.wap.pay"}, "isv.invalid-method"),
    ({"biz_content": "[]"}, "isv.invalid-parameter"),
]


@pytest.mark.parametrize(
    ("parameters", "said"), ALIPAY_REFUSALS, ids=[said for _, said in ALIPAY_REFUSALS]
)
async def test_alipay_gateway_refuses(
    *,
    sandbox: SandboxProcess,
    alipay: Any,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, str],
    said: str,
) -> None:
    usual = alipay.sdk.build_body
    monkeypatch.setattr(
        alipay.sdk, "build_body", lambda *args, **kwargs: usual(*args, **kwargs) | parameters
    )
    answer = await alipay.call(parameters.get("method", QUERY), {"out_trade_no": "T1"})
    is_app_known = "app_id" not in parameters
    assert (answer.said, answer.status, answer.genuine) == (said, 200, is_app_known)
    assert answer["code"] in {"40001", "40002"}
    await sandbox.settings("alipay", gateway_refusals_are_signed=False)
    assert not (await alipay.call(parameters.get("method", QUERY), {"out_trade_no": "T1"})).genuine


@pytest.mark.parametrize(
    ("tamper", "genuine"),
    [
        ("&return_url=http%3A%2F%2Fevil", True),
        ("&app_id=2021000000000000", False),  # a form with a name twice is read no further
        ("&sign=x", False),
    ],
)
async def test_alipay_signature_covers_every_parameter(
    alipay: Any, tamper: str, genuine: bool
) -> None:
    answer = await alipay.call(QUERY, {"out_trade_no": "T1"}, tamper=tamper)
    assert (answer.said.startswith("isv.invalid-"), answer.genuine) == (True, genuine)


async def test_alipay_ignores_an_empty_parameter_as_the_protocol_says(alipay: Any) -> None:
    answer = await alipay.call(QUERY, {"out_trade_no": "T1"}, tamper="&return_url=")
    assert (answer.said, answer.genuine) == ("ACQ.TRADE_NOT_EXIST", True)


async def test_alipay_certificate_numbers_are_checked(
    sandbox: SandboxProcess, session: Any
) -> None:
    credentials = (await sandbox.enroll("alipay", "serials", mode="certificate"))["credentials"]
    merchant = AlipayMerchant(session, credentials)
    assert (await merchant.query("T1")).said == "ACQ.TRADE_NOT_EXIST"
    merchant.sdk._alipay_root_cert_sn = "0" * 32
    assert (await merchant.query("T1")).said == "isv.missing-signature-config"


TARGET = "/v3/pay/transactions/out-trade-no/T000001"
WECHAT_REFUSALS = [
    ({"sent": b'{"mchid":"0"}'}, 401, "SIGN_ERROR"),
    ({"serial": "0" * 40}, 401, "SIGN_ERROR"),
    ({"headers": {"Authorization": None}}, 401, "SIGN_ERROR"),
    ({"headers": {"Authorization": 'WECHATPAY2-SM2-WITH-SM3 mchid="1"'}}, 401, "SIGN_ERROR"),
    ({"headers": {"Accept": "text/html"}}, 400, "PARAM_ERROR"),
    ({"headers": {"User-Agent": None}}, 400, "PARAM_ERROR"),
]


@pytest.mark.parametrize(("overrides", "status", "code"), WECHAT_REFUSALS)
async def test_wechat_authentication_refuses_unsigned(
    wechat: Any, overrides: dict[str, Any], status: int, code: str
) -> None:
    answer = await wechat.call(
        "POST", f"{TARGET}/close", {"mchid": wechat.credentials["mchid"]}, **overrides
    )
    assert (answer.status, answer.said, answer.genuine) == (status, code, False)


@pytest.mark.parametrize("serial", [None, "PUB_KEY_ID_0", "ABCDEF"])
async def test_wechat_needs_no_header_that_names_its_key(
    sandbox: SandboxProcess, wechat: Any, serial: str | None
) -> None:
    target = f"{TARGET}?mchid={wechat.credentials['mchid']}"
    named = {"headers": {"Wechatpay-Serial": serial}}
    answer = await wechat.call("GET", target, **named)
    assert (answer.status, answer.said, answer.genuine) == (404, "ORDER_NOT_EXIST", True)
    await sandbox.settings("wechat", serial_header_is_required=True)
    answer = await wechat.call("GET", target, **named)
    assert (answer.status, answer.said, answer.genuine) == (400, "PARAM_ERROR", False)


async def test_wechat_signs_with_the_public_key_that_the_header_names(
    sandbox: SandboxProcess, session: Any
) -> None:
    """A merchant from before the public keys has a certificate and one of them."""
    credentials = (await sandbox.enroll("wechat", "moving", mode="platform_certificate"))[
        "credentials"
    ]
    merchant = WeChatMerchant(session, credentials)
    [name], [pem] = credentials["platform_keys"], credentials["platform_certificates"]
    certificate = f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:040X}"
    assert name.startswith("PUB_KEY_ID_")
    for header, serial in ((name, name), (None, certificate), ("PUB_KEY_ID_0", certificate)):
        answer = await merchant.call(
            "GET",
            f"{TARGET}?mchid={credentials['mchid']}",
            headers={"Wechatpay-Serial": header},
        )
        assert (answer.status, answer.serial, answer.genuine) == (404, serial, True)


async def test_wechat_signature_covers_the_query_string(wechat: Any, session: Any) -> None:
    ours = (wechat.credentials["mchid"], wechat.credentials["merchant_serial"], wechat.private_key)
    headers = {
        "Authorization": utils.build_authorization(TARGET, "GET", *ours),
        "Accept": "application/json",
        "User-Agent": "tests",
    }
    async with session.get(
        f"{wechat.credentials['base_url']}{TARGET}?mchid=1", headers=headers
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "SIGN_ERROR")


async def test_wechat_nonce_works_once(wechat: Any) -> None:
    heard = [
        (
            await wechat.call("GET", f"{TARGET}?mchid={wechat.credentials['mchid']}", nonce="once")
        ).status
        for _ in range(2)
    ]
    assert heard == [404, 401]


async def test_clock_offset_makes_honest_requests_too_old(
    sandbox: SandboxProcess, merchant: Any, codes: Any, number: str
) -> None:
    try:
        await sandbox.settings(merchant.channel, clock_offset_ms=700_000)
        answer = await merchant.pay(number, codes(merchant.code_prefix))
        assert answer.said in {"isv.invalid-timestamp", "SIGN_ERROR"}
    finally:
        await sandbox.settings(merchant.channel, clock_offset_ms=0)
    assert await state_of(sandbox, merchant.channel, number) is None


WECHAT_PARAMETERS: list[dict[str, Any]] = [
    {"out_trade_no": "short"},
    {"amount": {"total": 1.5}},
    {"amount": {"total": 0}},
    {"amount": {"total": 1, "currency": "USD"}},
    {"scene_info": {}},
    {"description": ""},
    {"description": "火锅🍲"},
    {"attach": "🍲"},
]


@pytest.mark.parametrize("changes", WECHAT_PARAMETERS)
async def test_wechat_does_not_sign_the_refusal_of_a_parameter(
    *, sandbox: SandboxProcess, wechat: Any, codes: Any, number: str, changes: dict[str, Any]
) -> None:
    answer = await wechat.pay(number, codes("13"), **changes)
    assert (answer.status, answer.said, answer.genuine) == (400, "PARAM_ERROR", False)
    await sandbox.settings("wechat", parameter_refusals_are_signed=True)
    answer = await wechat.pay(number, codes("13"), **changes)
    assert (answer.status, answer.said, answer.genuine) == (400, "PARAM_ERROR", True)


async def test_wechat_takes_four_byte_characters_when_the_setting_says_so(
    sandbox: SandboxProcess, wechat: Any, codes: Any, number: str
) -> None:
    await sandbox.settings("wechat", four_byte_characters_are_taken=True)
    assert (await wechat.pay(number, codes("13"), description="火锅🍲")).said == "SUCCESS"


async def test_wechat_takes_no_emoji_as_the_reason_of_a_refund(
    wechat: Any, codes: Any, number: str
) -> None:
    await wechat.pay(number, codes("13"))
    body: dict[str, Any] = {
        "out_trade_no": number,
        "out_refund_no": f"R{number}",
        "reason": "冷了🥶",
    }
    body |= {"amount": {"refund": 1, "total": 100, "currency": "CNY"}}
    assert (await wechat.call("POST", REFUNDS, body)).said == "PARAM_ERROR"
    assert (await wechat.call("POST", REFUNDS, body | {"reason": "冷了"})).said == "PROCESSING"


REFUNDS = "/v3/refund/domestic/refunds"
WECHAT_BUSINESS = [
    ({"appid": "wx0000000000000000"}, 400, "APPID_MCHID_NOT_MATCH"),
    ({"mchid": "1600000000"}, 400, "MCH_NOT_EXISTS"),
    ({"payer": {"auth_code": "280000000000000000"}}, 400, "AUTH_CODE_INVALID"),
    ({"time_expire": "2020-01-01T00:00:00+08:00"}, 400, "PARAM_ERROR"),
]


@pytest.mark.parametrize(("changes", "status", "code"), WECHAT_BUSINESS)
async def test_wechat_business_refusals_are_signed(
    *, wechat: Any, codes: Any, number: str, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = await wechat.pay(number, codes("13"), **changes)
    assert (answer.status, answer.said, answer.genuine) == (status, code, True)


ALIPAY_BUSINESS = [
    ({"total_amount": "1.005"}, "ACQ.INVALID_PARAMETER"),
    ({"total_amount": "0.00"}, "ACQ.INVALID_PARAMETER"),
    ({"total_amount": "-1"}, "ACQ.INVALID_PARAMETER"),
    ({"subject": "a=b"}, "ACQ.INVALID_PARAMETER"),
    ({"out_trade_no": "no-dashes"}, "ACQ.INVALID_PARAMETER"),
    ({"scene": "wave_code"}, "ACQ.INVALID_PARAMETER"),
    ({"auth_code": "130000000000000000"}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
    ({"auth_code": "fp" + "0" * 33}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
    ({"scene": "security_code"}, "ACQ.PAYMENT_AUTH_CODE_INVALID"),
    ({"time_expire": "2020-01-01 00:00:00"}, "ACQ.INVALID_PARAMETER"),
    ({"time_expire": "tomorrow"}, "ACQ.INVALID_PARAMETER"),
]


@pytest.mark.parametrize(("changes", "said"), ALIPAY_BUSINESS)
async def test_alipay_business_refusals_are_signed(
    alipay: Any, codes: Any, number: str, changes: dict[str, Any], said: str
) -> None:
    answer = await alipay.pay(number, codes("28"), **changes)
    assert (answer.said, answer.genuine) == (said, True)
