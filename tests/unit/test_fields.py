"""One field is written down in many places: what callers send, the command, the comparison of a
repeat, the opening, the column, the answer. Here the lists are held to each other, so that a field
that was forgotten in one of them is noticed.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.channel import Entry, Flow, LocalSucceeded
from gateway.domain.change import Event, Posting
from gateway.domain.days import Days
from gateway.domain.identifiers import Numbers
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.presenting import CashGiven, Given, PaymentCode, ShownQr
from gateway.domain.resources import AttemptResource, PaymentResource, RefundResource
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.choose.routing import Choice
from gateway.flow.commands import Caller, OverrideCommand, PayCommand, RefundCommand
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.open.idempotency import fingerprint
from gateway.flow.open.opening import Draft
from gateway.http.bodies import (
    CashBody,
    OverrideBody,
    PayBody,
    PaymentsQuery,
    RefundBody,
    RefundsQuery,
    SupervisorBody,
)
from gateway.http.payments import pay_command
from gateway.storage.books import columns as c
from gateway.storage.books import rows
from security.secret import Secret
from tests.fakes.accounts import local_account, remote_account
from tests.simulation.clock import SimIds
from tests.unit.paying import NOW


def fields(struct: Any) -> set[str]:
    """Of a msgspec struct or a dataclass."""
    names = getattr(struct, "__struct_fields__", None) or struct.__dataclass_fields__
    return set(names)


# --- the books: a struct and its columns


@pytest.mark.parametrize(
    ("columns", "struct", "elsewhere"),
    [
        (c.PAYMENT, Payment, {"attempts"}),  # rows of their own
        (c.ATTEMPT, Attempt, set()),
        (c.REFUND, Refund, set()),
        (c.CLAIM, rows._Claim, set()),
        (c.EVENT, rows._Event, set()),
        (c.POSTING, rows._Posting, set()),
        (c.CASE, rows._Case, set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_has_a_column_and_every_column_a_field(columns, struct, elsewhere):
    assert len(set(columns.names)) == len(columns.names)
    assert set(columns.names) == fields(struct) - elsewhere


@pytest.mark.parametrize(
    ("row", "struct", "of_the_payment"),
    [
        (rows._Event, Event, {"merchant_id", "payment_id", "notify_url"}),
        (rows._Posting, Posting, {"merchant_id", "payment_id", "at"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_recorded_beside_a_payment_is_written_whole(row, struct, of_the_payment):
    assert fields(row) == fields(struct) | of_the_payment


# --- a request, field by field: the three bodies give each a value that is not its default

CODE = Secret("280000000000000000")
PIN = Secret("482913")
SCANNED = PayBody(
    order_no="A1",
    tender_no=2,
    order_amount=5_000,
    amount=900,
    currency="CNY",
    method="cash",
    auth_code=CODE,
    override=OverrideBody(
        payment_id="pay_9", supervisor=SupervisorBody(id="ann", pin=PIN), reason="queue"
    ),
    store_id="s1",
    operator_id="op",
    description="noodles",
    metadata={"table": "8"},
    notify_url="https://merchant.example/hooks",
)
SHOWN = replace(SCANNED, auth_code=None, flow=Flow.QR, expires_in=60)
PAID_CASH = replace(SCANNED, auth_code=None, cash=CashBody(tendered=1_000))
BODIES = (SCANNED, SHOWN, PAID_CASH)
COMMAND = pay_command(SCANNED)
# What the customer presents is one field of the command.
PRESENTED = {"flow", "auth_code", "cash", "expires_in"}


def test_every_field_of_the_body_is_in_the_command():
    assert fields(PayBody) - PRESENTED | {"given"} == fields(PayCommand)
    # Of the supervisor the command has the id and the PIN.
    supervisor = {"supervisor_id", "pin"}
    assert fields(OverrideBody) - {"supervisor"} | supervisor == fields(OverrideCommand)
    assert fields(RefundBody) == fields(RefundCommand)


def test_the_bodies_used_here_give_every_field():
    """Else the tests below would look at a default, which is the same everywhere."""
    bare = PayBody(order_no="", amount=1, currency="CNY")
    required = {"order_no", "amount", "currency"}
    never = {
        name
        for name in fields(PayBody)
        if all(getattr(body, name) == getattr(bare, name) for body in BODIES)
    }
    assert never <= required


@pytest.mark.parametrize("name", sorted(fields(PayBody) - PRESENTED))
def test_every_field_of_the_body_reaches_the_command(name):
    wanted = getattr(SCANNED, name)
    if isinstance(wanted, OverrideBody):
        wanted = OverrideCommand(payment_id="pay_9", supervisor_id="ann", pin=PIN, reason="queue")
    assert getattr(COMMAND, name) == wanted


@pytest.mark.parametrize(
    ("body", "given"),
    [(SCANNED, PaymentCode(CODE)), (SHOWN, ShownQr(60)), (PAID_CASH, CashGiven(1_000))],
    ids=["scanned", "shown", "cash"],
)
def test_what_the_customer_presents_reaches_the_command(body, given):
    assert pay_command(body).given == given


OTHER: dict[str, Any] = {
    "order_no": "A2",
    "tender_no": 3,
    "amount": 901,
    "currency": "USD",
    "method": "alipay",
    "given": PaymentCode(Secret("280000000000000001")),
    "operator_id": "op2",
    "description": "rice",
    "metadata": {"table": "9"},
    "notify_url": "https://merchant.example/other",
    "order_amount": 5_001,
    "override": OverrideCommand(payment_id="pay_9", supervisor_id="ann", pin=PIN, reason="other"),
}


def print_of(command: PayCommand, store_id: str = "s1") -> bytes:
    return fingerprint(command, store_id, lambda purpose, text: f"{purpose}:{text}")


def test_every_field_of_the_body_is_compared():
    # The store is compared as the key or the body says it: a terminal need not.
    assert set(OTHER) | {"store_id"} == fields(PayCommand)
    for body in BODIES:
        assert set(msgspec.json.decode(print_of(pay_command(body)))) == fields(PayBody)


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_repeat_with_another_value_is_another_body(name):
    assert print_of(replace(COMMAND, **{name: OTHER[name]})) != print_of(COMMAND)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PaymentCode(CODE), ShownQr(60)),
        (ShownQr(60), ShownQr(61)),
        (ShownQr(60), ShownQr()),
        (CashGiven(1_000), CashGiven(1_001)),
        (CashGiven(1_000), PaymentCode(CODE)),
    ],
)
def test_a_repeat_that_presents_something_else_is_another_body(one, other):
    assert print_of(replace(COMMAND, given=one)) != print_of(replace(COMMAND, given=other))


def test_a_repeat_for_another_store_is_another_body():
    assert print_of(COMMAND, store_id="s2") != print_of(COMMAND)


# --- write 1: what the command says stands in the payment

SHARED = fields(PayCommand) & fields(Payment)
# Of what a command says, this is no part of the payment: it chose the account, is spent, or stands
# in the order.
NOT_KEPT = {"method", "given", "order_amount", "override"}


def test_every_field_of_the_command_is_kept_or_named_here():
    assert fields(PayCommand) == SHARED | NOT_KEPT


def drafted(given: Given, channel: str) -> Draft:
    return Draft(
        command=replace(COMMAND, given=given),
        caller=Caller(
            key_id="key", merchant_id="m1", store_id="s1", terminal_id="t1", role="terminal"
        ),
        key="k1",
        tender=Tender(
            merchant_id="m1",
            store_id="s1",
            order_no="A1",
            tender_no=2,
            amount=900,
            currency="CNY",
            channel=channel,
            flow=given.flow,
            numbering=Numbering.BY_STORE,
        ),
        fingerprint=b"{}",
        now=NOW,
        numbers=Numbers("TT"),
        days=Days(),
        worker_id="wrk_1",
    )


@pytest.mark.parametrize("name", sorted(SHARED))
@pytest.mark.parametrize("given", [PaymentCode(CODE), ShownQr(60)], ids=["scanned", "shown"])
def test_what_the_command_says_stands_in_a_wallets_payment(name, given):
    draft = drafted(given, "alipay")
    choice = Choice(account=remote_account("acct_1", "alipay"), why="only")
    opened = draft.remote(SimIds(), choice, 1).payment
    assert getattr(opened, name) == getattr(draft.command, name)
    assert (opened.flow, opened.tendered) == (given.flow, None)


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_the_command_says_stands_in_a_local_payment(name):
    entries = (Entry(account="drawer", amount=900), Entry(account="takings", amount=-900))
    draft = drafted(CashGiven(1_000), "cash")
    choice = Choice(account=local_account("acct_1"), why="only")
    decided = LocalSucceeded(entries=entries, change=100)
    opened = draft.local(SimIds(), choice, 1, decided).payment
    assert getattr(opened, name) == getattr(draft.command, name)
    assert (opened.tendered, opened.change) == (1_000, 100)


# --- the answer: every field of the books is shown or named here as our own business


@pytest.mark.parametrize(
    ("struct", "resource", "shown_as", "ours"),
    [
        (
            Payment,
            PaymentResource,
            {"channel": "method", "payer_masked": "payer", "qr_code": "next_action"},
            {
                "merchant_id",
                "numbering",
                "days",
                "frozen_at",
                "frozen_by",
                "late_refund",
                "notify_url",
            }
            | {"notify_url", "overridden_at", "overridden_by", "tendered", "asked_by"}
            | {"cancel_requested_by"},
        ),
        (
            Attempt,
            AttemptResource,
            {},
            {"trade_number", "channel", "worker_id", "send_by", "not_after", "epoch", "due_at"}
            | {"queries", "not_founds", "cancels", "silences", "last_cancel", "payer_asked_at"}
            # `channel_trade_no` and the received amount are the payment's, of its settling attempt
            | {"channel_trade_no", "received_amount", "reserved_amount", "surplus", "evidence"},
        ),
        (
            Refund,
            RefundResource,
            {"failure_code": "failure", "channel_code": "failure"},
            {"merchant_id", "channel", "channel_account", "idempotency_key", "due_at", "tries"}
            | {"store_id", "asked_by", "day_limit"}
            | {"stopped_at", "silences", "heard", "evidence"},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_of_the_books_is_shown_or_our_own_business(struct, resource, shown_as, ours):
    assert not ours & fields(resource)
    shown = {name for name in fields(struct) if shown_as.get(name, name) in fields(resource)}
    assert shown | ours == fields(struct)


# --- lists: what may be asked for reaches the store


@pytest.mark.parametrize(
    ("query", "wanted"), [(PaymentsQuery, PaymentFilter), (RefundsQuery, RefundFilter)]
)
def test_every_filter_of_a_list_reaches_the_store(query, wanted):
    assert fields(query) == fields(wanted)
