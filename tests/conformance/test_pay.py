"""Paying: what the customer does, what the line does, and what the adapter may conclude."""

import pytest

from adapters.channel import Flow, RemoteManifest
from gateway.domain import outcomes as out
from gateway.limits import AMOUNT_FEN_MAX
from sandbox.discovery import discover as sandbox_channels
from tests.conformance.conftest import REMOTE
from tests.conformance.side import AMOUNT, CLOCK, PAY, SILENCE_MS, Side


def test_every_remote_channel_has_a_sandbox() -> None:
    assert set(REMOTE) <= set(sandbox_channels())
    assert REMOTE


@pytest.mark.parametrize("manifest", REMOTE.values(), ids=REMOTE)
def test_a_manifest_is_complete(manifest: RemoteManifest) -> None:
    assert set(manifest.schedules) == manifest.flows
    assert "profile" in manifest.credentials.__struct_fields__
    for flow in manifest.flows:
        schedule = manifest.schedule(flow, "standard")
        assert schedule.query_every_ms <= schedule.query_every_ms_max
        assert manifest.schedule(flow, "short").first_query_ms == schedule.first_query_ms // 10
    for other in REMOTE.values():
        codes = [pattern for pattern in other.auth_codes if other is not manifest]
        assert not any(
            pattern.pattern == mine.pattern for pattern in codes for mine in manifest.auth_codes
        )


@pytest.mark.parametrize(
    "amount", [1, 10, 99, 100, 12_345_678_901 % AMOUNT_FEN_MAX, AMOUNT_FEN_MAX]
)
async def test_a_paid_code_is_succeeded_to_the_fen(side: Side, amount: int) -> None:
    request = side.pay_request(amount=amount)
    paid = await side.pay(request)
    assert isinstance(paid, out.Succeeded)
    row = await side.ledger(request)
    assert row is not None
    assert (paid.amount, paid.channel_trade_no) == (amount, row["channel_trade_no"])
    assert await side.moved(request) == (amount, 0)
    asked = await side.query(request)
    assert isinstance(asked, out.Succeeded)
    assert (asked.amount, asked.channel_trade_no) == (amount, row["channel_trade_no"])
    assert asked.paid_at is not None
    assert abs((asked.paid_at - CLOCK.now()).total_seconds()) < 60


RESCAN, BALANCE = out.Retry.RESCAN, out.FailureCode.INSUFFICIENT_BALANCE


@pytest.mark.parametrize(
    ("magic", "expected", "charged"),
    [
        ("00", out.Succeeded, True),
        ("01", out.Declined, False),
        ("02", out.Declined, False),
        ("03", out.PayerActionNeeded, False),
        ("04", out.PayerActionNeeded, False),
        ("05", out.Unknown, True),
        ("06", out.Unknown, False),
        ("07", out.Unknown, False),
        ("42", out.Succeeded, True),
    ],
)
async def test_magic_codes(side: Side, magic: str, expected: type, charged: bool) -> None:
    request = side.pay_request(magic=magic)
    outcome = await side.pay(request)
    assert isinstance(outcome, expected)
    assert (await side.moved(request))[0] == (AMOUNT if charged else 0)
    if magic == "01":
        assert isinstance(outcome, out.Declined)
        assert (outcome.code, outcome.retry, outcome.failover_useful) == (
            BALANCE,
            out.Retry.OTHER_METHOD,
            False,
        )
    if magic == "02":
        assert isinstance(outcome, out.Declined)
        assert (outcome.retry, outcome.failover_useful, outcome.proof) == (
            RESCAN,
            False,
            out.Proof.SIGNED_REFUSAL,
        )
    assert request.presented.secrets
    assert all(secret.reveal() not in repr(outcome) for secret in request.presented.secrets)


async def test_a_lost_answer_after_the_charge_is_found_by_a_query(side: Side) -> None:
    request = side.pay_request(magic="05")
    assert isinstance(await side.pay(request), out.Unknown)
    assert isinstance(await side.query(request), out.Succeeded)


async def test_a_lost_request_is_not_found_and_that_is_no_proof(side: Side) -> None:
    request = side.pay_request(magic="06")
    assert isinstance(await side.pay(request), out.Unknown)
    assert isinstance(await side.query(request), out.NotFound)


async def test_a_typed_password_becomes_a_payment(side: Side) -> None:
    request = side.pay_request(magic="04")
    assert isinstance(await side.pay(request), out.PayerActionNeeded)
    assert isinstance(await side.query(request), out.PayerActionNeeded)
    await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    assert isinstance(await side.query(request), out.Succeeded)


async def test_a_shown_qr_is_paid_when_the_customer_scans_it(side: Side) -> None:
    if Flow.QR not in side.manifest.flows:
        pytest.skip("this channel shows no QR code")
    request = side.pay_request(Flow.QR)
    shown = await side.pay(request)
    assert isinstance(shown, out.PayerActionNeeded)
    assert shown.qr_code
    # Before the scan some channels know no order yet: neither answer may free the payment.
    assert isinstance(await side.query(request), out.PayerActionNeeded | out.NotFound)
    await side.sandbox.pay(request.out_trade_no, channel=side.name, account=side.account)
    paid = await side.query(request)
    assert isinstance(paid, out.Succeeded)
    assert paid.amount == AMOUNT


async def test_the_same_number_is_charged_once(side: Side) -> None:
    first = side.pay_request()
    assert isinstance(await side.pay(first), out.Succeeded)
    again = side.pay_request(out_trade_no=first.out_trade_no)
    assert isinstance(await side.pay(again), out.AlreadyExists)
    other = side.pay_request(out_trade_no=first.out_trade_no, amount=AMOUNT + 1)
    assert isinstance(await side.pay(other), out.AlreadyExists)
    assert await side.moved(first) == (AMOUNT, 0)


async def test_a_spent_code_pays_nothing_else(side: Side) -> None:
    first = side.pay_request()
    assert isinstance(await side.pay(first), out.Succeeded)
    second = side.pay_request(presented=first.presented)
    refused = await side.pay(second)
    assert isinstance(refused, out.Declined)
    assert (refused.code, refused.retry) == (out.FailureCode.AUTH_CODE_INVALID, RESCAN)
    assert await side.moved(second) == (0, 0)


LONG = "满汉全席" * 64
ODD = ['a&b=c/d"e\\f+g h%20', "🍜🥟", "第一行\n第二行", LONG, " ", "<b>&amp;</b>"]


@pytest.mark.parametrize("description", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("flow", list(Flow))
async def test_any_description_is_signed_as_it_is_sent(
    side: Side, flow: Flow, description: str
) -> None:
    outcome = await side.pay(side.pay_request(flow, description=description))
    assert isinstance(outcome, out.Succeeded | out.PayerActionNeeded), outcome


async def test_nothing_leaves_after_the_deadline(side: Side) -> None:
    request = side.pay_request(deadline=CLOCK.monotonic() - 0.001)
    outcome = await side.pay(request)
    assert isinstance(outcome, out.NotSent)
    assert await side.ledger(request) is None


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_order"])
async def test_a_yes_about_something_else_is_a_mismatch(side: Side, fault: str) -> None:
    request = side.pay_request()
    await side.arm(("pay",), fault)
    outcome = await side.pay(request)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Mismatch)
    assert outcome.expected != outcome.got


@pytest.mark.parametrize("fault", ["system_error_charged", "system_error_not_charged"])
@pytest.mark.parametrize("flow", list(Flow))
async def test_a_system_error_proves_nothing(side: Side, flow: Flow, fault: str) -> None:
    request = side.pay_request(flow)
    await side.arm(PAY, fault)
    outcome = await side.pay(request)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Unknown)


@pytest.mark.parametrize("fault", ["delay_before", "delay_after"])
async def test_silence_proves_nothing(side: Side, fault: str) -> None:
    request = side.pay_request()
    await side.arm(PAY, fault, delay_ms=2 * SILENCE_MS)
    async with side.fresh_connections(SILENCE_MS) as hasty:
        outcome = await hasty.pay(request)
    assert await side.fired() == 1
    assert isinstance(outcome, out.Unknown)
