"""What follows from a merchant's answer, and how long an endpoint that fails is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.limits import (
    WEBHOOK_FAILURES_MAX,
    WEBHOOK_JITTER_PERCENT,
    WEBHOOK_REST_MS_MAX,
    WEBHOOK_REST_MS_MIN,
    WEBHOOK_RETRY_AFTER_MS_MAX,
    WEBHOOK_STEPS_MS,
)
from gateway.webhooks.delivery import Delivered, GivenUp, Gone, Postponed, body_of, judged, put_off
from gateway.webhooks.outbox import Delivery
from gateway.webhooks.rest import EndpointRest
from tests.fakes.outbox import HandClock, a_delivery

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FIRST, SECOND, LAST = WEBHOOK_STEPS_MS[0], WEBHOOK_STEPS_MS[1], WEBHOOK_STEPS_MS[-1]
WHOLE = sum(WEBHOOK_STEPS_MS)
HOUR = WEBHOOK_RETRY_AFTER_MS_MAX


def due(tries: int = 1, age_ms: int = 0) -> Delivery:
    return a_delivery(tries=tries, first_due_at=NOW - timedelta(milliseconds=age_ms))


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (200, None, Delivered()),
        (201, None, Delivered()),
        (204, "99", Delivered()),
        (299, None, Delivered()),
        (410, None, Gone()),
        (100, None, Postponed(FIRST)),
        (301, None, Postponed(FIRST)),
        (302, "60", Postponed(FIRST)),
        (400, None, Postponed(FIRST)),
        (404, None, Postponed(FIRST)),
        (500, "60", Postponed(FIRST)),
        (None, None, Postponed(FIRST)),
        (429, None, Postponed(FIRST)),
        (429, "60", Postponed(60_000, 60_000)),
        (503, "60", Postponed(60_000, 60_000)),
        (503, "1", Postponed(FIRST, 1_000)),
        (503, "0", Postponed(FIRST)),
        (503, "-5", Postponed(FIRST)),
        (503, "999999999", Postponed(HOUR, HOUR)),
        (503, "9999999999999999999999", Postponed(FIRST)),
        (503, "1e3", Postponed(FIRST)),
        (503, "soon", Postponed(FIRST)),
        (503, "", Postponed(FIRST)),
        (503, "Sat, 21 Nov 2026 12:02:00 GMT", Postponed(120_000, 120_000)),
        (503, "Sat, 21 Nov 2026 11:00:00 GMT", Postponed(FIRST)),
        (503, "Sat, 21 Nov 2099 11:00:00 GMT", Postponed(HOUR, HOUR)),
        (503, "Sat, 21 Nov 2026 12:02:00", Postponed(FIRST)),
    ],
)
def test_answers(status: int | None, retry_after: str | None, expected: object):
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    assert judged(due(), status, headers, now=NOW, chance=0.0) == expected


@pytest.mark.parametrize(
    ("tries", "age_ms", "expected_ms"),
    [
        (1, 0, FIRST),
        (1, WHOLE * 2, FIRST),  # no courier ran for days: no step was used up
        (2, FIRST, SECOND),
        (2, FIRST - 1, FIRST),
        (3, FIRST + SECOND, WEBHOOK_STEPS_MS[2]),
        (len(WEBHOOK_STEPS_MS), WHOLE - 1, LAST),
        (len(WEBHOOK_STEPS_MS) + 1, WHOLE - 1, LAST),
        (len(WEBHOOK_STEPS_MS) + 1, WHOLE, None),
        (99, WHOLE * 9, None),
        (99, 0, FIRST),  # brought back by hand: a new round
        (99, FIRST, SECOND),
        (2, -60_000, FIRST),  # our clock is behind the database's
    ],
)
def test_backoff(tries: int, age_ms: int, expected_ms: int | None):
    shortest = put_off(due(tries, age_ms), 0, now=NOW, chance=0.0)
    longest = put_off(due(tries, age_ms), 0, now=NOW, chance=0.999_999)
    if expected_ms is None:
        assert shortest == longest == GivenUp()
    else:
        assert shortest == Postponed(expected_ms)
        assert isinstance(longest, Postponed)
        assert expected_ms < longest.wait_ms <= expected_ms * (100 + WEBHOOK_JITTER_PERCENT) // 100


def test_the_body_splices_the_stored_object_in_unchanged():
    stored = b'{"id":"pay_1" ,"version":2,"amount":1.0}'
    assert body_of(a_delivery(data=stored)) == (
        b'{"type":"payment.succeeded","id":"evt_1","created_at":"2026-11-21T12:00:00Z","data":{"payment":'
        + stored
        + b"}}"
    )
    assert b'"data":{"refund":{}}' in body_of(a_delivery(type="refund.succeeded", data=b"{}"))


def resting(rest: EndpointRest, endpoint_id: str = "we_1") -> int:
    """How long it is left alone; 0 when the next one goes out."""
    refusal = rest.refusal(endpoint_id)
    return 0 if refusal is None else refusal[0]


def test_an_endpoint_rests_after_failures_in_a_row_and_one_probe_decides():
    clock = HandClock()
    rest = EndpointRest(clock)
    for _ in range(WEBHOOK_FAILURES_MAX - 1):
        rest.failed("we_1", "HTTP 500")
        assert resting(rest) == 0
    rest.failed("we_1", "HTTP 500")
    assert 0 < resting(rest) <= WEBHOOK_REST_MS_MIN
    assert resting(rest, "we_2") == 0, "nobody else rests with it"
    rest.failed("we_1", "HTTP 500")
    assert resting(rest) <= WEBHOOK_REST_MS_MIN, (
        "a try under way when the rest began is no reason for a longer one"
    )
    clock.advance(WEBHOOK_REST_MS_MIN / 1000 + 0.001)
    assert resting(rest) == 0, "the probe"
    refusal = rest.refusal("we_1")
    assert refusal is not None, "one probe only"
    assert "the last: HTTP 500" in refusal[1]
    rest.failed("we_1", "no answer in time")
    assert WEBHOOK_REST_MS_MIN < resting(rest) <= 2 * WEBHOOK_REST_MS_MIN
    clock.advance(2 * WEBHOOK_REST_MS_MIN / 1000 + 0.001)
    assert resting(rest) == 0
    rest.not_sent("we_1")
    assert resting(rest) == 0, "a probe that was not sent is still owed"
    rest.forget("we_1")
    assert [resting(rest), resting(rest)] == [0, 0]


def test_rests_double_up_to_their_bound():
    clock = HandClock()
    rest = EndpointRest(clock)
    for _ in range(WEBHOOK_FAILURES_MAX):
        rest.failed("we_1", "HTTP 500")
    lengths = []
    for _ in range(12):
        lengths.append(resting(rest))
        clock.advance(lengths[-1] / 1000 + 0.002)
        assert resting(rest) == 0
        rest.failed("we_1", "HTTP 500")
    assert lengths == sorted(lengths)
    assert WEBHOOK_REST_MS_MAX - 1 <= lengths[-1] <= WEBHOOK_REST_MS_MAX


def test_who_asks_for_quiet_gets_it_at_once():
    clock = HandClock()
    rest = EndpointRest(clock)
    rest.failed("we_1", "HTTP 429", 60_000)
    assert 59_000 < resting(rest) <= 60_000
    clock.advance(60.001)
    assert resting(rest) == 0
    rest.forget("we_1")
    assert resting(rest) == 0
