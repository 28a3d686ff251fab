"""A dry run: what a rule set would have chosen for payments that were made. Pure.

Accounts are taken as they stand now, disabled ones left out, drained ones not: a drain is for an
hour, a rule set for longer. Health is left out too: it is the first choice that is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.domain.routing_rules import RuleSet
from gateway.domain.words import Flow
from gateway.flow.choose.routing import Ask, ranked
from gateway.flow.ports import Account

NOBODY = "(nobody)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A payment that was made; `channel_account` took its first attempt."""

    id: str
    order_no: str
    store_id: str
    channel: str
    flow: Flow
    amount: int
    created_at: datetime
    channel_account: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A payment that would have gone elsewhere first."""

    payment: Made
    would: str
    why: str


@dataclass(slots=True)
class Trial:
    """Collects payments.

    `differences` keeps the first `listed_max`; `differing` counts them all.
    """

    merchant_id: str
    rules: RuleSet
    accounts: Sequence[Account]
    listed_max: int
    was: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)

    def take(self, payments: Iterable[Made]) -> None:
        """Some more."""
        for payment in payments:
            ask = Ask(
                merchant_id=self.merchant_id,
                store_id=payment.store_id,
                channel=payment.channel,
                flow=payment.flow,
                amount=payment.amount,
                at=payment.created_at,
                order_no=payment.order_no,
            )
            choices = ranked(ask, self.accounts, self.rules)
            would, why = (
                (choices[0].account.id, choices[0].why)
                if choices
                else (NOBODY, "no account is left by its rule")
            )
            self.was[payment.channel_account] += 1
            self.would[would] += 1
            if would != payment.channel_account:
                self.differing += 1
                if len(self.differences) < self.listed_max:
                    self.differences.append(Difference(payment, would, why))
