"""The Alipay adapter against the sandbox's Alipay, over real sockets, in both key modes."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from adapters.alipay.channel import AlipayChannel, build
from adapters.alipay.manifest import MANIFEST
from adapters.alipay.test_alipay import OURS, private_pem
from adapters.channel import Callback, CallbackRefused, Flow, PayRequest, RefundRequest, TradeRef
from adapters.transport import AiohttpTransport
from gateway.clock import SystemClock
from gateway.domain.outcomes import (
    AlreadyExists,
    Closed,
    Declined,
    Mismatch,
    NotFound,
    NothingThere,
    PayerActionNeeded,
    RefundNotFound,
    RefundPending,
    RefundSucceeded,
    Reversed,
    Succeeded,
    Unknown,
)
from gateway.domain.presenting import PaymentCode, ShownQr
from security.secret import Secret, decode_hook
from tests.patience import PATIENCE_S
from tests.sandbox_process import SandboxProcess

CLOCK = SystemClock()
AMOUNT = 12_850
NUMBERS = itertools.count(int(CLOCK.now().timestamp() * 1000))


@dataclass
class Shop:
    """One enrolled account: its channel, and what Alipay calls back."""

    name: str
    sandbox: SandboxProcess
    channel: AlipayChannel
    inbox: asyncio.Queue[tuple[dict[str, str], bytes]]
    built: Callable[..., AlipayChannel]  # the same account with changed credentials

    def order(self, flow: Flow = Flow.CODE, person: str = "00") -> PayRequest:
        """`person`: the payment code's last two digits say what its owner does."""
        number, now = next(NUMBERS), CLOCK.now()
        return PayRequest(
            out_trade_no=f"TG{number}",
            amount=AMOUNT,
            currency="CNY",
            description="一号店 / 午餐",
            presented=PaymentCode(Secret(f"28{number:014d}{person}"[-18:]))
            if flow is Flow.CODE
            else ShownQr(),
            store_id="store_1",
            terminal_id="term_1",
            operator_id="",
            sent_at=now,
            not_after=now + timedelta(seconds=70 if flow is Flow.CODE else 300),
            notify_url=None,
            deadline=CLOCK.monotonic() + 5,
        )

    async def callback(self, order: PayRequest) -> Callback:
        """The next one about `order`, verified. A late one of the test before is passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                headers, body = await self.inbox.get()
                if order.out_trade_no.encode() in body:
                    return self.channel.read_callback(headers, body)


def trade(order: PayRequest) -> TradeRef:
    return TradeRef(
        out_trade_no=order.out_trade_no,
        amount=order.amount,
        currency=order.currency,
        flow=order.flow,
        sent_at=order.sent_at,
        channel_trade_no=None,
        deadline=CLOCK.monotonic() + 5,
    )


def refund(order: PayRequest, number: str, amount: int) -> RefundRequest:
    return RefundRequest(
        out_trade_no=order.out_trade_no,
        channel_trade_no=None,
        out_refund_no=f"{order.out_trade_no}{number}",
        total_amount=order.amount,
        refund_amount=amount,
        currency=order.currency,
        reason="dish returned",
        notify_url=None,
        deadline=CLOCK.monotonic() + 5,
    )


@pytest_asyncio.fixture(name="sandbox", scope="module")
async def start_sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxProcess]:
    process = SandboxProcess()
    await process.start(tmp_path_factory.mktemp("sandbox"))
    await process.settings("alipay", query_lag_ms_max=0)
    yield process
    await process.stop()


@pytest_asyncio.fixture(name="shop", scope="module", params=["public_key", "certificate"])
async def open_shop(request: Any, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    inbox: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def receive(incoming: web.Request) -> web.Response:
        await inbox.put((dict(incoming.headers), await incoming.read()))
        return web.Response(body=b"success")

    app = web.Application()
    app.router.add_post("/callbacks/a", receive)
    mode: Literal["public_key", "certificate"] = request.param
    async with TestServer(app) as server:
        enrolled = await sandbox.enroll(
            "alipay",
            mode,
            mode=mode,
            profile="standard",
            callback_url=str(server.make_url("/callbacks/a")),
        )
        assert MANIFEST.credentials is not None
        credentials = msgspec.convert(
            enrolled["credentials"], MANIFEST.credentials, dec_hook=decode_hook
        )
        with ThreadPoolExecutor(2) as executor:
            transport = AiohttpTransport(
                clock=CLOCK,
                signing_executor=executor,
                read_timeout_ms=20_000,
                call_timeout_ms=40_000,
            )

            def built(**changed: Any) -> AlipayChannel:
                return build(msgspec.structs.replace(credentials, **changed), transport, CLOCK)

            yield Shop(mode, sandbox, built(), inbox, built)
            await transport.aclose()


@pytest.fixture(autouse=True)
async def clean(sandbox: SandboxProcess) -> AsyncIterator[None]:
    usual = await sandbox.settings("alipay")
    yield
    await sandbox.disarm()
    await sandbox.settings(**usual)


async def test_a_payment_succeeds_and_is_called_back(shop: Shop) -> None:
    order = shop.order()
    paid = await shop.channel.pay(order)
    assert isinstance(paid, Succeeded)
    assert (paid.amount, paid.received_amount) == (AMOUNT, AMOUNT)
    queried = await shop.channel.query(trade(order))
    assert isinstance(queried, Succeeded)
    assert (queried.channel_trade_no, queried.paid_at) == (paid.channel_trade_no, paid.paid_at)
    callback = await shop.callback(order)
    assert (callback.kind, callback.out_trade_no, callback.amount) == (
        "pay",
        order.out_trade_no,
        AMOUNT,
    )
    assert isinstance(callback.learned, Succeeded)
    assert callback.learned.channel_trade_no == paid.channel_trade_no
    assert [row["state"] for row in await rows(shop, order)] == ["charged"]


@pytest.mark.parametrize(
    ("person", "code"), [("01", "insufficient_balance"), ("02", "auth_code_invalid")]
)
async def test_a_refusal_is_signed_proof(shop: Shop, person: str, code: str) -> None:
    order = shop.order(person=person)
    refused = await shop.channel.pay(order)
    assert isinstance(refused, Declined)
    assert refused.code == code
    assert isinstance(await shop.channel.query(trade(order)), NotFound)


async def test_the_same_number_again_is_already_known(shop: Shop) -> None:
    order = shop.order()
    assert isinstance(await shop.channel.pay(order), Succeeded)
    assert isinstance(await shop.channel.pay(order), AlreadyExists)
    assert isinstance(await shop.channel.pay(replace(order, amount=AMOUNT + 1)), AlreadyExists)


async def test_a_payer_types_and_is_cancelled(shop: Shop) -> None:
    order = shop.order(person="04")
    assert isinstance(await shop.channel.pay(order), PayerActionNeeded)
    assert isinstance(await shop.channel.query(trade(order)), PayerActionNeeded)
    for _ in range(2):
        cancelled = await shop.channel.cancel(trade(order))
        assert isinstance(cancelled, Reversed)
        assert cancelled.was_charged is False
    closed = await shop.channel.query(trade(order))
    assert isinstance(closed, Closed)
    assert closed.was_charged is None
    assert isinstance(await shop.channel.pay(order), Declined)


async def test_a_payer_types_and_pays(shop: Shop) -> None:
    order = shop.order(person="04")
    assert isinstance(await shop.channel.pay(order), PayerActionNeeded)
    await shop.sandbox.pay(order.out_trade_no, channel="alipay", account=shop.name)
    assert isinstance(await shop.channel.query(trade(order)), Succeeded)
    assert isinstance((await shop.callback(order)).learned, Succeeded)


@pytest.mark.parametrize(
    ("person", "after", "cancelled"),
    [("05", Succeeded, Reversed), ("06", NotFound, NothingThere)],
    ids=["charged", "never arrived"],
)
async def test_a_lost_answer_is_unknown_until_it_is_asked_for(
    shop: Shop, person: str, after: type, cancelled: type
) -> None:
    order = shop.order(person=person)
    assert isinstance(await shop.channel.pay(order), Unknown)
    assert isinstance(await shop.channel.query(trade(order)), after)
    assert isinstance(await shop.channel.cancel(trade(order)), cancelled)
    assert not [row for row in await rows(shop, order) if row["state"] == "charged"]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop_bytes_after", Unknown),
        ("http_500_after_charge", Unknown),
        ("bad_signature", Unknown),
        ("system_error_charged", Unknown),
        ("wrong_amount", Mismatch),
        ("wrong_order", Mismatch),
    ],
)
async def test_what_goes_wrong_on_the_way_back(shop: Shop, fault: str, outcome: type) -> None:
    await shop.sandbox.arm("alipay", "pay", fault, account=shop.name, times=1)
    assert isinstance(await shop.channel.pay(shop.order()), outcome)
    assert [row["fired"] for row in await shop.sandbox.disarm()] == [1]


async def test_who_paid_a_discount_is_told_by_answer_query_and_callback(shop: Shop) -> None:
    await shop.sandbox.settings("alipay", voucher_fen=500)
    order = shop.order()
    paid = await shop.channel.pay(order)
    asked = await shop.channel.query(trade(order))
    called_back = (await shop.callback(order)).learned
    for learned in (paid, asked, called_back):
        assert isinstance(learned, Succeeded)
        assert (learned.amount, learned.received_amount) == (AMOUNT, AMOUNT - 500)
        assert [(each.amount, each.funded_by) for each in learned.discounts] == [(500, "merchant")]


async def test_a_face_is_taken_for_a_code(shop: Shop) -> None:
    order = shop.order()
    face = Secret(f"fp{order.out_trade_no[2:]:0>31}00")  # of a person who pays at once
    assert isinstance(
        await shop.channel.pay(replace(order, presented=PaymentCode(face))), Succeeded
    )


async def test_a_wrong_key_is_refused_with_a_signature_and_a_wrong_app_without(
    shop: Shop,
) -> None:
    another = Secret(private_pem(OURS))
    refused = await shop.built(app_private_key=another).pay(shop.order())
    assert isinstance(refused, Declined)
    assert (refused.code, refused.failover_useful) == ("channel_configuration", True)
    assert "isv.invalid-signature" in refused.evidence
    doubted = await shop.built(app_id="2021000000000000").pay(shop.order())
    assert isinstance(doubted, Unknown)
    assert doubted.reason == "refused_unsigned"
    assert "isv.invalid-app-id" in doubted.evidence


async def test_a_cancel_may_have_to_be_called_again(shop: Shop) -> None:
    order = shop.order()
    await shop.channel.pay(order)
    await shop.sandbox.arm("alipay", "cancel", "cancel_retry", account=shop.name, times=1)
    assert [type(await shop.channel.cancel(trade(order))).__name__ for _ in range(2)] == [
        "CallAgain",
        "Reversed",
    ]
    closed = await shop.channel.query(trade(order))
    assert isinstance(closed, Closed)
    assert closed.was_charged is True


async def test_refunds_in_parts(shop: Shop) -> None:
    await shop.sandbox.settings("alipay", closed_is_notified=True)
    order = shop.order()
    await shop.channel.pay(order)
    assert (await shop.callback(order)).kind == "pay"
    first, second = refund(order, "a", 2_850), refund(order, "b", 10_000)
    assert isinstance(await shop.channel.query_refund(first), RefundNotFound)
    done = await shop.channel.refund(first)
    assert isinstance(done, RefundSucceeded)
    assert done.amount == 2_850
    assert isinstance(await shop.channel.refund(first), RefundPending)
    assert isinstance(await shop.channel.query_refund(first), RefundSucceeded)
    callback = await shop.callback(order)
    assert (callback.kind, callback.out_refund_no) == ("refund", first.out_refund_no)
    assert isinstance(await shop.channel.refund(second), RefundSucceeded)
    assert isinstance((await shop.callback(order)).learned, Closed)
    assert [(row["state"], row["refunded"]) for row in await rows(shop, order)] == [
        ("refunded", AMOUNT)
    ]


async def test_a_refunds_lost_answer_is_found_by_its_number(shop: Shop) -> None:
    order = shop.order()
    await shop.channel.pay(order)
    await shop.sandbox.arm("alipay", "refund", "drop_after_charge", account=shop.name, times=1)
    assert isinstance(await shop.channel.refund(refund(order, "a", 100)), Unknown)
    assert isinstance(await shop.channel.query_refund(refund(order, "a", 100)), RefundSucceeded)


async def test_a_qr_code_is_shown_scanned_and_paid(shop: Shop) -> None:
    order = shop.order(Flow.QR)
    shown = await shop.channel.pay(order)
    assert isinstance(shown, PayerActionNeeded)
    assert (shown.qr_code or "").startswith("https://qr.alipay.com/")
    assert isinstance(await shop.channel.query(trade(order)), NotFound)
    await shop.sandbox.pay(order.out_trade_no, channel="alipay", account=shop.name, only_scan=True)
    assert isinstance(await shop.channel.query(trade(order)), PayerActionNeeded)
    await shop.sandbox.pay(order.out_trade_no, channel="alipay", account=shop.name)
    assert isinstance(await shop.channel.query(trade(order)), Succeeded)
    assert (await shop.callback(order)).out_trade_no == order.out_trade_no


@pytest.mark.parametrize(("scanned", "cancelled"), [(False, NothingThere), (True, Reversed)])
async def test_a_qr_code_is_withdrawn(shop: Shop, scanned: bool, cancelled: type) -> None:
    order = shop.order(Flow.QR)
    await shop.channel.pay(order)
    if scanned:
        await shop.sandbox.pay(
            order.out_trade_no, channel="alipay", account=shop.name, only_scan=True
        )
    assert isinstance(await shop.channel.cancel(trade(order)), cancelled)


async def test_a_callback_sent_again_is_the_same_event(shop: Shop) -> None:
    order = shop.order()
    await shop.channel.pay(order)
    first = await shop.callback(order)
    await shop.sandbox.callbacks("alipay", shop.name, order.out_trade_no, kind="pay", times=2)
    assert {(await shop.callback(order)).event_key for _ in range(2)} == {first.event_key}


@pytest.mark.parametrize(
    ("forged", "reason"),
    [("signature", "bad_signature"), ("app", "foreign_app"), ("seller_or_mchid", "foreign_seller")],
)
async def test_a_forged_callback_is_refused(shop: Shop, forged: str, reason: str) -> None:
    order = shop.order()
    await shop.channel.pay(order)
    await shop.callback(order)
    await shop.sandbox.callbacks(
        "alipay", shop.name, order.out_trade_no, kind="pay", times=1, forged=forged
    )
    with pytest.raises(CallbackRefused, match=reason):
        await shop.callback(order)


async def test_the_age_of_a_callback_is_no_reason_to_refuse_it(shop: Shop) -> None:
    order = shop.order()
    await shop.channel.pay(order)
    first = await shop.callback(order)
    await shop.sandbox.callbacks(
        "alipay", shop.name, order.out_trade_no, kind="pay", times=1, forged="stale_timestamp"
    )
    assert (await shop.callback(order)).event_key == first.event_key


async def rows(shop: Shop, order: PayRequest) -> list[dict[str, Any]]:
    return [
        row
        for row in await shop.sandbox.ledger("alipay", shop.name)
        if row["out_trade_no"] == order.out_trade_no
    ]
