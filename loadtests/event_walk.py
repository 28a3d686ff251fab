"""INV4: the event log of every object walks the tables of `gateway.domain.states`, version + 1 a
step, and ends where the row stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gateway.domain.change import PUBLIC_PAYMENT, PUBLIC_REFUND
from gateway.domain.states import ATTEMPT, NEW, PAYMENT, REFUND
from loadtests.books import Books, Row

# The rows are read as plain text: a status that is in no table is a finding, no error.
PAYMENT_CELLS = {str(state): frozenset(cells.values()) for state, cells in PAYMENT.items()}
ATTEMPT_REACH = {str(state): reach for state, reach in ATTEMPT.items()}
REFUND_REACH = {str(state): reach for state, reach in REFUND.items()}
FIRST_REFUND = frozenset({"requested", "succeeded"})  # a local refund is made and done in one write


def strayed(books: Books) -> Iterator[tuple[str, str]]:
    """(object id, what is wrong) for every step that no table allows,
    and every end that is not the row's.
    """
    rows = {row["id"]: row for row in (*books.payments, *books.refunds)}
    walked = set()
    for object_id, steps in groupby(books.events, key=lambda event: event["object_id"]):
        events = list(steps)
        walked.add(object_id)
        row = rows.get(object_id)
        if row is None:
            yield object_id, "events of an object that has no row"
            continue
        yield from ((object_id, text) for text in _walk(events, row))
    for object_id in rows.keys() - walked:
        yield object_id, "no event was ever written"


def _walk(events: list[Row], row: Row) -> Iterator[str]:
    kind = events[0]["object"]
    status: str | None = None
    attempts: dict[str, str] = {}
    for number, event in enumerate(events, 1):
        to = event["status"]
        if event["version"] != number or event["data_version"] != number:
            yield (
                f"version {event['version']} (data: {event['data_version']}) "
                f"stands where {number} should"
            )
        if to != status and not _may(kind, status, to):
            yield f"went from {status or NEW} to {to}, which the {kind} table does not allow"
        if (event["type"], event["public"]) != _named(kind, status, to):
            yield (
                f"version {event['version']} is logged as {event['type']}, public {event['public']}"
            )
        for attempt, reached in event["attempts"].items():
            was = attempts.get(attempt)
            may_be = ATTEMPT_REACH.get(was or "", frozenset())
            if was not in {None, reached} and reached not in may_be:
                yield (
                    f"attempt {attempt} went from {was} to {reached}, "
                    f"which the attempt table does not allow"
                )
        status, attempts = to, event["attempts"]
    if (status, len(events)) != (row["status"], row["version"]):
        yield (
            f"its log ends {status} at {len(events)}, "
            f"its row says {row['status']} at {row['version']}"
        )


def _may(kind: str, status: str | None, to: str) -> bool:
    if kind == "payment":
        return to in PAYMENT_CELLS.get(status or NEW, frozenset())
    return to in FIRST_REFUND if status is None else to in REFUND_REACH.get(status, frozenset())


def _named(kind: str, status: str | None, to: str) -> tuple[str, bool]:
    """The type and the publicity that a step must have been written with."""
    if to == status:
        return f"{kind}.updated", False
    return f"{kind}.{to}", to in (PUBLIC_PAYMENT if kind == "payment" else PUBLIC_REFUND)
