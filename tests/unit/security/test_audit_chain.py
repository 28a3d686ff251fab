import hashlib
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest

from security.audit_chain import (
    GENESIS,
    ChainedRow,
    Difference,
    Harm,
    Link,
    Log,
    Place,
    digest_of,
    first_difference,
    is_whole,
    linked,
    recorded,
)


def row(transaction: int, number: int, content: str = "x", log: Log = Log.EVENT) -> ChainedRow:
    return ChainedRow(Place(transaction, log, number), digest_of([content]))


ROWS = [row(7, 1, "a", Log.ACT), row(7, 4, "b"), row(8, 2, "c"), row(9, 3, "d")]


def test_the_format_holds_for_ever() -> None:
    """Written again from the description, by hand."""
    moment = datetime(2026, 11, 21, 6, 5, 0, 7, tzinfo=UTC)
    fields = (b"mer_1", None, b"3", b"1795241100000007", "\u9762".encode())
    digest = hashlib.sha256(
        b"".join(
            b"\xff\xff\xff\xff" if each is None else struct.pack(">I", len(each)) + each
            for each in fields
        )
    ).digest()
    assert digest_of(["mer_1", None, 3, moment, "面"]) == digest
    packed = b"E" + struct.pack(">QQ", 7, 4) + digest
    link = linked(12, bytes(range(32)), [ChainedRow(Place(7, Log.EVENT, 4), digest)])
    assert link.rows == packed
    assert (
        link.hash
        == hashlib.sha256(
            b"tillgate/audit/1\n" + struct.pack(">Q", 12) + bytes(range(32)) + packed
        ).digest()
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["", None], [None, ""]),
        (["a"], ["a", ""]),
        (["1", "23"], ["12", "3"]),
    ],
)
def test_two_rows_never_have_one_digest(one: list, other: list) -> None:
    assert digest_of(one) != digest_of(other)


def test_a_moment_is_the_same_in_every_time_zone() -> None:
    here = datetime(2026, 11, 21, 14, 5, tzinfo=timezone(timedelta(hours=8)))
    assert digest_of([here]) == digest_of([here.astimezone(UTC)])


def test_a_link_gives_its_rows_back() -> None:
    link = linked(1, GENESIS, ROWS)
    assert recorded(link) == ROWS
    assert link.last == ROWS[-1].place
    assert is_whole(link)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 2},
        {"previous": b"\x01" * 32},
        {"rows": linked(1, GENESIS, ROWS[1:]).rows},
        {"rows": linked(1, GENESIS, ROWS).rows[:-1]},
        {"rows": b""},
        {"hash": GENESIS},
    ],
)
def test_a_link_that_was_changed_is_not_whole(change: dict) -> None:
    assert not is_whole(linked(1, GENESIS, ROWS)._replace(**change))


def test_a_link_of_unknown_rows_is_not_whole_though_its_hash_fits() -> None:
    rows = b"X" + linked(1, GENESIS, ROWS[:1]).rows[1:]
    right = hashlib.sha256(b"tillgate/audit/1\n" + struct.pack(">Q", 1) + GENESIS + rows).digest()
    assert not is_whole(Link(1, GENESIS, rows, right))


A, B, C, D = ROWS


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        ([A, B, C, D], None),
        ([A, B, D], Difference(Harm.DROPPED, C)),
        ([], Difference(Harm.DROPPED, A)),
        ([A, B, C], Difference(Harm.DROPPED, D)),
        ([A, row(7, 4, "!"), C, D], Difference(Harm.CHANGED, row(7, 4, "!"))),
        ([A, B, row(8, 1, "new"), C, D], Difference(Harm.INVENTED, row(8, 1, "new"))),
        ([row(1, 1, "new"), A, B, C, D], Difference(Harm.INVENTED, row(1, 1, "new"))),
        # at another place, before or after its own
        ([A, row(7, 9, "c"), B, D], Difference(Harm.MOVED, row(7, 9, "c"))),
        ([A, C, row(8, 9, "b"), D], Difference(Harm.MOVED, B)),
        # two that changed places
        ([A, row(7, 4, "c"), row(8, 2, "b"), D], Difference(Harm.MOVED, row(7, 4, "c"))),
    ],
)
def test_the_first_row_that_is_not_as_it_was_is_named(
    found: list[ChainedRow], difference: Difference | None
) -> None:
    assert first_difference(ROWS, sorted(found)) == difference
