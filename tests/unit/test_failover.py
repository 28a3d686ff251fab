"""The ruling on every end of an attempt, and what is drawn from it: one line a case."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.channel import Flow
from adapters.discovery import discover
from gateway.domain import outcomes as o
from gateway.domain.identifiers import Numbers
from gateway.domain.learning import learned
from gateway.domain.outcomes import Proof, Retry
from gateway.domain.payment import Attempt, Payment
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.choose.routing import Choice
from gateway.flow.ports import Ports
from gateway.flow.send.failover import RULINGS, Failover, Ruling, end_of, ruling
from gateway.limits import ATTEMPTS_MAX, EXPIRES_IN_S_MIN
from tests.fakes.accounts import remote_account
from tests.fakes.store import MemoryStore
from tests.shelf import Shelf
from tests.simulation.clock import SimIds
from tests.unit.paying import NOW, attempt, later, occasion, payment

ALIPAY = discover()["alipay"]
THEIR_FAULT = o.Declined(
    code=o.FailureCode.MERCHANT_RESTRICTED,
    retry=Retry.OTHER_METHOD,
    failover_useful=True,
    channel_code="BLOCKED",
)
HIS_FAULT = o.Declined(
    code=o.FailureCode.INSUFFICIENT_BALANCE,
    retry=Retry.OTHER_METHOD,
    failover_useful=False,
    channel_code="LOW",
)
OUTCOMES: dict[str, Any] = {
    "not_sent": o.NotSent(reason="refused"),
    "their_fault": THEIR_FAULT,
    "his_fault": HIS_FAULT,
    "payerror": o.Declined(
        code=o.FailureCode.PAYMENT_REFUSED, retry=Retry.RESCAN, failover_useful=False
    ),
    "closed": o.Closed(was_charged=False),
    "reversed": o.Reversed(was_charged=False),
    "absent": o.NotFound(),
    "silence": o.Unknown(reason="timeout"),
    "again": o.CallAgain(),
    "exists": o.AlreadyExists(),
}

TABLE = """
not_sent    P0 code  now
not_sent    P0 qr    now
their_fault P1 code  rescan
their_fault P1 qr    now
his_fault   P1 code  stay
his_fault   P1 qr    stay
payerror    P2 code  rescan
payerror    P2 qr    now
closed      P2 code  rescan
closed      P2 qr    now
reversed    P3 code  rescan
reversed    P3 qr    now
absent      P4 code  rescan
absent      P4 qr    now
silence     P4 qr    stay
again       P3 qr    stay
exists      P1 qr    stay
absent      P1 qr    stay
closed      P0 qr    stay
"""


class StoppedClock:
    """It is always `NOW`."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def account(name: str, channel: str = "alipay", **fields: Any) -> RemoteAccount:
    return remote_account(name, channel, **fields)


def failover(*accounts: RemoteAccount, restored: datetime | None = None) -> Failover:
    shelf = Shelf("m1", ("s1",), accounts, discover())
    shelf.restored = restored
    clock, ids = StoppedClock(), SimIds()
    ports = Ports(store=MemoryStore(), directory=shelf, clock=clock, ids=ids, numbers=Numbers("TT"))
    return Failover(ports=ports, health=ChannelHealth(clock), worker_id="wrk_2")


def doing(flow: str = "code", **fields: Any) -> Payment:
    tried = attempt("sent", channel="alipay", channel_account="a")
    return payment("processing", tried, flow=flow, channel="alipay", **fields)


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_rulings(line: str) -> None:
    name, proof, flow, move = line.split()
    assert ruling(OUTCOMES[name], Proof(proof), Flow(flow)) == move


def test_every_ruling_is_in_the_table() -> None:
    judged = {
        (end_of(OUTCOMES[name], Proof(proof)), Proof(proof), Flow(flow))
        for name, proof, flow, _ in (line.split() for line in TABLE.strip().splitlines())
    }
    assert {(end, proof, flow) for end, proof in RULINGS for flow in Flow} <= judged
    assert {line.split()[3] for line in TABLE.strip().splitlines()} == set(Ruling)


def test_the_next_attempt_has_the_next_number_and_says_why() -> None:
    drawn = failover(account("a"), account("b")).successors()(
        doing(), attempt("not_sent", trade_number=4), OUTCOMES["not_sent"], Proof.NEVER_SENT
    )
    assert isinstance(drawn, Attempt)
    assert (
        drawn.number,
        drawn.trade_number,
        drawn.channel_account,
        drawn.status,
        drawn.worker_id,
    ) == (2, 5, "b", "sent", "wrk_2")
    assert drawn.why.endswith("; after attempt 1: P0 refused")
    assert drawn.due_at == drawn.send_by > drawn.sent_at
    assert drawn.not_after > drawn.send_by


@pytest.mark.parametrize(
    ("backups", "fields", "flow", "expected"),
    [
        ((account("b"),), {}, "code", "b"),
        ((), {}, "code", None),
        ((account("b", enabled=False),), {}, "code", None),
        ((account("b", store_id="s2"),), {}, "code", None),
        ((account("b", "wechat"),), {}, "code", None),  # a payment code is of one wallet
        ((account("b"),), {"expires_at": NOW + timedelta(days=1)}, "qr", "b"),
        (
            (account("b"),),
            {"expires_at": NOW + timedelta(seconds=EXPIRES_IN_S_MIN - 1)},
            "qr",
            None,
        ),
    ],
)
def test_who_is_next(
    backups: tuple[RemoteAccount, ...], fields: dict[str, Any], flow: str, expected: str | None
) -> None:
    road = failover(account("a"), *backups)
    chosen = road.next_of(
        doing(flow, **fields), attempt("not_sent"), OUTCOMES["not_sent"], Proof.NEVER_SENT
    )
    assert (chosen.account.id if isinstance(chosen, Choice) else chosen) == expected


@pytest.mark.parametrize("flow", list(Flow))
def test_no_next_number_is_used_while_the_books_lack_what_the_channels_did(flow: Flow) -> None:
    """The lost hours may have used it, at an account that is not asked here."""
    accounts = (account("a"), account("b"))
    was, ended = doing(flow), attempt("not_sent")
    for restored, expected in ((None, "b"), (NOW, None)):
        chosen = failover(*accounts, restored=restored).next_of(
            was, ended, OUTCOMES["not_sent"], Proof.NEVER_SENT
        )
        assert (chosen.account.id if isinstance(chosen, Choice) else chosen) == expected


def test_no_account_is_tried_twice_and_not_for_ever() -> None:
    accounts = [account(name) for name in "abcdef"]
    tried = tuple(
        attempt("not_sent", id=f"att_{n}", number=n, channel_account=name)
        for n, name in enumerate("abcdef"[:ATTEMPTS_MAX], 1)
    )
    assert (
        failover(*accounts).next_of(
            payment("processing", *tried, channel="alipay"),
            tried[-1],
            OUTCOMES["not_sent"],
            Proof.NEVER_SENT,
        )
        is None
    )


def test_a_spent_code_asks_for_a_new_scan_only_where_another_account_is_left() -> None:
    rescans = failover(account("a"), account("b")).next_of(
        doing(), attempt("declined"), THEIR_FAULT, Proof.SIGNED_REFUSAL
    )
    alone = failover(account("a")).next_of(
        doing(), attempt("declined"), THEIR_FAULT, Proof.SIGNED_REFUSAL
    )
    assert (rescans, alone) == (Retry.RESCAN, None)


def test_one_write_closes_one_and_opens_the_next() -> None:
    road = failover(account("a"), account("b"))
    was = doing()
    told = occasion("pay", successor=road.successors())
    change = learned(was, was.attempts[0], OUTCOMES["not_sent"], told)
    assert change is not None
    assert [(a.number, a.status) for a in change.payment.attempts] == [(1, "not_sent"), (2, "sent")]
    assert (change.payment.status, change.payment.version, change.payment.failure) == (
        "processing",
        was.version + 1,
        None,
    )
    assert change.new_attempt == change.payment.attempts[-1] == change.payment.current
    assert not change.events[0].public


def test_a_till_that_wants_to_cancel_gets_no_further_attempt() -> None:
    was = doing(cancel_requested_at=NOW)
    told = occasion("pay", successor=failover(account("a"), account("b")).successors())
    change = learned(was, was.attempts[0], OUTCOMES["not_sent"], told)
    assert change is not None and change.new_attempt is None and change.payment.status == "canceled"  # noqa: PT018


def test_an_order_whose_code_nobody_got_to_see_is_not_waiting_for_a_payer() -> None:
    was = payment("in_doubt", attempt("in_doubt"), flow="qr", expires_at=later(600))
    change = learned(was, was.attempts[0], o.PayerActionNeeded(), occasion("query"))
    assert change is not None and (change.payment.status, change.payment.attempts[0].status) == (  # noqa: PT018
        "in_doubt",
        "in_doubt",
    )
    shown = replace(was, qr_code="weixin://x")
    change = learned(shown, shown.attempts[0], o.PayerActionNeeded(), occasion("query"))
    assert change is not None and change.payment.status == "awaiting_payer"  # noqa: PT018


@pytest.mark.parametrize(
    ("flow", "outcome", "proof"),
    [
        ("code", OUTCOMES["not_sent"], Proof.NEVER_SENT),
        ("qr", OUTCOMES["closed"], Proof.FINAL_STATE),
        ("qr", THEIR_FAULT, Proof.SIGNED_REFUSAL),
    ],
)
def test_nothing_follows_once_an_earlier_attempt_has_captured_after_its_end(
    flow: str, outcome: Any, proof: Proof
) -> None:
    """The database would refuse it too, and then the attempt that ended could never be written down
    as ended.
    """
    first = attempt("captured_late", channel_account="a")
    second = attempt(
        "not_sent", id="att_2", number=2, trade_number=2, out_trade_no="TT2", channel_account="b"
    )
    was = payment(
        "in_doubt", first, second, flow=flow, channel="alipay", expires_at=NOW + timedelta(days=1)
    )
    assert (
        failover(account("a"), account("b"), account("c")).next_of(was, second, outcome, proof)
        is None
    )


@pytest.mark.parametrize("end", ["closed", "payerror", "absent"])
def test_a_code_that_was_on_display_expires_and_is_not_replaced(end: str) -> None:
    """However the channel speaks of an order that nobody has scanned,
    and whoever says that it is over.
    """
    tried = attempt(
        "cancelling",
        channel="alipay",
        channel_account="a",
        last_cancel="NothingThere",
    )
    was = payment(
        "in_doubt",
        tried,
        flow="qr",
        channel="alipay",
        qr_code="https://qr",
        expires_at=NOW + timedelta(days=1),
    )
    road = failover(account("a"), account("b"))
    told = occasion("query", proof_passed=True, successor=road.successors())
    change = learned(was, tried, OUTCOMES[end], told)
    assert change is not None
    assert (change.payment.status, len(change.payment.attempts)) == ("expired", 1)


def test_a_frozen_payment_goes_nowhere() -> None:
    """Frozen by what a channel said of the first attempt, while the second was on its way."""
    second = attempt(
        "sent", id="att_2", number=2, trade_number=2, out_trade_no="TT2", channel_account="b"
    )
    was = payment(
        "in_doubt",
        attempt("not_sent", channel_account="a"),
        second,
        channel="alipay",
        frozen_at=NOW,
    )
    road = failover(account("a"), account("b"), account("c"))
    told = occasion("pay", successor=road.successors())
    change = learned(was, second, OUTCOMES["not_sent"], told)
    assert change is not None
    assert (change.payment.status, [a.status for a in change.payment.attempts]) == (
        "in_doubt",
        ["not_sent", "in_doubt"],
    )


def test_what_was_surplus_never_becomes_the_money_of_a_payment_that_is_paid_late() -> None:
    """The first attempt pays beside the second, which ends and then pays too."""
    second = attempt("reversed", id="att_2", number=2, trade_number=2, out_trade_no="TT2")
    before = payment("in_doubt", attempt("not_sent"), replace(second, status="in_doubt"))
    yes, since = (
        o.Succeeded(amount=1000, channel_trade_no="C1"),
        occasion("query", asked_after_end=True),
    )
    surplus = learned(before, before.attempts[0], yes, since)
    assert surplus is not None and (surplus.payment.status, surplus.payment.settling) == (  # noqa: PT018
        "in_doubt",
        None,
    )
    failed = payment("failed", surplus.payment.attempts[0], second)
    late = learned(failed, failed.attempts[1], yes, since)
    assert late is not None and late.payment.settling is not None  # noqa: PT018
    assert (late.payment.status, late.payment.settling.id, late.payment.current.id) == (
        "paid_late",
        "att_2",
        "att_2",
    )


@pytest.mark.parametrize(("restored", "accounts"), [(NOW - timedelta(hours=1), []), (None, ["b"])])
def test_in_restored_mode_no_payment_moves_on(
    restored: datetime | None, accounts: list[str]
) -> None:
    """The next number may have charged at a third account in the hours that were lost."""
    road = failover(account("a"), account("b"), restored=restored)
    found = road.next_of(doing(), attempt("not_sent"), OUTCOMES["not_sent"], Proof.NEVER_SENT)
    assert ([found.account.id] if isinstance(found, Choice) else []) == accounts
