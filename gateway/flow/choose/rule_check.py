"""What is wrong with a rule set before it is stored: each finding says where and what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapters.channel import Flow, Manifest
from gateway.domain.routing_rules import WEEKDAYS, Rule, When, minute_of_day, shadow
from gateway.limits import (
    AMOUNT_FEN_MAX,
    AMOUNT_FEN_MIN,
    ROUTING_NAME_CHARS_MAX,
    ROUTING_RULES_MAX,
    ROUTING_USES_MAX,
    ROUTING_WEIGHT_MAX,
)


@dataclass(frozen=True, slots=True)
class Known:
    """An account that a rule may name. `store_id` None: it serves every store."""

    merchant_id: str
    channel: str
    store_id: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """`errors` forbid the set; `warnings` do not."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def check(
    rules: Sequence[Rule],
    merchant_id: str,
    store_id: str | None,
    accounts: Mapping[str, Known],
    manifests: Mapping[str, Manifest],
) -> Findings:
    """`accounts`: those that exist, of every merchant."""
    if len(rules) > ROUTING_RULES_MAX:
        return Findings(
            (f"rules: {len(rules)} of them; one set has at most {ROUTING_RULES_MAX}",), ()
        )
    errors: list[str] = []
    for place, rule in enumerate(rules):
        where = f"rules[{place}]"
        errors += [f"{where}.name: {problem}" for problem in _of_name(rules, place)]
        errors += [f"{where}.when.{problem}" for problem in _of_when(rule.when, manifests)]
        errors += [
            f"{where}.use{problem}" for problem in _of_use(rule, merchant_id, store_id, accounts)
        ]
        if rule.only and rule.when.method is None:
            errors.append(
                f"{where}.only: say `method` in `when`, "
                f"or other ways to pay would be left without an account"
            )
    return Findings(tuple(errors), () if errors else tuple(_shadowed(rules)))


def _of_name(rules: Sequence[Rule], place: int) -> Iterator[str]:
    name = rules[place].name
    if not name.strip() or len(name) > ROUTING_NAME_CHARS_MAX or not name.isprintable():
        yield f"1 to {ROUTING_NAME_CHARS_MAX} printable characters"
    if any(rule.name == name for rule in rules[:place]):
        yield f"{name!r} is taken by an earlier rule: names stand in every attempt's `why`"


def _of_when(when: When, manifests: Mapping[str, Manifest]) -> Iterator[str]:
    manifest = manifests.get(when.method) if when.method is not None else None
    if when.method is not None and manifest is None:
        yield f"method: {when.method!r} is not installed; there are {', '.join(sorted(manifests))}"
    if when.flow is not None and when.flow not in set(Flow):
        yield f"flow: {when.flow!r} is none of {', '.join(Flow)}"
    elif when.flow is not None and manifest is not None and when.flow not in manifest.flows:
        yield f"flow: {manifest.channel} has no flow {when.flow}"
    for name, amount in (("amount_from", when.amount_from), ("amount_to", when.amount_to)):
        if amount is not None and not AMOUNT_FEN_MIN <= amount <= AMOUNT_FEN_MAX:
            yield f"{name}: {amount} is not within {AMOUNT_FEN_MIN} … {AMOUNT_FEN_MAX} fen"
    if (
        when.amount_from is not None
        and when.amount_to is not None
        and when.amount_from > when.amount_to
    ):
        yield f"amount_to: nothing is from {when.amount_from} to {when.amount_to} fen"
    yield from _of_time(when)


def _of_time(when: When) -> Iterator[str]:
    times: dict[str, int] = {}
    for name, text in (("time_from", when.time_from), ("time_to", when.time_to)):
        try:
            times |= {name: minute_of_day(text)} if text is not None else {}
        except ValueError as error:
            yield f"{name}: {error}"
    if len(times) == 2 and times["time_from"] == times["time_to"]:  # noqa: PLR2004 - both
        yield (
            f"time_to: from {when.time_from} to {when.time_to} is no time; "
            f"leave both out for the whole day"
        )
    if times.get("time_from") == 24 * 60:
        yield "time_from: write 00:00"
    if when.weekdays is not None and not when.weekdays:
        yield "weekdays: empty; leave it out for every day"
    for name in when.weekdays or ():
        if name not in WEEKDAYS:
            yield f"weekdays: {name!r} is none of {', '.join(WEEKDAYS)}"


def _of_use(
    rule: Rule, merchant_id: str, store_id: str | None, accounts: Mapping[str, Known]
) -> Iterator[str]:
    if not 1 <= len(rule.use) <= ROUTING_USES_MAX:
        yield f": 1 to {ROUTING_USES_MAX} accounts"
    for place, use in enumerate(rule.use):
        problem = _of_account(rule, accounts.get(use.account), merchant_id, store_id)
        if problem:
            yield f"[{place}].account: {use.account}: {problem}"
        if any(earlier.account == use.account for earlier in rule.use[:place]):
            yield f"[{place}].account: {use.account} is named twice"
        if use.weight is not None and not 1 <= use.weight <= ROUTING_WEIGHT_MAX:
            yield f"[{place}].weight: {use.weight} is not within 1 … {ROUTING_WEIGHT_MAX}"


def _of_account(rule: Rule, known: Known | None, merchant_id: str, store_id: str | None) -> str:
    # An account of another merchant is answered as one that does not exist.
    if known is None or known.merchant_id != merchant_id:
        return (
            f"the merchant has no such account: "
            f"`tillgate account list {merchant_id}` shows what there is"
        )
    if rule.when.method not in (None, known.channel):
        return f"an account of {known.channel} cannot take {rule.when.method}"
    if store_id is not None and known.store_id not in (None, store_id):
        return f"it serves the store {known.store_id} only"
    return ""


def _shadowed(rules: Sequence[Rule]) -> Iterator[str]:
    for place, rule in enumerate(rules):
        before = shadow(rules, place)
        if before is not None:
            yield (
                f"rules[{place}]: {rule.name!r} is never reached: "
                f"{before.name!r} takes all of its payments"
            )
