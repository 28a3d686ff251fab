"""The WeChat Pay adapter against the WeChat Pay sandbox: the answers that are WeChat Pay's own, and
its keys while they change.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType

from adapters.channel import Flow, PayRequest
from adapters.wechat.manifest import MANIFEST
from gateway.domain import outcomes as out
from tests.conformance.side import AMOUNT, CANCEL, Postbox, Side, open_postbox
from tests.sandbox_process import SandboxProcess

MODES = ("public_key", "platform_certificate")


@pytest.fixture(scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxProcess]:
    process = SandboxProcess()
    await process.start(tmp_path_factory.mktemp("wechat"))
    await process.settings("wechat", query_lag_ms_max=0)
    yield process
    await process.stop()


@pytest.fixture(scope="module")
async def postbox() -> AsyncIterator[Postbox]:
    async with open_postbox() as opened:
        yield opened


@pytest.fixture(scope="module", params=MODES)
async def account(
    request: pytest.FixtureRequest, sandbox: SandboxProcess, postbox: Postbox
) -> AsyncIterator[Side]:
    enrolled = await sandbox.enroll("wechat", request.param, mode=request.param, profile="short")
    side = Side(sandbox, MANIFEST, request.param, enrolled["credentials"], postbox)
    yield side
    await side.close()


@pytest.fixture
async def side(account: Side, sandbox: SandboxProcess, postbox: Postbox) -> AsyncIterator[Side]:
    postbox.reopen(account.channel)
    yield account
    await sandbox.disarm()


async def shown(side: Side, *, paid: bool) -> PayRequest:
    """A native order, paid or not."""
    request = side.pay_request(Flow.QR)
    answer = await side.pay(request)
    assert isinstance(answer, out.PayerActionNeeded)
    assert (answer.qr_code or "").startswith("weixin://wxpay/bizpayurl?pr=")
    if paid:
        await side.sandbox.pay(request.out_trade_no, channel="wechat", account=side.account)
    return request


async def test_codepay_tells_who_paid_when_and_how_much(side: Side) -> None:
    outcome = await side.pay(side.pay_request())
    assert isinstance(outcome, out.Succeeded)
    assert (outcome.amount, outcome.received_amount, outcome.discounts) == (AMOUNT, AMOUNT, ())
    assert outcome.payer_masked is not None
    assert "****" in outcome.payer_masked
    assert json.loads(outcome.evidence.removeprefix("HTTP 200 "))["trade_type"] == "MICROPAY"


async def test_codepay_brings_no_callback(side: Side) -> None:
    await side.pay(side.pay_request())
    await shown(side, paid=True)
    await side.postbox.arrived(1)
    assert [one.kind for one in side.postbox.accepted()] == ["pay"]  # the QR's


async def test_user_paying_then_reversed(side: Side) -> None:
    request = side.pay_request(magic="04")
    paying = await side.pay(request)
    assert isinstance(paying, out.PayerActionNeeded)
    assert paying.channel_code == "USERPAYING"
    assert paying.evidence.startswith("HTTP 202 ")
    reversal = await side.cancel(request)
    assert isinstance(reversal, out.Reversed)
    assert reversal.was_charged is None  # WeChat Pay does not say
    assert isinstance(await side.query(request), out.Closed)


async def test_a_declined_code_reads_payerror_and_is_left_to_a_reversal(side: Side) -> None:
    request = side.pay_request(magic="01")
    declined = await side.pay(request)
    assert isinstance(declined, out.Declined)
    assert declined.channel_code == "NOT_ENOUGH"
    asked = await side.query(request)
    assert isinstance(asked, out.Unknown)
    assert asked.channel_code == "PAYERROR"
    assert isinstance(await side.cancel(request), out.Reversed)
    assert isinstance(await side.query(request), out.Closed)


async def test_native_is_paid_told_and_closed_no_more(side: Side) -> None:
    request = await shown(side, paid=True)
    await side.postbox.arrived(1)
    [callback] = side.postbox.accepted()
    asked = await side.query(request)
    assert isinstance(asked, out.Succeeded)
    assert isinstance(callback.learned, out.Succeeded)
    assert (callback.learned.channel_trade_no, callback.learned.paid_at) == (
        asked.channel_trade_no,
        asked.paid_at,
    )
    close = await side.cancel(request)
    assert isinstance(close, out.UseRefund)
    assert close.channel_code == "ORDER_PAID"


async def test_native_unpaid_is_closed_for_good(side: Side) -> None:
    request = await shown(side, paid=False)
    close = await side.cancel(request)
    assert isinstance(close, out.Reversed)
    assert close.was_charged is False
    again = await side.cancel(request)
    assert isinstance(again, out.Unknown)
    assert (again.reason, again.channel_code) == ("undecided", "ORDER_CLOSED")
    asked = await side.query(request)
    assert isinstance(asked, out.Closed)
    assert asked.was_charged is False


DIALECTS: list[dict[str, Any]] = [
    {"absent_fields_are_null": True},
    {"words_are_run_together": True},
    {"refund_state_is_called": "refund_status"},
    {"close_may_repeat": True, "user_paying_status": 200, "parameter_refusals_are_signed": True},
]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: next(iter(dialect)))
async def test_every_way_to_say_it_means_the_same(side: Side, dialect: dict[str, Any]) -> None:
    usual = await side.sandbox.settings("wechat")
    await side.sandbox.settings("wechat", **dialect)
    try:
        request = side.pay_request()
        assert isinstance(await side.query(request), out.NotFound)
        assert isinstance(await side.cancel(request), out.NothingThere)
        assert isinstance(await side.pay(request), out.Succeeded)
        assert isinstance(await side.pay(request), out.AlreadyExists)
        assert isinstance(await side.query(request), out.Succeeded)
        refund = side.refund_request(request, 500)
        assert isinstance(await side.query_refund(refund), out.RefundNotFound)
        assert isinstance(await side.refund(refund), out.RefundPending)
        assert isinstance(await side.settled_refund(refund), out.RefundSucceeded)
        typing = side.pay_request(magic="04")
        assert isinstance(await side.pay(typing), out.PayerActionNeeded)
        assert isinstance(await side.query(typing), out.PayerActionNeeded)
        assert isinstance(await side.cancel(typing), out.Reversed)
        poor = await side.pay(side.pay_request(magic="01"))
        assert isinstance(poor, out.Declined)
        assert poor.code == "insufficient_balance"
        order = await shown(side, paid=True)
        assert isinstance(await side.query(order), out.Succeeded)
        await side.postbox.arrived(2)
        told = {one.kind: one.learned or one.refund for one in side.postbox.accepted()}
        assert isinstance(told["pay"], out.Succeeded)
        assert isinstance(told["refund"], out.RefundSucceeded)
    finally:
        await side.sandbox.settings(**usual)


async def test_a_merchant_of_both_kinds_of_key_is_answered_with_the_one_it_names(
    sandbox: SandboxProcess, postbox: Postbox
) -> None:
    enrolled = await sandbox.enroll("wechat", "moves", mode="platform_certificate")
    both = enrolled["credentials"]
    for mode, only in (
        ("public_key", {"platform_certificates": []}),
        ("platform_certificate", {"platform_keys": {}}),
    ):
        side = Side(sandbox, MANIFEST, "moves", both | {"mode": mode} | only, postbox)
        assert isinstance(await side.pay(side.pay_request()), out.Succeeded)
        await side.close()


async def test_a_refund_is_accepted_told_and_then_the_query_of_its_order_proves_nothing(
    side: Side,
) -> None:
    request = await shown(side, paid=True)
    refund = side.refund_request(request, 500)
    assert isinstance(await side.refund(refund), out.RefundPending)
    await side.postbox.arrived(2)
    [told] = [one for one in side.postbox.accepted() if one.kind == "refund"]
    assert isinstance(told.refund, out.RefundSucceeded)
    assert (told.out_refund_no, told.amount) == (refund.out_refund_no, 500)
    settled = await side.settled_refund(refund)
    assert isinstance(settled, out.RefundSucceeded)
    assert settled.channel_refund_no == told.refund.channel_refund_no
    asked = await side.query(request)
    assert isinstance(asked, out.Unknown)
    assert asked.channel_code == "REFUND"


async def test_an_abnormal_refund_wants_a_person(side: Side) -> None:
    request = await shown(side, paid=True)
    refund = side.refund_request(request, 500)
    await side.arm(("refund",), "refund_abnormal")
    await side.refund(refund)
    settled = await side.settled_refund(refund)
    assert isinstance(settled, out.RefundDeclined)
    assert settled.needs_action


@pytest.mark.parametrize("fault", ["drop_after_charge", "stale_timestamp"])
async def test_an_answer_lost_or_stale_is_unknown(side: Side, fault: str) -> None:
    request = side.pay_request()
    await side.arm(("pay",), fault)
    assert isinstance(await side.pay(request), out.Unknown)
    assert await side.fired() == 1
    assert isinstance(await side.query(request), out.Succeeded)


async def test_a_reversal_while_the_payer_types_may_have_to_be_called_again(side: Side) -> None:
    request = side.pay_request(magic="04")
    await side.pay(request)
    await side.arm(CANCEL, "cancel_retry", times=1)
    again = await side.cancel(request)
    assert isinstance(again, out.CallAgain)
    assert again.channel_code == "USERPAYING"
    assert isinstance(await side.cancel(request), out.Reversed)


async def test_a_wrongly_signed_request_is_refused_and_the_unsigned_refusal_proves_nothing(
    side: Side,
) -> None:
    stranger = side.built(side.credentials | {"merchant_serial": "0" * 40})
    request = side.pay_request()
    outcome = await stranger.pay(request)
    assert isinstance(outcome, out.Unknown)
    assert outcome.reason == "refused_unsigned"
    assert outcome.evidence.startswith('HTTP 401, unsigned: {"code":"SIGN_ERROR"')
    assert await side.ledger(request) is None


async def test_a_parameter_that_is_refused_unsigned_proves_nothing(side: Side) -> None:
    request = side.pay_request(out_trade_no="short")
    outcome = await side.pay(request)
    assert isinstance(outcome, out.Unknown)
    assert outcome.reason == "refused_unsigned"
    assert outcome.evidence.startswith('HTTP 400, unsigned: {"code":"PARAM_ERROR"')


async def test_emoji_stay_here(side: Side) -> None:
    request = side.pay_request(description="火锅🍲")
    assert isinstance(await side.pay(request), out.Succeeded)
    order = side.pay_request(Flow.QR, description="🍲")
    assert isinstance(await side.pay(order), out.PayerActionNeeded)
    refund = side.refund_request(request, 500, reason="冷了🥶")
    assert isinstance(await side.refund(refund), out.RefundPending)


async def test_the_acceptance_probe_is_refused(side: Side) -> None:
    request = await shown(side, paid=True)
    await side.postbox.arrived(1)
    answers = await side.sandbox.callbacks(
        "wechat", side.account, request.out_trade_no, forged="signtest"
    )
    assert [(answer["status"], json.loads(answer["body"])["code"]) for answer in answers] == [
        (401, "FAIL")
    ]
    assert side.postbox.refused() == ["bad_signature"]


async def test_a_stale_callback_is_refused(side: Side) -> None:
    request = await shown(side, paid=True)
    await side.postbox.arrived(1)
    await side.sandbox.callbacks(
        "wechat", side.account, request.out_trade_no, forged="stale_timestamp"
    )
    assert side.postbox.refused() == ["stale"]


async def test_the_sdk_reads_a_callback_as_we_do(side: Side) -> None:
    if side.credentials["mode"] != "public_key":
        pytest.skip("without a public key the SDK fetches certificates from the real host")
    await shown(side, paid=True)
    await side.postbox.arrived(1)
    [received] = side.postbox.received
    [(key_id, key)] = side.credentials["platform_keys"].items()
    sdk = WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=side.credentials["mchid"],
        private_key=side.credentials["merchant_private_key"],
        cert_serial_no=side.credentials["merchant_serial"],
        apiv3_key=side.credentials["api_v3_key"],
        appid=side.credentials["appid"],
        notify_url=side.postbox.url,
        public_key=key,
        public_key_id=key_id,
    )
    theirs, [ours] = sdk.callback(received.headers, received.body), side.postbox.accepted()
    assert theirs["id"] == ours.event_key
    assert (theirs["resource"]["out_trade_no"], theirs["resource"]["amount"]["total"]) == (
        ours.out_trade_no,
        ours.amount,
    )


@pytest.mark.parametrize("mode", MODES)
async def test_while_a_key_changes_both_are_good(
    sandbox: SandboxProcess, postbox: Postbox, mode: str
) -> None:
    enrolled = await sandbox.enroll("wechat", f"rotates_{mode}", mode=mode, profile="short")
    old = Side(sandbox, MANIFEST, f"rotates_{mode}", enrolled["credentials"], postbox)
    request = old.pay_request()
    assert isinstance(await old.pay(request), out.Succeeded)
    await old.arm(("query",), "rotate_key", times=1)
    unknown = await old.query(request)
    assert isinstance(unknown, out.Unknown)
    assert unknown.reason == "unknown_key"  # never fetched: a person pins it
    assert await old.fired() == 1
    async with both_keys(old) as new:
        assert isinstance(await new.query(request), out.Succeeded)
    await old.close()


@asynccontextmanager
async def both_keys(old: Side) -> AsyncIterator[Side]:
    """The same account with every key the channel has published so far."""
    rows: list[dict[str, Any]] = (await old.sandbox._call("GET", "accounts"))["data"]
    [facts] = [row["facts"] for row in rows if row["account"] == old.account]
    keys = {
        "platform_keys": facts["platform_keys"],
        "platform_certificates": list(facts["platform_certificates"].values()),
    }
    rotated = (
        "platform_keys" if old.credentials["mode"] == "public_key" else "platform_certificates"
    )
    assert len(keys[rotated]) == 2
    new = Side(old.sandbox, MANIFEST, old.account, old.credentials | keys, old.postbox)
    try:
        yield new
    finally:
        await new.close()
