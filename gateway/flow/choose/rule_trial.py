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
from gateway.domain.tender import Tender
from gateway.flow.accounts import Candidate
from gateway.flow.choose.routing import ranked

NO_ACCOUNT = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A payment that was made; `channel_account` took its first attempt."""

    id: str
    tender: Tender
    created_at: datetime
    channel_account: str


@dataclass(frozen=True, slots=True)
class Rerouted:
    """A payment that would have gone elsewhere first."""

    payment: Made
    would: str
    why: str


@dataclass(slots=True)
class DryRun:
    """Collects payments.

    `differences` keeps the first `listed_max`; `differing` counts them all.
    """

    rules: RuleSet
    accounts: Sequence[Candidate]
    listed_max: int
    was: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    differences: list[Rerouted] = field(default_factory=list)

    def take(self, payments: Iterable[Made]) -> None:
        """Judge some more."""
        for payment in payments:
            choices = ranked(payment.tender, self.accounts, self.rules, payment.created_at)
            would, why = (
                (choices[0].account.id, choices[0].why)
                if choices
                else (NO_ACCOUNT, "no account is left by its rule")
            )
            self.was[payment.channel_account] += 1
            self.would[would] += 1
            if would != payment.channel_account:
                self.differing += 1
                if len(self.differences) < self.listed_max:
                    self.differences.append(Rerouted(payment, would, why))
