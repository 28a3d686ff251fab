"""The database's time, carried on by the host's monotonic clock:
what is told after each word of the database.
"""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import DatabaseClock
from gateway.limits import CLOCK_ASKING_MS_MAX, CLOCK_SLEWED_MS_MAX

BEGIN = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


class Host:
    """Both hands are moved by the test."""

    def __init__(self) -> None:
        self.wall, self.seconds = BEGIN, 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def heard(told_s: float, way_s: float = 0.0) -> tuple[DatabaseClock, Host]:
    """A clock that heard the database once."""
    host = Host()
    clock = DatabaseClock(host)
    tell(clock, host, told_s, way_s)
    return clock, host


def tell(clock: DatabaseClock, host: Host, told_s: float, way_s: float = 0.0) -> None:
    asked_at = host.seconds
    host.seconds += way_s
    clock.learn(at(told_s), asked_at)


def test_the_host_is_believed_only_until_the_database_is_heard():
    host = Host()
    clock = DatabaseClock(host)
    assert clock.now() == at(0)
    host.wall = at(-600)
    assert clock.now() == at(-600)
    tell(clock, host, 600)
    assert clock.now() == at(600)
    assert clock.host_ahead_s() == -1200


@pytest.mark.parametrize("jump_s", [-600.0, 600.0, 86_400.0, -0.5])
def test_fault_26_a_host_clock_that_jumps_changes_nothing(jump_s):
    clock, host = heard(600)
    host.wall, host.seconds = at(jump_s), host.seconds + 5
    assert clock.now() == at(605)
    assert clock.monotonic() == host.seconds


SLEWED_S = CLOCK_SLEWED_MS_MAX / 1000
SLOW_S = CLOCK_ASKING_MS_MAX / 1000


@pytest.mark.parametrize(
    ("told_s", "way_s", "after_s", "shown_s"),
    [
        (100.0, 0.0, 0.0, 100.0),  # agrees
        (101.0, 0.0, 0.0, 101.0),  # we were behind: forward at once
        (700.0, 0.0, 0.0, 700.0),  # somebody set it forward
        (100.0 - SLEWED_S, 0.0, 0.0, 100.0),  # we were ahead: never back ...
        (100.0 - SLEWED_S, 0.0, 1.0, 100.5),  # ... but slower ...
        (100.0 - SLEWED_S, 0.0, 2 * SLEWED_S, 100.0 + SLEWED_S),  # ... until we agree
        (100.0 - SLEWED_S, 0.0, 10.0, 110.0 - SLEWED_S),
        (100.0 - SLEWED_S - 0.1, 0.0, 0.0, 99.9 - SLEWED_S),  # somebody set it back: followed
        (101.0, 0.2, 0.0, 101.1),  # its word is as old as half the way
        (200.0, SLOW_S + 0.1, 0.0, 100.0 + SLOW_S + 0.1),  # too long under way to say anything
    ],
)
def test_a_second_word(told_s, way_s, after_s, shown_s):
    clock, host = heard(100)
    tell(clock, host, told_s, way_s)
    host.seconds += after_s
    assert abs((clock.now() - at(shown_s)).total_seconds()) < 1e-5


def test_the_first_word_counts_however_long_it_took():
    clock, _ = heard(100, way_s=4.0)
    assert clock.now() == at(102)


def test_it_never_goes_back_while_it_is_slewed():
    clock, host = heard(100)
    shown = [clock.now()]
    for ahead_s in (0.3, 1.1, 0.0, 1.9, 0.001):
        tell(clock, host, (clock.now() - BEGIN).total_seconds() - ahead_s)
        for _ in range(20):
            host.seconds += 0.01
            shown.append(clock.now())
    assert shown == sorted(shown)
