"""Three small machines, as tables. A stranger should need this page only.

A **payment** is what the till asked for. Its row exists only when it is durable as sent, so there
is no "created". It ends `succeeded`, or proven not charged (`failed`, `expired`, `canceled`), or
`paid_late`: money that came after we had said no and is given back. `in_doubt` is neither success
nor failure: sent, answer unknown, or a cancel is under way.

An **attempt** is one try on one channel account under one channel order number. `declined`,
`not_sent` and `reversed` need stored evidence; `cancelling` is durable before a cancel leaves. A
**refund** keeps its number for every repeat; `failed` is said only on proof that no money moved,
and `needs_action` keeps its reservation.

Reading the payment table: a blank cell is illegal (raises, changes nothing, is counted, opens a
case). `=` keeps the status: a change of attempt, refund or evidence is still one durable write
with `version` + 1, and no public event. `expired` and `canceled` come only after the channel proved
it: the till asked -> `canceled`; the payer did not act in time -> `expired`; every other proven no
-> `exhausted` -> `failed`. `confirmed` means the live or settling attempt said yes. While an
attempt is `cancelling` a yes is evidence only: the cancel may still take the money back.

The overridden rows say what differs where a supervisor's override has named the payment. Such a
payment leaves `in_doubt` only to end, and never as `succeeded`: another tender of its order was let
in, so its yes is late money. Its attempt then becomes `captured_late` straight from `in_doubt` or,
once no cancel can act any more, from `cancelling`; no other payment's attempt may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from gateway.domain.statuses import AttemptStatus, PaymentStatus, RefundStatus

STAY: Final = "="
NEW: Final = "(new)"

State: TypeAlias = PaymentStatus | Literal["(new)"]
PaymentEvent: TypeAlias = Literal[
    "sent",
    "payer_needed",
    "confirmed",
    "exhausted",
    "lost_sight",
    "cancel_sent",
    "expired",
    "canceled",
]
Cells: TypeAlias = dict[str, PaymentStatus | Literal["="]]
S = TypeVar("S", AttemptStatus, RefundStatus)

_PAYMENT_ROWS = """
(new)           processing  .               succeeded  failed  .         .         .        .
processing      processing  awaiting_payer  succeeded  failed  in_doubt  in_doubt  expired  canceled
awaiting_payer  processing  =               succeeded  failed  in_doubt  in_doubt  expired  canceled
in_doubt        processing  awaiting_payer  succeeded  failed  =         in_doubt  expired  canceled
succeeded       .           =               =          .       =         .         .        .
failed          .           =               paid_late  =       =         .         =        =
expired         .           =               paid_late  =       =         .         =        =
canceled        .           =               paid_late  =       =         .         =        =
paid_late       .           =               =          =       =         .         =        =
"""
_OVERRIDDEN_ROWS = """
in_doubt        .           .               paid_late  .       .         .         .        .
"""
_ATTEMPT_ROWS = """
sent          pending in_doubt cancelling succeeded declined not_sent reversed
pending       in_doubt cancelling succeeded declined reversed
in_doubt      pending cancelling succeeded declined reversed captured_late
cancelling    reversed succeeded captured_late
declined      captured_late
not_sent      captured_late
reversed      captured_late
captured_late returned
"""
_REFUND_ROWS = """
requested     processing in_doubt succeeded failed needs_action
processing    in_doubt succeeded failed needs_action
in_doubt      processing succeeded failed needs_action
needs_action  processing succeeded failed
"""


def _payment_table(rows: str) -> dict[State, Cells]:
    return {
        NEW if state == NEW else PaymentStatus(state): {
            event: STAY if to == STAY else PaymentStatus(to)
            for event, to in zip(get_args(PaymentEvent), cells, strict=True)
            if to != "."
        }
        for state, *cells in (line.split() for line in rows.strip().splitlines())
    }


def _reach_table(status: type[S], rows: str) -> dict[S, frozenset[S]]:
    return {
        status(state): frozenset(map(status, reach))
        for state, *reach in (line.split() for line in rows.strip().splitlines())
    }


PAYMENT: Final = MappingProxyType(_payment_table(_PAYMENT_ROWS))
# Only the cells that an override changes.
OVERRIDDEN: Final = MappingProxyType(
    {state: {} for state in PAYMENT} | _payment_table(_OVERRIDDEN_ROWS)
)
ATTEMPT: Final = MappingProxyType(_reach_table(AttemptStatus, _ATTEMPT_ROWS))
REFUND: Final = MappingProxyType(_reach_table(RefundStatus, _REFUND_ROWS))

PAYMENT_STATES: Final = tuple(state for state in PAYMENT if state != NEW)
ATTEMPT_STATES: Final = (*ATTEMPT, AttemptStatus.SUCCEEDED, AttemptStatus.RETURNED)
REFUND_STATES: Final = (*REFUND, RefundStatus.SUCCEEDED, RefundStatus.FAILED)

PAYMENT_UNCHARGED: Final = frozenset(
    {PaymentStatus.FAILED, PaymentStatus.EXPIRED, PaymentStatus.CANCELED}
)
PAYMENT_FINAL: Final = PAYMENT_UNCHARGED | {PaymentStatus.SUCCEEDED, PaymentStatus.PAID_LATE}
# The payment's tender of the order is taken.
PAYMENT_HOLDING: Final = frozenset(PaymentStatus) - PAYMENT_UNCHARGED - {PaymentStatus.PAID_LATE}
# An overridden payment moves to none of these.
OVERRIDDEN_NEVER: Final = PAYMENT_HOLDING - {PaymentStatus.IN_DOUBT}
# The attempt may still move money by itself.
ATTEMPT_LIVE: Final = frozenset(
    {
        AttemptStatus.SENT,
        AttemptStatus.PENDING,
        AttemptStatus.IN_DOUBT,
        AttemptStatus.CANCELLING,
    }
)
ATTEMPT_UNCHARGED: Final = frozenset(
    {AttemptStatus.DECLINED, AttemptStatus.NOT_SENT, AttemptStatus.REVERSED}
)
ATTEMPT_SETTLED: Final = frozenset({AttemptStatus.SUCCEEDED})
ATTEMPT_LATE: Final = frozenset({AttemptStatus.CAPTURED_LATE, AttemptStatus.RETURNED})
# The refund's reservation stands.
REFUND_OPEN: Final = frozenset(RefundStatus) - {RefundStatus.SUCCEEDED, RefundStatus.FAILED}


class IllegalTransition(Exception):
    """A cell that is blank. Nothing was changed."""

    def __init__(self, machine: str, state: str, event: str) -> None:
        super().__init__(f"{machine} in '{state}' cannot take '{event}'")
        self.machine, self.state, self.event = machine, state, event


def next_state(state: State, event: PaymentEvent, *, overridden: bool = False) -> PaymentStatus:
    """The payment's status after `event`; the same status where the table says `=`.

    Raises `IllegalTransition`.
    """
    to = PAYMENT[state].get(event)
    if overridden:
        to = OVERRIDDEN[state].get(event, to)
    if to is None or (overridden and to in OVERRIDDEN_NEVER):
        raise IllegalTransition("payment", state, event)
    if to == STAY:
        assert state != NEW, "the first row says no `=`"
        return state
    return to


def payment_moves() -> Iterator[tuple[State, PaymentStatus, bool]]:
    """Every change of status there is:
    from, to, and whether only an overridden payment may make it.
    """
    for table in (PAYMENT, OVERRIDDEN):
        for state, cells in table.items():
            for to in dict.fromkeys(cells.values()):
                if to not in (STAY, state):
                    yield state, PaymentStatus(to), table is OVERRIDDEN


def check_move(machine: str, table: Mapping[S, frozenset[S]], state: S, to: S) -> S:
    """`to`, when the attempt or refund table allows it; staying is always allowed.

    Raises `IllegalTransition`.
    """
    if to != state and to not in table.get(state, frozenset()):
        raise IllegalTransition(machine, state, to)
    return to
