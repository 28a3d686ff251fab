"""Which channel accounts may take the payment, in which order, and why: by the merchant's rules,
else by priority. Pure.

What their health makes of that order is `flow.choose.health`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from gateway.domain.routing_rules import RuleSet
from gateway.domain.tender import Tender
from gateway.flow.accounts import Candidate, LocalAccount, RemoteAccount
from gateway.flow.ports import Directory
from gateway.limits import WHY_CHARS_MAX

# The other half is for health, and for what ended the attempt before.
WHY_ORDER_CHARS_MAX = WHY_CHARS_MAX // 2

A = TypeVar("A", bound=Candidate)
A_co = TypeVar("A_co", bound=Candidate, covariant=True)


class Choice(Struct, Generic[A_co], frozen=True, kw_only=True):
    """An account that can take it. `why` is stored with the attempt that it leads to."""

    account: A_co
    why: str


def remote_choices(
    tender: Tender, directory: Directory, at: datetime
) -> tuple[Choice[RemoteAccount], ...]:
    """The accounts that may take a tender for a remote channel at this moment, best first."""
    rules = directory.rules(tender.merchant_id, tender.store_id)
    return ranked(tender, directory.remote_accounts(tender.merchant_id), rules, at)


def local_choices(
    tender: Tender, directory: Directory, at: datetime
) -> tuple[Choice[LocalAccount], ...]:
    """As `remote_choices`, for a tender of our own books."""
    rules = directory.rules(tender.merchant_id, tender.store_id)
    return ranked(tender, directory.local_accounts(tender.merchant_id), rules, at)


def ranked(
    tender: Tender, accounts: Sequence[A], rules: RuleSet | None, at: datetime
) -> tuple[Choice[A], ...]:
    """Those of `accounts`, which are in order of priority, that may take the tender; best first.

    `at` is aware.
    """
    serving = [
        account
        for account in accounts
        if account.enabled
        and account.manifest.channel == tender.channel
        and account.store_id in (None, tender.store_id)
    ]
    able = {account.id: account for account in serving if account.drained is None}
    rule = (
        rules.match(tender.channel, tender.flow, tender.amount, at) if rules is not None else None
    )
    if rules is None or rule is None:
        order, basis = list(able), "priority"
    else:
        named = rule.ordered(able, tender.order_no)
        order = (
            named if rule.only else [*named, *(account for account in able if account not in named)]
        )
        basis = f"rule {rule.name} of version {rules.version}"
    out = "".join(
        [
            f"; {account.id} is drained: {account.drained[:60]}"
            for account in serving
            if account.drained is not None
        ]
    )
    considered = f"{basis} of: {' '.join(order)}{out}"[:WHY_ORDER_CHARS_MAX]
    return tuple(
        [
            Choice(account=able[name], why=f"number {place} by {considered}")
            for place, name in enumerate(order, 1)
        ]
    )
