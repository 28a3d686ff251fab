"""A flow for the edge to call: plain classes that keep what they were asked and answer with
payments of their own.

Their errors are armed by a test (`refuse_with`), the way the real flow raises them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from adapters.channel import CallbackAnswer
from gateway.domain.errors import NoSuchObject, OrderTenderTaken
from gateway.domain.payment import Attempt, Payment, Refund
from gateway.domain.resources import ENDED, Prospect
from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus
from gateway.domain.words import DayRule, Numbering, Origin
from gateway.flow.callback import Heard
from gateway.flow.commands import Caller, Paid, PayCommand, RefundCommand, Refunded
from gateway.flow.lists import PaymentFilter, RefundFilter
from gateway.flow.ports import ApiKey, EventPage
from gateway.http.door import Door
from gateway.http.exchange import EdgeDeps, Readiness
from gateway.http.peers import DIRECT, Peers
from gateway.http.rates import Rates
from gateway.http.raw_body import BodyBudget
from gateway.webhooks.endpoints import WebhookEndpoints
from security.secret import Secret
from tests.fakes.books import FakeEndpointBook, FakeSignatureBook
from tests.shelf import Shelf

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
SECRET = Secret("sk_test_0123456789abcdef")
SUCCESS = CallbackAnswer(status=200, content_type="text/plain", body=b"success")


class FixedClock:
    """Stands at the test vector's time, and may be moved."""

    def __init__(self) -> None:
        self.wall = datetime.fromtimestamp(1_795_219_200, UTC)
        self.passed_s = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.passed_s

    def move(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.passed_s += seconds


class CountingIds:
    """Ids in a row."""

    def __init__(self) -> None:
        self.made = 0

    def new(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}_{self.made:026}"

    def token(self) -> str:
        return self.new("t")[2:]


class FakeDirectory(Shelf):
    """A snapshot with a key of every role and a revoked one, and no account."""

    def __init__(self) -> None:
        super().__init__("m_1", ("s_1",), (), {})
        self.origins = frozenset({"https://shop.example"})
        self.is_fresh = True
        self.keys = {
            key_id: ApiKey(
                id=key_id,
                merchant_id="m_1",
                store_id="s_1" if role == "terminal" else None,
                terminal_id="term_1" if role == "terminal" else None,
                role=role,
                secret=SECRET,
                revoked=key_id == "mk_revoked",
            )
            for key_id, role in {
                "tk_1": "terminal",
                "mk_1": "merchant",
                "mk_finance": "finance",
                "mk_reader": "read_only",
                "mk_revoked": "merchant",
                "mk_odd": "astronaut",
            }.items()
        }

    def key(self, key_id: str) -> ApiKey | None:
        return self.keys.get(key_id)

    def fresh(self) -> bool:
        return self.is_fresh


def payment_of(
    command: PayCommand, caller: Caller, payment_id: str, status: str = "succeeded"
) -> Payment:
    attempt = Attempt(
        id="att_1",
        number=1,
        trade_number=1,
        channel="alipay",
        channel_account="acct_1",
        out_trade_no="TGABC",
        status=AttemptStatus.SUCCEEDED if status == "succeeded" else AttemptStatus.IN_DOUBT,
        why="priority",
        worker_id="w",
        sent_at=NOW,
        send_by=NOW,
        not_after=NOW,
        captured_amount=command.amount if status == "succeeded" else 0,
    )
    return Payment(
        id=payment_id,
        merchant_id=caller.merchant_id,
        store_id=caller.store_id or command.store_id or "s_1",
        terminal_id=caller.terminal_id,
        order_no=command.order_no,
        tender_no=command.tender_no,
        amount=command.amount,
        currency=command.currency,
        channel="alipay",
        flow=command.given.flow,
        status=PaymentStatus(status),
        business_date="2026-11-21",
        created_at=NOW,
        numbering=Numbering.BY_STORE,
        days=DayRule.BY_SUCCESS,
        operator_id=command.operator_id,
        description=command.description,
        metadata=command.metadata,
        attempts=(attempt,),
    )


@dataclass
class FakeFlow:
    """Checkout, cancellation, refunds, lookup and callback desk in one, over two dictionaries."""

    payments_by_key: dict[str, Payment] = field(default_factory=dict)
    refunds_by_key: dict[str, Refund] = field(default_factory=dict)
    commands: list[PayCommand] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    refuse_with: BaseException | None = None
    event_rows: tuple[bytes, ...] = ()
    callback_answer: CallbackAnswer = SUCCESS

    def _judge(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.refuse_with is not None:
            raise self.refuse_with

    async def pay(self, command: PayCommand, caller: Caller, key: str, wait_s: float) -> Paid:
        self._judge("pay", caller, key, wait_s)
        self.commands.append(command)
        if key in self.payments_by_key:
            return Paid(self.payments_by_key[key], replayed=True)
        rival = next(
            (each for each in self.payments_by_key.values() if each.order_no == command.order_no),
            None,
        )
        if rival:
            raise OrderTenderTaken(payment=rival)
        payment = payment_of(command, caller, f"pay_{len(self.payments_by_key) + 1}")
        self.payments_by_key[key] = payment
        return Paid(payment, replayed=False)

    async def cancel(self, payment_id: str, caller: Caller, wait_s: float) -> Payment:
        self._judge("cancel", payment_id, wait_s)
        return self._find(payment_id)

    def _find(self, payment_id: str) -> Payment:
        for payment in self.payments_by_key.values():
            if payment.id == payment_id:
                return payment
        raise NoSuchObject


class FakeRefunds:
    """Refunds of the flow's payments."""

    def __init__(self, flow: FakeFlow) -> None:
        self._flow = flow

    async def refund(
        self, payment_id: str, command: RefundCommand, caller: Caller, key: str, wait_s: float
    ) -> Refunded:
        self._flow._judge("refund", payment_id, command, key, wait_s)
        if key in self._flow.refunds_by_key:
            return Refunded(self._flow.refunds_by_key[key], replayed=True)
        refund = Refund(
            id=f"ref_{len(self._flow.refunds_by_key) + 1}",
            merchant_id=caller.merchant_id,
            payment_id=payment_id,
            store_id="store_1",
            attempt_id="att_1",
            channel="alipay",
            channel_account="acct_1",
            refund_no=command.refund_no,
            out_refund_no="TGREF",
            amount=command.amount,
            currency="CNY",
            origin=Origin.MERCHANT,
            status=RefundStatus.PROCESSING,
            created_at=NOW,
            business_date="2026-11-21",
            reason=command.reason,
        )
        self._flow.refunds_by_key[key] = refund
        return Refunded(refund, replayed=False)


class FakeLookup:
    """Reads what the fake flow keeps."""

    def __init__(self, flow: FakeFlow) -> None:
        self._flow = flow

    async def payment(self, payment_id: str, caller: Caller, wait_s: float) -> Payment:
        self._flow._judge("payment", payment_id, wait_s)
        return self._flow._find(payment_id)

    async def payments(self, wanted: PaymentFilter, caller: Caller) -> tuple[list[Payment], bool]:
        self._flow._judge("payments", wanted)
        found = list(self._flow.payments_by_key.values())
        return found[: wanted.limit], len(found) > wanted.limit

    async def refund(self, refund_id: str, caller: Caller, wait_s: float = 0) -> Refund:
        self._flow._judge("refund", refund_id, wait_s)
        for refund in self._flow.refunds_by_key.values():
            if refund.id == refund_id:
                return refund
        raise NoSuchObject

    async def refunds_of(self, payment_id: str, caller: Caller) -> list[Refund]:
        self._flow._judge("refunds_of", payment_id)
        return [
            refund
            for refund in self._flow.refunds_by_key.values()
            if refund.payment_id == payment_id
        ]

    async def refunds(self, wanted: RefundFilter, caller: Caller) -> tuple[list[Refund], bool]:
        self._flow._judge("refunds", wanted)
        return list(self._flow.refunds_by_key.values()), False

    async def events(self, after: str | None, limit: int, caller: Caller) -> EventPage:
        self._flow._judge("events", after, limit)
        return EventPage(
            self._flow.event_rows, 'c"1' if self._flow.event_rows else None, has_more=False
        )


class FakeCallbackDesk:
    """Takes callbacks of one account."""

    def __init__(self, flow: FakeFlow) -> None:
        self._flow = flow
        self.taken: list[tuple[Mapping[str, str], bytes]] = []

    def expects(self, account_id: str) -> bool:
        return account_id == "acct_1"

    async def take(self, account_id: str, headers: Mapping[str, str], body: bytes) -> Heard:
        self._flow._judge("callback", account_id)
        self.taken.append((headers, body))
        return Heard(self._flow.callback_answer, self._flow.callback_answer.status < 400)


class FakeProspects:
    """Nothing here is ever undecided for long enough to look ahead."""

    def of_payment(self, payment: Payment) -> Prospect:
        return ENDED

    def of_refund(self, refund: Refund) -> Prospect:
        return ENDED


@dataclass
class World:
    """One edge and everything behind it."""

    flow: FakeFlow
    callbacks: FakeCallbackDesk
    directory: FakeDirectory
    clock: FixedClock
    ready: bool
    signatures: FakeSignatureBook
    deps: EdgeDeps
    used: list[str]


def new_world(peers: Peers = DIRECT) -> World:
    """A world in which nothing has happened yet."""
    flow, directory, clock = FakeFlow(), FakeDirectory(), FixedClock()
    signatures = FakeSignatureBook()
    desk = FakeCallbackDesk(flow)

    async def readiness() -> Readiness:
        return Readiness(world.ready, {"postgres": "ok" if world.ready else "unreachable"})

    desks: dict[str, Any] = {  # they answer like the flow's, and are no kind of them
        "checkout": flow,
        "cancellation": flow,
        "refunds": FakeRefunds(flow),
        "lookup": FakeLookup(flow),
        "prospects": FakeProspects(),
        "callbacks": desk,
    }
    used: list[str] = []
    deps = EdgeDeps(
        **desks,
        webhooks=WebhookEndpoints(FakeEndpointBook(), allow_loopback=False),
        directory=directory,
        clock=clock,
        ids=CountingIds(),
        key_used=used.append,
        readiness=readiness,
        door=Door(peers, Rates(workers=1, factor=1, shared=None, monotonic=clock.monotonic)),
        bodies=BodyBudget(),
        signatures=signatures,
    )
    world = World(flow, desk, directory, clock, True, signatures, deps, used)
    return world


def in_doubt(payment: Payment) -> Payment:
    """The same payment, its answer lost."""
    return msgspec.structs.replace(payment, status="in_doubt")
