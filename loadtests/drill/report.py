"""What is printed, and which aims were met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from typing import Any

from loadtests.drill.findings import Findings, Part

APPROVAL_MIN = 0.999
LISTED_MAX = 20  # longer lists of seconds are written as percentiles


@dataclass(frozen=True, slots=True)
class Aim:
    """One line of the last table."""

    name: str
    met: bool
    value: str


def aims(findings: Findings, checked: int) -> list[Aim]:
    """`checked`: pairs of attempts that were looked at for evidence."""
    outside = findings.outside()
    names = Counter(violation.split(" ", 1)[0] for violation in findings.violations)
    doubles, lost = names["INV1"], names["INV2"] + names["INV3"] + names["INV7"]
    unproven = names["INV9"] + findings.failovers.unproven
    share = (
        f"{outside.approved:.2%} of {outside.customers} ({outside.approved_at_first_tap:.2%} at "
        f"the first tap)"
    )
    return [
        Aim(
            "approval ≥ 99.9 % outside the first two seconds of darkness",
            outside.approved >= APPROVAL_MIN,
            share,
        ),
        Aim(
            "no failover without evidence",
            not unproven,
            f"{unproven} of {checked} pairs of attempts",
        ),
        Aim("nobody charged twice", not doubles, f"{doubles} violations of INV1"),
        Aim("nothing lost", not lost, f"{lost} violations of INV2, INV3, INV7"),
        Aim(
            "the books agree in everything else",
            len(findings.violations) == sum((doubles, lost, names["INV9"])),
            _others(names),
        ),
        Aim(
            "A is used again",
            isfinite(findings.first_paid_at_a_s),
            f"{findings.first_paid_at_a_s:.2f} s after it came back",
        ),
    ]


def is_money_right(findings: Findings) -> bool:
    """Whatever else was missed."""
    return not findings.violations and not findings.failovers.unproven


def lines(findings: Findings) -> Iterator[str]:
    """The tables."""
    yield from _phases(findings)
    yield ""
    yield from _failovers(findings)
    yield from _breakers(findings)
    yield from _doubt(findings)
    yield ""
    yield (
        f"money audit: {len(findings.violations)} differences between the gateway's books and the "
        f"channel's ledger"
    )
    yield from (f"  {violation}" for violation in findings.violations[:20])


def as_json(findings: Findings, asked: dict[str, Any], reached: Sequence[Aim]) -> dict[str, Any]:
    """One document. Seconds, with null for never; long lists of them as percentiles."""
    return {"asked": asked, "aims": _plain(reached), **_plain(findings)}


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
        case [float() | int(), *_] if len(value) > LISTED_MAX:
            return {
                "count": len(value),
                "p50": _at(value, 0.5),
                "p95": _at(value, 0.95),
                "max": _at(value, 1),
            }
        case list() | tuple():
            return [_plain(each) for each in value]
        case float():
            return round(value, 4) if isfinite(value) else None
        case _ if is_dataclass(value):
            return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            return value


def _phases(findings: Findings) -> Iterator[str]:
    counts = f"{'first tap':>11}{'rescanned':>11}{'too late':>10}{'unpaid':>8}{'approved':>10}"
    yield f"{'customers who came':<24}{counts}   answer p50 · p95 · max"
    for phase, part in findings.parts.items():
        spread = " · ".join(
            f"{_at(part.latencies_s, share) * 1000:.0f}" for share in (0.5, 0.95, 1)
        )
        counts = (
            f"{part.first_tap:>11}{part.rescanned:>11}{part.later:>10}{part.unpaid:>8}"
            f"{part.approved:>10.2%}"
        )
        yield f"{phase:<18}{part.customers:>6}{counts}   {spread} ms{_troubles(part)}"


def _troubles(part: Part) -> str:
    said = [f"{count} × {failure}" for failure, count in part.failures.most_common(3)]
    said += [f"{part.repeats} × same key again"] if part.repeats else []
    return f"   ({', '.join(said)})" if said else ""


def _failovers(findings: Findings) -> Iterator[str]:
    counted = findings.failovers
    total = counted.before + counted.after.total() + counted.rescans.total()
    share = f", {counted.before / total:.1%} of all" if total else ""
    yield (
        f"failovers before sending   "
        f"{counted.before}{share}{_listed(counted.reasons, ' (A was: ', ')')}"
    )
    yield (
        f"failovers after sending    {counted.after.total()} in the same "
        f"payment{_listed(counted.after, ', with proof ')}"
    )
    yield (
        f"                           {counted.rescans.total()} by a fresh "
        f"code{_listed(counted.rescans, ', with proof ')}"
    )


def _breakers(findings: Findings) -> Iterator[str]:
    breakers = findings.breakers
    yield (
        f"dark → breaker open        {_each(breakers.opened_s)}; A's last approval "
        f"{findings.last_paid_at_a_s:.2f} s after dark"
    )
    yield (
        f"light → breaker closed     {_each(breakers.closed_s)}; A's first approval "
        f"{findings.first_paid_at_a_s:.2f} s after light"
    )
    yield (
        f"                           {len(breakers.moves)} moves of A's breakers, "
        f"{breakers.score_steps} steps of its score"
    )


def _doubt(findings: Findings) -> Iterator[str]:
    doubt = findings.doubt
    yield (
        f"in doubt                   {len(doubt.lasted_s) + doubt.open} "
        f"payments{_listed(doubt.ended, ', then ')}; {doubt.open} still are"
    )
    yield f"  in doubt → settled       {_spread(doubt.lasted_s)}"
    yield f"  light → settled          {_spread(doubt.after_light_s)}"
    yield (
        f"  first word → settled     {_spread(doubt.after_word_s)}   (any answer of the channel "
        f"about it)"
    )
    yield f"  definite answer → settled{_spread(doubt.after_answer_s)}"


def _each(seconds: list[float]) -> str:
    if not seconds:
        return "never"
    return (
        " and ".join(f"{each:.2f} s" for each in seconds[:4])
        + f" ({len(seconds)} worker{'s' if len(seconds) > 1 else ''})"
    )


def _listed(counts: Counter[str], before: str, after: str = "") -> str:
    return (
        before + ", ".join(f"{name} {count}" for name, count in counts.most_common()) + after
        if counts
        else ""
    )


def _others(names: Counter[str]) -> str:
    others = {
        name: count
        for name, count in names.items()
        if name not in {"INV1", "INV2", "INV3", "INV7", "INV9"}
    }
    return (
        ", ".join(f"{count} violations of {name}" for name, count in others.items())
        or "0 violations of INV4, INV5, INV8, INV10"
    )


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return " -"
    return (
        f" p50 {_at(seconds, 0.5):.2f} s, p95 {_at(seconds, 0.95):.2f} s, max "
        f"{_at(seconds, 1):.2f} s of {len(seconds)}"
    )


def _at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
