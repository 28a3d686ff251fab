r"""The hash chain over the event log and over what people did: pure.

A link covers the next rows in commit order, up to its last one, and stands on the link before it.
Its hash is SHA-256 over these parts:

| part | bytes |
|---|---|
| `tillgate/audit/1\n` | 17 |
| its number | 8 |
| the hash of the link before; of the first, zeros | 32 |
| each row: `E` (an event) or `A` (an act), transaction, number, digest | 1 + 8 + 8 + 32 |

Numbers are big-endian. A row's digest is SHA-256 over its fields in the order of the table, each
its length in four bytes and its text in UTF-8; a field that is NULL is `ff ff ff ff`, a moment is
microseconds since 1970. Nothing of it depends on a release, a setting or a time zone, so anybody
with the rows can compute it again (docs/audit.md).

A changed, dropped, moved or invented row differs from what its link recorded, and a link cannot be
made to fit without making all later ones anew. That, too, shows against a head that was kept
elsewhere.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

GENESIS: Final = bytes(32)
"""What the first link stands on."""

_LABEL: Final = b"tillgate/audit/1\n"
_NUMBER: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">I")
_ROW: Final = struct.Struct(">cQQ32s")
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Log(StrEnum):
    """Which table a row stands in; the value is its letter in a link."""

    ACT = "A"  # audit
    EVENT = "E"  # event


class Place(NamedTuple):
    """Where a row stands; rows sort by it."""

    transaction: int
    log: Log
    number: int


class ChainedRow(NamedTuple):
    """A row's place and its content's digest."""

    place: Place
    digest: bytes


BEGINNING: Final = Place(0, Log.ACT, 0)
"""Before every row."""


class Link(NamedTuple):
    """`rows`: packed, never empty."""

    number: int
    previous: bytes
    rows: bytes
    hash: bytes

    @property
    def last(self) -> Place:
        """Up to where the chain reaches with it."""
        return _unpacked(self.rows[-_ROW.size :]).place


class Head(NamedTuple):
    """The newest link, and when it was made. Its hash is over everything before it, too."""

    number: int
    hash: bytes
    at: datetime


class Harm(StrEnum):
    """What became of a row."""

    CHANGED = "changed"
    DROPPED = "dropped"
    INVENTED = "invented"
    MOVED = "moved"  # its content is genuine, its place is not


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as its link recorded it."""

    harm: Harm
    row: ChainedRow


def digest_of(fields: Iterable[str | int | datetime | None]) -> bytes:
    """Of one row."""
    hashed = hashlib.sha256()
    for field in fields:
        if field is None:
            hashed.update(_NULL)
            continue
        text = str((field - _EPOCH) // _MICROSECOND if isinstance(field, datetime) else field)
        raw = text.encode()
        hashed.update(_LENGTH.pack(len(raw)) + raw)
    return hashed.digest()


def linked(number: int, previous: bytes, rows: Sequence[ChainedRow]) -> Link:
    """The next link. `rows` sorted, at least one."""
    packed = b"".join(
        _ROW.pack(place.log.encode(), place.transaction, place.number, digest)
        for place, digest in rows
    )
    return Link(number, previous, packed, _hash(number, previous, packed))


def is_whole(link: Link) -> bool:
    """Whether its hash is that of its parts, and they can be read."""
    return (
        len(link.rows) >= _ROW.size
        and len(link.rows) % _ROW.size == 0
        and {chr(letter) for letter in link.rows[:: _ROW.size]} <= set(Log)
        and _hash(link.number, link.previous, link.rows) == link.hash
    )


def recorded(link: Link) -> list[ChainedRow]:
    """The rows it covers."""
    return [
        _unpacked(link.rows[start : start + _ROW.size])
        for start in range(0, len(link.rows), _ROW.size)
    ]


def first_difference(kept: Sequence[ChainedRow], found: Sequence[ChainedRow]) -> Difference | None:
    """Between what a link recorded and the rows there are now, both sorted."""
    if kept == found:
        return None
    now, then = ({row.place: row for row in rows} for rows in (found, kept))
    contents = {row.digest for row in found if row.place not in then}
    moved_from = {row.digest for row in kept if row.place not in now}
    for place in sorted(now.keys() | then.keys()):
        if place not in now:
            row = then[place]
            return Difference(Harm.MOVED if row.digest in contents else Harm.DROPPED, row)
        if place not in then:
            row = now[place]
            return Difference(Harm.MOVED if row.digest in moved_from else Harm.INVENTED, row)
        if now[place].digest != then[place].digest:
            exchanged = any(
                row.digest == then[place].digest and row.place != place for row in found
            )
            return Difference(Harm.MOVED if exchanged else Harm.CHANGED, now[place])
    raise AssertionError("the same rows in another order: they were to be sorted")


def _unpacked(row: bytes) -> ChainedRow:
    log, transaction, number, digest = _ROW.unpack(row)
    return ChainedRow(Place(transaction, Log(log.decode()), number), digest)


def _hash(number: int, previous: bytes, rows: bytes) -> bytes:
    return hashlib.sha256(_LABEL + _NUMBER.pack(number) + previous + rows).digest()
