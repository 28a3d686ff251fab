"""Every fault the gateway is built for, and every row of the failover decision, has a test that
says so in its name.

`test_fault_07_…` shows what happens under fault 7, `test_row_06_…` what row 6 of the decision
decides. Names are read from the sources, so the check is quick, and a test that is skipped names
nothing.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from tests.tidy.tree import dotted, python_files, source_of

NAMED = re.compile(r"test_(?P<kind>fault|row)_(?P<number>\d\d)_\w+")
SKIPS = ("skip", "skipif", "xfail")

FAULTS = {
    1: "a worker is killed at any point of a payment, a cancel, a refund or a callback",
    2: "a worker is frozen past its lease and wakes up",
    3: "an event loop is blocked, or the kernel kills for want of memory",
    4: "the till hangs up in the middle of its request",
    5: "a deploy in the middle of a payment",
    6: "PostgreSQL is killed or restarted",
    7: "the reply to a COMMIT is lost",
    8: "PostgreSQL is slow, locked, or has no connection left",
    9: "the disk is full, or the log cannot be written",
    10: "a caller is cancelled in a transaction and its connection goes back to the pool",
    11: "Redis is down, slow, emptied, full, or back with nothing",
    12: "Redis grants every lock to everybody",
    13: "no connection to the channel before a byte is sent",
    14: "the channel charges and its answer is lost",
    15: "the channel never got the request, and all we see is silence",
    16: "the channel acts on the request after it said that it knows none",
    17: "an answer that is garbled, an error page, or not signed by the channel",
    18: "an answer about another amount, order or merchant",
    19: "callbacks twice, fifty at once, early, late, in any order",
    20: "callbacks that are forged, stale, or somebody else's",
    21: "a callback that never comes",
    22: "money that arrives after we said no",
    23: "a double tap, and a key used for another body",
    24: "one order, two terminals",
    25: "a payment code scanned again, or too late",
    26: "a host's clock is wrong, or jumps",
    27: "a network that swallows one direction or both, and tells nobody",
    28: "a refund whose outcome is unknown, told early, or racing others",
    35: (
        "a merchant whose server is slow, broken or away for days; "
        "a courier that dies after sending"
    ),
    36: "the database is restored to a moment ago, the channels are not",
    37: "two sweepers, two schedulers",
    38: "everybody tries again at once after an outage",
}
"""Numbered as in the fault model; 29 to 34 belong to tenders,
bills and terminals that are built later.
"""

ROWS = {
    1: "breaker_open_before_sending",
    2: "no_byte_written",
    3: "refused_for_the_accounts_own_fault",
    4: "refused_for_the_customers_fault",
    5: "signed_success",
    6: "unknown_answer",
    7: "customer_is_typing",
    8: "crash_found_sent",
    9: "query_says_paid",
    10: "query_finds_nothing_inside_the_window",
    11: "query_says_closed",
    12: "query_and_cancel_fail_too",
    13: "cancel_confirmed",
    14: "cancel_met_money",
    15: "card_timeout",
    16: "cashier_insists_on_cash",
    17: "stored_value_and_cash",
}
"""What was seen on the account that was asked; numbered as in the decision table."""


def test_every_fault_has_a_test_named_after_it() -> None:
    missing = absent("fault", FAULTS)
    assert missing == [], f"no test_fault_NN_… in tests/ for: {'; '.join(missing)}"


def test_every_row_of_the_decision_has_a_test_named_after_it() -> None:
    missing = absent("row", ROWS)
    assert missing == [], f"no test_row_NN_… in tests/ for: {'; '.join(missing)}"


def test_no_test_is_named_after_a_fault_or_row_that_is_not_listed() -> None:
    listed = {"fault": set(FAULTS), "row": set(ROWS)}
    strays = [
        name
        for (kind, number), names in by_number(names_of_tests()).items()
        if number not in listed[kind]
        for name in names
    ]
    assert strays == []


def absent(kind: str, listed: dict[int, str]) -> list[str]:
    there = by_number(names_of_tests())
    return [
        f"{number:02d} {words}" for number, words in listed.items() if (kind, number) not in there
    ]


@cache
def names_of_tests() -> tuple[str, ...]:
    """Of every function that pytest collects from tests/ and does not skip."""
    paths = (path for path in python_files("tests") if path.name.startswith("test_"))
    return tuple(name for path in paths for name in collected(source_of(path)))


def collected(source: str) -> Iterator[str]:
    module = ast.parse(source)
    if any(
        "pytestmark" in ast.unparse(node).split("=")[0] and skips(node)
        for node in module.body
        if isinstance(node, ast.Assign)
    ):
        return
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
            skips(mark) for mark in node.decorator_list
        ):
            yield node.name


def skips(mark: ast.AST) -> bool:
    return any(
        dotted(node).split(".")[-1] in SKIPS
        for node in ast.walk(mark)
        if isinstance(node, ast.Attribute)
    )


def by_number(names: Iterable[str]) -> dict[tuple[str, int], list[str]]:
    """("fault", 7) -> the tests named after it."""
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name in names:
        if matched := NAMED.fullmatch(name):
            found[matched["kind"], int(matched["number"])].append(name)
    return found


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        ("def test_fault_07_reply_is_lost(): ...", [("fault", 7)]),
        ("async def test_row_16_cash_now(): ...", [("row", 16)]),
        ("def test_fault_7_reply_is_lost(): ...", []),
        ("def test_fault_07(): ...", []),
        ("def helper_test_fault_07_x(): ...", []),
        ("def outer():\n    def test_fault_07_x(): ...", []),
        ("@pytest.mark.skip\ndef test_fault_07_x(): ...", []),
        ("@pytest.mark.skipif(True, reason='')\ndef test_fault_07_x(): ...", []),
        ("@pytest.mark.xfail(strict=False)\ndef test_fault_07_x(): ...", []),
        ("@pytest.mark.parametrize('n', [1])\ndef test_fault_07_x(n): ...", [("fault", 7)]),
        ("pytestmark = pytest.mark.skip\ndef test_fault_07_x(): ...", []),
    ],
)
def test_only_what_is_collected_names_something(
    source: str, numbers: list[tuple[str, int]]
) -> None:
    assert list(by_number(collected(source))) == numbers


if __name__ == "__main__":
    for (which, place), tests in sorted(by_number(names_of_tests()).items()):
        print(f"{which} {place:02d}  {', '.join(tests)}")  # noqa: T201 - `python -m tests.tidy.test_faults` shows the list
