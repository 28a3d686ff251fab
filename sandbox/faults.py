"""The fault table: what can be armed, where, and what each name means for the road of one request.

`PLANS` is the whole meaning of a wire fault; `exchange.py` walks it. Callback faults are walked by
`callbacks.py`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox import limits
from sandbox.channel import Customer, Flaw, Lie, Orders, RefundFate, Saying


@dataclass(frozen=True, slots=True)
class Plan:
    """One request's road: hold, execute or not, what is said, how it is sealed, how it is sent."""

    hold_before: bool = False
    execute: bool = True
    customer: Customer | None = None
    refund: RefundFate = RefundFate.ORDINARY
    say: Saying | None = None
    lie: Lie = Lie.NONE
    rotate: bool = False
    flaw: Flaw = Flaw.NONE
    hold_after: bool = False
    send: str = "whole"  # whole | drop | cut | http_500
    hide: bool = False  # queries do not see the trade for delay_ms

    @property
    def loses_answer(self) -> bool:
        """The caller cannot know in time: from now on a query may lag behind the execution."""
        return self.execute and (self.send != "whole" or self.hold_before or self.hold_after)

    def orders(self, delay_ms: int) -> Orders:
        """The part of the plan that the channel itself acts out."""
        return Orders(self.customer or Customer.PAYS, self.refund, delay_ms)


HONEST: Final = Plan()

PLANS: Final[Mapping[str, Plan]] = {
    "drop_before": Plan(execute=False, send="drop"),
    "drop_after_charge": Plan(send="drop"),
    "drop_bytes_after": Plan(send="cut"),
    "http_500_before": Plan(execute=False, send="http_500"),
    "http_500_after_charge": Plan(send="http_500"),
    "delay_before": Plan(hold_before=True),
    "delay_after": Plan(hold_after=True),
    "bad_signature": Plan(flaw=Flaw.FOREIGN_KEY),
    "stale_timestamp": Plan(flaw=Flaw.STALE_TIMESTAMP),
    "rotate_key": Plan(rotate=True),
    "wrong_amount": Plan(lie=Lie.AMOUNT),
    "wrong_order": Plan(lie=Lie.ORDER),
    "lie_success": Plan(execute=False, say=Saying.SUCCESS),
    "lie_failure": Plan(say=Saying.FAILURE),
    "user_paying_then_success": Plan(customer=Customer.TYPES_THEN_PAYS),
    "user_paying_forever": Plan(customer=Customer.TYPES_FOREVER),
    "system_error_charged": Plan(say=Saying.SYSTEM_ERROR),
    "system_error_not_charged": Plan(execute=False, say=Saying.SYSTEM_ERROR),
    "not_found_for_ms": Plan(hide=True),
    "cancel_retry": Plan(execute=False, say=Saying.AGAIN),
    "account_blocked": Plan(execute=False, say=Saying.BLOCKED),
    "refund_processing": Plan(refund=RefundFate.SLOW),
    "refund_abnormal": Plan(refund=RefundFate.ABNORMAL),
}

MAGIC_CODES: Final[Mapping[str, Plan]] = {
    "01": Plan(customer=Customer.NO_BALANCE),
    "02": Plan(customer=Customer.CODE_EXPIRED),
    "03": Plan(customer=Customer.TYPES_THEN_PAYS),
    "04": Plan(customer=Customer.TYPES_FOREVER),
    "05": PLANS["drop_after_charge"],
    "06": PLANS["drop_before"],
    "07": PLANS["system_error_not_charged"],
}

REQUESTS: Final = frozenset(
    {"pay", "precreate", "query", "cancel", "close", "reverse", "refund", "refund_query"}
)
OPERATIONS: Final = REQUESTS | {"callback"}
UNBUILT_OPERATIONS: Final = frozenset({"bill", "sale", "void", "reversal", "sign_in"})
ANY: Final = REQUESTS | {"callback"}
CALLBACKS: Final = frozenset({"callback", "pay", "precreate", "refund"})

WHERE: Final[Mapping[str, frozenset[str]]] = {
    "refuse_connection": OPERATIONS,
    "drop_before": ANY,
    "drop_after_charge": REQUESTS,
    "drop_bytes_after": REQUESTS,
    "http_500_before": REQUESTS,
    "http_500_after_charge": REQUESTS,
    "delay_before": REQUESTS,
    "delay_after": REQUESTS,
    "bad_signature": ANY,
    "stale_timestamp": ANY,
    "rotate_key": ANY,
    "wrong_amount": frozenset({"pay", "query", "refund", "refund_query", "callback"}),
    "wrong_order": frozenset(
        {"pay", "query", "cancel", "reverse", "refund", "refund_query", "callback"}
    ),
    "lie_success": REQUESTS,
    "lie_failure": REQUESTS,
    "user_paying_then_success": frozenset({"pay"}),
    "user_paying_forever": frozenset({"pay"}),
    "system_error_charged": REQUESTS,
    "system_error_not_charged": REQUESTS,
    "not_found_for_ms": frozenset({"pay", "query"}),
    "cancel_retry": frozenset({"cancel", "reverse"}),
    # An honest no that is the merchant's account's fault, not the customer's.
    "account_blocked": frozenset({"pay", "precreate"}),
    "refund_processing": frozenset({"refund"}),
    "refund_abnormal": frozenset({"refund"}),
    "callback_duplicate": CALLBACKS,
    "callback_late": CALLBACKS,
    "callback_hold": CALLBACKS,
    # A QR is paid when nobody waits for a reply.
    "callback_before_reply": CALLBACKS - {"precreate"},
    "callback_after_cancel": CALLBACKS - {"refund"},
    "callback_forged": CALLBACKS,
    "signtest_probe": CALLBACKS,
}
CALLBACK_FAULTS: Final = {
    name: where
    for name, where in WHERE.items()
    if name.startswith("callback_") or name == "signtest_probe"
}
BILL_FAULTS: Final = frozenset(
    {
        "bill_missing_row",
        "bill_extra_row",
        "bill_amount",
        "bill_fee",
        "bill_wrong_hash",
        "bill_not_ready",
    }
)
CARD_FAULTS: Final = frozenset({"bad_mac", "late_0210", "resign_77", "resign_a0", "cut_frame"})


@dataclass(slots=True)
class Fault:
    """One armed fault. `times` None: until disarmed."""

    id: int
    channel: str
    account: str | None
    operation: str
    name: str
    times: int | None
    probability: float
    delay_ms: int
    seed: int
    host: str | None = None  # None: at both
    fired: int = 0
    chance: random.Random = field(default_factory=random.Random, repr=False)

    def public(self) -> dict[str, Any]:
        """The row of `GET /_control/faults`."""
        row = {"id": self.id, "channel": self.channel, "account": self.account, "host": self.host}
        row |= {"operation": self.operation, "fault": self.name}
        row |= {
            "times": self.times,
            "probability": self.probability,
            "delay_ms": self.delay_ms,
            "seed": self.seed,
        }
        return row | {"fired": self.fired}

    def matches(
        self, channel: str, account: str, operations: tuple[str, ...], host: str | None = None
    ) -> bool:
        """Armed for this place and not used up. Draws no chance."""
        used_up = self.times is not None and self.fired >= self.times
        return not used_up and self.covers(channel, account, host) and self.operation in operations

    def covers(self, channel: str, account: str, host: str | None) -> bool:
        """Whether this account, at this host, is meant."""
        return (
            self.channel == channel
            and self.account in {None, account}
            and self.host in {None, host}
        )

    def strikes(self) -> bool:
        """Draws the chance and counts."""
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def give_back(self) -> None:
        """It struck a call it could do nothing to: it has not fired."""
        self.fired -= 1


class Faults:
    """Everything that is armed, in the order of arming; the first that matches and strikes wins."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._next_id = 1

    def arm(self, **terms: Any) -> Fault:
        """Arms a fault whose terms were checked; the seed makes its chance repeatable."""
        seed = terms.pop("seed", None)
        seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        fault = Fault(id=self._next_id, seed=seed, chance=random.Random(seed), **terms)  # noqa: S311 - chance, not secrets
        self._next_id += 1
        self._armed.append(fault)
        return fault

    def take(self, channel: str, account: str, operation: str, host: str) -> Fault | None:
        """The wire fault that strikes this request, counted; None in the ordinary case."""
        for fault in self._armed:
            if (
                fault.name in PLANS
                and fault.matches(channel, account, (operation,), host)
                and fault.strikes()
            ):
                return fault
        return None

    def take_callback(self, channel: str, account: str, causes: tuple[str, ...]) -> Fault | None:
        """The fault that strikes this callback: armed on `callback`, or a `callback_…` one on an
        operation that causes it.
        """
        for fault in self._armed:
            operations = ("callback",) if fault.name in PLANS else (*causes, "callback")
            if (
                fault.name != "refuse_connection"
                and fault.matches(channel, account, operations)
                and fault.strikes()
            ):
                return fault
        return None

    def is_callback_first(self, channel: str, account: str) -> bool:
        """Whether the next refund callback may have to come before the refund's own answer."""
        armed = (fault for fault in self._armed if fault.name == "callback_before_reply")
        return any(fault.matches(channel, account, ("refund", "callback")) for fault in armed)

    def refusing(self, channel: str, account: str, host: str) -> list[Fault]:
        """Armed `refuse_connection` faults of this host of the account."""
        return [
            fault
            for fault in self._armed
            if fault.name == "refuse_connection" and fault.covers(channel, account, host)
        ]

    def listing(self) -> list[dict[str, Any]]:
        """All armed faults with their counts."""
        return [fault.public() for fault in self._armed]

    def disarm(self) -> list[dict[str, Any]]:
        """Disarms all; answers what had been armed."""
        rows = self.listing()
        self._armed.clear()
        return rows

    def is_full(self) -> bool:
        """No further fault may be armed."""
        return len(self._armed) >= limits.FAULTS_ARMED_MAX
