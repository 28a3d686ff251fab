"""What one try of a webhook says and what follows from its answer.

Pure: time and chance are handed in.

| answer | what follows |
|---|---|
| any 2xx | delivered |
| 410 | the endpoint is disabled |
| anything else | the next step of the backoff; after the last one, given up |

Anything else: other statuses, redirects, silence, an address we refuse.

The backoff is one table (`WEBHOOK_STEPS_MS`), and every wait is lengthened by chance, never
shortened. `Retry-After` of a 429 or a 503 can make a wait longer, within its bound. The place in
the table follows from the time since the round began, because `tries` only grows: a resend by hand
begins a new round. It never runs ahead of `tries` either: while no courier ran, no step was used
up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from gateway.domain.resources import event_json
from gateway.limits import WEBHOOK_JITTER_PERCENT, WEBHOOK_RETRY_AFTER_MS_MAX, WEBHOOK_STEPS_MS
from gateway.webhooks.outbox import Delivery

GONE: Final = 410
TOO_MANY: Final = frozenset({429, 503})
SECOND_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Delivered:
    """The merchant has it."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The merchant wants nothing more at this address."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """`asked_ms`: how much quiet the merchant asked for, 0 for none; it holds for everything that
    waits for this endpoint.
    """

    wait_ms: int
    asked_ms: int = 0


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The table is at its end."""


Verdict = Delivered | Gone | Postponed | GivenUp


def body_of(delivery: Delivery) -> bytes:
    """The same bytes at every try, and the same as the event's row in the feed."""
    return event_json(delivery.event_id, delivery.type, delivery.created_at, delivery.data)


def judged(
    delivery: Delivery,
    status: int | None,
    headers: Mapping[str, str],
    *,
    now: datetime,
    chance: float,
) -> Verdict:
    """What follows from an answer; `status` None when there was none. `chance`: 0 up to 1."""
    if status is not None and status // 100 == 2:  # noqa: PLR2004 - the class of successes
        return Delivered()
    if status == GONE:
        return Gone()
    asked_ms = _asked_ms(headers.get("Retry-After"), now) if status in TOO_MANY else 0
    return put_off(delivery, asked_ms, now=now, chance=chance)


def put_off(
    delivery: Delivery, asked_ms: int, *, now: datetime, chance: float
) -> Postponed | GivenUp:
    """The next step, at least `asked_ms` long; GivenUp after the last one."""
    place = _place(delivery, now)
    if place == len(WEBHOOK_STEPS_MS):
        return GivenUp()
    wait_ms = max(WEBHOOK_STEPS_MS[place], asked_ms)
    return Postponed(wait_ms + int(wait_ms * WEBHOOK_JITTER_PERCENT * chance / 100), asked_ms)


def _place(delivery: Delivery, now: datetime) -> int:
    """How many steps of the table this round has behind it."""
    age_ms = int((now - delivery.first_due_at).total_seconds() * SECOND_MS)
    passed = 0
    for step_ms in WEBHOOK_STEPS_MS:
        age_ms -= step_ms
        if age_ms < 0:
            break
        passed += 1
    return min(passed, delivery.tries - 1)


_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def _asked_ms(text: str | None, now: datetime) -> int:
    """`Retry-After` of RFC 9110, seconds or a date; 0 when there is none or it makes no sense."""
    if text is None:
        return 0
    if _SECONDS.fullmatch(text):
        asked_ms = int(text) * SECOND_MS
    else:
        try:
            asked_ms = int((parsedate_to_datetime(text) - now).total_seconds() * SECOND_MS)
        except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
            return 0
    return max(0, min(asked_ms, WEBHOOK_RETRY_AFTER_MS_MAX))
