"""Rule sets: which accounts a merchant, or one store of it, wants tried first for which payments.

Data, and pure functions over it.

A set is a list of rules; the first whose `when` holds orders the accounts, the others do nothing.
Nothing is random: where accounts share the traffic by weight, a hash of the order number draws, so
that a repeat draws the same.

    {"rules": [{"name": "lunch", "when": {"method": "alipay", "time_from": "11:00", "time_to":
    "14:00"},
                "use": [{"account": "acct_a", "weight": 70}, {"account": "acct_b", "weight": 30},
                {"account": "acct_c"}]}]}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby
from math import log
from typing import Protocol

from msgspec import Struct

WALL = timedelta(hours=8)  # Asia/Shanghai; it has no summer time
DAY = 24 * 60
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Named(Protocol):
    """What is ordered here."""

    @property
    def id(self) -> str:
        """The account's."""
        ...


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that is given must hold.

    Amounts in fen, both ends included. Times `HH:MM` in Asia/Shanghai, the end excluded.

    A time that ends before it begins goes over midnight; the small hours then belong to the day
    before.
    """

    method: str | None = None
    flow: str | None = None
    amount_from: int | None = None
    amount_to: int | None = None
    time_from: str | None = None
    time_to: str | None = None
    weekdays: tuple[str, ...] | None = None


class Use(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An account to try.

    Neighbours with a weight share the traffic in its proportion; the others are tried as they
    stand.
    """

    account: str
    weight: int | None = None


class Rule(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, dict=True
):
    """`only`: accounts that are not named here are no backups either."""

    name: str
    when: When = When()
    use: tuple[Use, ...]
    only: bool = False

    def holds(self, method: str, flow: str, amount: int, at: datetime) -> bool:
        """Whether this rule is about such a payment. `at` is aware."""
        when = self.when
        if when.method not in (None, method) or when.flow not in (None, flow):
            return False
        if (when.amount_from is not None and amount < when.amount_from) or (
            when.amount_to is not None and amount > when.amount_to
        ):
            return False
        return self.minutes is None or bool(self.minutes >> minute_of_week(at) & 1)

    def ordered(self, names: Iterable[str], seed: str) -> list[str]:
        """Of `names` those that this rule names, best first.

        `names` in order of priority; the rest are the caller's.
        """
        able = set(names)
        wanted: list[str] = []
        for is_shared, group in groupby(
            (use for use in self.use if use.account in able), key=lambda use: use.weight is not None
        ):
            uses = list(group)
            wanted += [
                use.account
                for use in (sorted(uses, key=lambda use: _draw(seed, use)) if is_shared else uses)
            ]
        return wanted

    @cached_property
    def minutes(self) -> int | None:
        """The minutes of the week it covers, as bits from Monday 00:00; None: all."""
        when = self.when
        if when.time_from is None and when.time_to is None and when.weekdays is None:
            return None
        begin, end = (
            minute_of_day(when.time_from or "00:00"),
            minute_of_day(when.time_to or "24:00"),
        )
        length = (end - begin) % DAY or DAY
        bits = 0
        for day in sorted(
            {WEEKDAYS.index(name) for name in when.weekdays}
            if when.weekdays is not None
            else range(7)
        ):
            bits |= ((1 << length) - 1) << (day * DAY + begin)
        return bits & EVER | bits >> 7 * DAY  # Sunday's night goes on on Monday


EVER = (1 << 7 * DAY) - 1


class RuleSet(Struct, frozen=True, kw_only=True):
    """A set as it is stored: `version` counts up for each (merchant, store)."""

    version: int
    rules: tuple[Rule, ...]

    def match(self, method: str, flow: str, amount: int, at: datetime) -> Rule | None:
        """The first rule that holds."""
        return next((rule for rule in self.rules if rule.holds(method, flow, amount, at)), None)


class RuleFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people write."""

    rules: tuple[Rule, ...]


def minute_of_day(text: str) -> int:
    """`HH:MM`, up to 24:00. Raises ValueError."""
    hours, colon, minutes = text.partition(":")
    if not (
        colon
        and len(hours) == len(minutes) == 2  # noqa: PLR2004 - HH:MM
        and (hours + minutes).isascii()
        and (hours + minutes).isdecimal()
    ):
        raise ValueError(f"{text!r} is not a time like 11:30")
    minute = int(hours) * 60 + int(minutes)
    if minute > DAY or int(minutes) > 59:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(f"{text!r} is not a time of day")
    return minute


def minute_of_week(at: datetime) -> int:
    """Minutes since Monday 00:00, Asia/Shanghai."""
    wall = at + WALL - (at.utcoffset() or timedelta(0))
    return wall.weekday() * DAY + wall.hour * 60 + wall.minute


def shadow(rules: Sequence[Rule], place: int) -> Rule | None:
    """An earlier rule that takes everything the rule at `place` would take.

    Rules that only together do so are not found.
    """
    return next((rule for rule in rules[:place] if _covers(rule, rules[place])), None)


def _covers(wide: Rule, narrow: Rule) -> bool:
    a, b = wide.when, narrow.when
    lower = (a.amount_from or 0) <= (b.amount_from or 0)
    upper = a.amount_to is None or (b.amount_to is not None and b.amount_to <= a.amount_to)
    times = (
        wide.minutes is None
        or not (EVER if narrow.minutes is None else narrow.minutes) & ~wide.minutes
    )
    return a.method in (None, b.method) and a.flow in (None, b.flow) and lower and upper and times


def _draw(seed: str, use: Use) -> float:
    """Sorted by this, an account comes first as often as its weight says; each has its own draw,
    whoever else is able.
    """
    digest = hashlib.blake2b(f"{seed}\0{use.account}".encode(), digest_size=7).digest()
    return -log((int.from_bytes(digest, "big") + 1) / (1 << 56)) / (use.weight or 1)
