"""How a customer presents a payment, and what the road has to know of each way.

`Flow` is the word that is stored and answered. Its `Facts` are what the road decides by: no other
file asks which flow a payment has. What is handed to the channel is a type of its own. So a new way
to present a payment is written here, and where the edge reads it from the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from gateway.limits import QR_EXPIRES_S_DEFAULT
from security.secret import Secret

# (the field's name, the secret) -> keyed hex: what is stored to compare a repeated request with
Digest: TypeAlias = Callable[[str, str], str]


class Flow(StrEnum):
    """Who scans whom. Local tenders have no flow of their own and use `code`."""

    CODE = "code"  # the till scans the customer's payment code
    QR = "qr"  # the customer scans ours

    @property
    def facts(self) -> Facts:
        """What the road has to know of it."""
        return FACTS[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`operation`: what its pay call is called wherever calls are counted and accounts rest."""

    operation: str
    # The customer reads something of ours, so the payment waits for him and dies at `expires_at`.
    is_shown: bool
    # What the customer presents is used up once a channel has seen it, whatever the answer: another
    # account needs it anew.
    is_spent_by_use: bool


FACTS: Final[Mapping[Flow, Facts]] = {
    Flow.CODE: Facts(operation="pay", is_shown=False, is_spent_by_use=True),
    Flow.QR: Facts(operation="precreate", is_shown=True, is_spent_by_use=False),
}
PAY_OPERATIONS: Final = frozenset(facts.operation for facts in FACTS.values())


@dataclass(frozen=True, slots=True)
class PaymentCode:
    """The customer's payment code, as the till scanned it."""

    auth_code: Secret
    flow: ClassVar[Flow] = Flow.CODE

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What no evidence and no log may hold."""
        return (self.auth_code,)

    def compared(self, digest: Digest) -> dict[str, object]:
        """Its part of what a repeated request is compared with, by the request's own names."""
        return {"auth_code": digest("auth_code", self.auth_code.reveal())}


@dataclass(frozen=True, slots=True)
class ShownQr:
    """A code that the channel makes and we show. `expires_in_s` None: the usual time."""

    expires_in_s: int | None = None
    flow: ClassVar[Flow] = Flow.QR
    secrets: ClassVar[tuple[Secret, ...]] = ()

    @property
    def lives_s(self) -> int:
        """Seconds until the code dies, before the channel's own step rounds them up."""
        return self.expires_in_s or QR_EXPIRES_S_DEFAULT

    def compared(self, _digest: Digest) -> dict[str, object]:
        """As `PaymentCode.compared`."""
        return {"expires_in": self.lives_s}


Presented: TypeAlias = PaymentCode | ShownQr
"""What goes to a remote channel with the pay call."""


@dataclass(frozen=True, slots=True)
class CashGiven:
    """Cash on the counter, in fen."""

    tendered: int
    flow: ClassVar[Flow] = Flow.CODE

    def compared(self, _digest: Digest) -> dict[str, object]:
        """As `PaymentCode.compared`."""
        return {"cash": self.tendered}


@dataclass(frozen=True, slots=True)
class MethodOnly:
    """The till said how it is paid, and no more: exact cash."""

    flow: ClassVar[Flow] = Flow.CODE

    def compared(self, _digest: Digest) -> dict[str, object]:
        """As `PaymentCode.compared`."""
        return {}


Given: TypeAlias = Presented | CashGiven | MethodOnly
"""What a request may come with."""
