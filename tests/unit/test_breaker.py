"""One breaker, told one thing after another:
a line is a story, its last column what the breaker says then.
"""

from typing import Any

import pytest

from gateway.flow.choose.breaker import Admission, Breaker, Pulse, Score, State
from gateway.limits import (
    BREAKER_LOST_TRIAL_MS_MAX,
    BREAKER_LOST_TRIAL_MS_MIN,
    BREAKER_OPEN_MS_MAX,
    BREAKER_OPEN_MS_MIN,
    PROBE_EVERY_MS,
    PROBE_GRACE_MS,
    SCORE_DRIFT_MS,
    SCORE_MAX,
    SCORE_STEP,
)

# Words: y a call is answered · n a call fails · N fails while the account is silent in everything ·
# s a call says nothing in time · S as s, and the account is silent · a the silent call answers
# after all · d it never does · r refused by the account · p a probe is answered · x a probe fails ·
# t a payment goes · e it ends without a word · o c w another worker says open, closed, resting ·
# digits: so many seconds pass · + twenty answers. A call begins when it is told of, unless - stands
# before it: then long ago.
STORIES = """
nothing known            |                    | closed    YES
a failure or two         | n n                | closed    YES
a lonely till            | n N                | open      NO
lonely, but long ago     | n 61 N             | closed    YES
not lonely               | + n N              | closed    YES
five in a row            | n n n n n          | open      NO
four and an answer       | n n n n y n        | closed    YES
old calls say nothing    | n n n n n 2 p -n   | half_open YES
half of many | + n n n n y n n n n y n n n n y n n n n y n n n n y n n n n y n n n n | open NO
silence counts at once   | s s s s s          | open      NO
a lonely silence         | s S                | open      NO
taken back before        | s s s s a s        | closed    YES
taken back after         | s s s s s a        | closed    YES
silence that stays       | s s s s s d a      | open      NO
a failure among silences | n s s s s a        | open      NO
its time has passed      | n N 2              | open      NO
probed                   | n N 2 p            | half_open YES
probed and on trial      | n N 2 p t          | half_open NO
a trial that was not     | n N 2 p t e        | half_open YES
a trial without end      | n N 2 p t 8        | half_open YES
a trial that went well   | n N 2 p t y        | closed    YES
a trial that failed      | n N 2 p t n        | open      NO
a silent trial           | n N 2 p t s        | open      NO
a slow trial             | n N 2 p t s a      | closed    YES
nobody probes            | n N 9              | open      YES
nobody probes, one tries | n N 9 t            | open      NO
a payment answered       | n N 9 t y          | closed    YES
refused once             | r                  | resting   LAST
refused, time passes     | r 40               | resting   YES
refused, on trial        | r 40 t             | resting   LAST
refused again            | r 40 t r           | resting   LAST
accepted again           | r 40 t y           | closed    YES
accepted though last     | r y                | closed    YES
refused, then dark       | r n n n n n        | open      NO
heard of                 | o                  | open      LAST
heard of, refuted        | o p                | half_open YES
heard of, on trial       | o p t              | half_open LAST
heard of, well again     | o p t y            | closed    YES
heard of, confirmed      | o x                | open      NO
heard of, failed here    | o n                | open      NO
heard again too soon     | o p t y 5 o        | closed    YES
heard again later        | o p t y 40 o       | open      LAST
heard of a refusal       | w                  | resting   LAST
heard of nothing new     | c                  | closed    YES
heard that it is back    | n N c              | half_open YES
heard so once only       | n N c t n c        | half_open YES
heard so in the same one | n N c p t n        | open      NO
"""


def told(breaker: Breaker, words: str) -> float:
    now, trial = 1000.0, None
    for given in words.split():
        began = now - 900 if given.startswith("-") else now
        word = given.removeprefix("-")
        failure: Any = {
            "reason": "timeout",
            "silent": word in "sS",
            "counted": word == "d",
            "alone": word in "NS",
        }
        match word:
            case "y" | "a":
                breaker.answered(now, began - (1.2 if word == "a" else 0), counted=word == "a")
            case "+":
                for _ in range(20):
                    breaker.answered(now, began, counted=False)
            case "n" | "N" | "s" | "S" | "d":
                breaker.failed(now, began, **failure)
            case "r":
                breaker.refused(now, began, "LIMIT", counted=False)
            case "p" | "x":
                breaker.probed(now, is_alive=word == "p")
            case "t":
                trial = breaker.begin(now)
            case "e":
                assert trial is not None
                breaker.end(trial)
            case "o" | "c" | "w":
                breaker.hear(
                    now,
                    {"o": State.OPEN, "c": State.CLOSED, "w": State.RESTING}[word],
                    0.0,
                    "five in a row",
                )
            case _:
                now += int(word)
        now += 0.001
    return now


@pytest.mark.parametrize("line", STORIES.strip().splitlines())
def test_stories(line: str) -> None:
    _, words, said = (part.strip() for part in line.split("|"))
    breaker = Breaker("w/a/pay")
    now = told(breaker, words)
    assert (breaker.state, breaker.admission(now).name) == tuple(said.split())


def test_open_times_grow_are_bounded_and_differ_between_workers() -> None:
    breaker, other = Breaker("w1/a/pay"), Breaker("w2/a/pay")
    waits = []
    for each in (breaker, other):
        now = 1000.0
        each.open(now, "x")
        for _ in range(6):
            waits.append(each.until - now)
            now = each.until
            each.probed(now, is_alive=False)
    ours = waits[:6]
    assert ours == sorted(ours[:4]) + ours[4:]
    assert all(
        BREAKER_OPEN_MS_MIN / 1000 <= wait <= BREAKER_OPEN_MS_MAX * 1.25 / 1000 for wait in waits
    )
    assert ours[3] >= BREAKER_OPEN_MS_MAX / 1000
    assert waits[6:] != ours


def test_a_payment_on_trial_that_failed_is_not_followed_soon_by_another() -> None:
    breaker = Breaker("w/a/pay")
    now = told(breaker, "n N 2 p t n")
    waits = [breaker.until - now]
    for _ in range(3):
        now = breaker.until
        breaker.probed(now, is_alive=True)
        breaker.begin(now)
        breaker.failed(now, now, "http_500", silent=False, counted=False, alone=False)
        waits.append(breaker.until - now)
    assert waits[0] >= BREAKER_LOST_TRIAL_MS_MIN / 1000 - 0.1
    assert waits[1] > waits[0] * 1.5
    assert max(waits) <= BREAKER_LOST_TRIAL_MS_MAX * 1.25 / 1000
    breaker.hasten()
    assert breaker.until <= now + PROBE_EVERY_MS / 1000, "unless payments find nobody else to go to"


def test_a_breaker_that_stayed_closed_for_long_begins_again_with_a_short_time() -> None:
    breaker = Breaker("w/a/pay")
    now = told(breaker, "n N 2 x 5 x 9 x 9 p t y 300")
    assert breaker.open(now, "x").to == "open"
    assert breaker.until - now <= BREAKER_OPEN_MS_MIN * 1.25 / 1000


def test_payments_that_find_nobody_bring_the_next_probe_forward() -> None:
    breaker = Breaker("w/a/pay")
    now = told(breaker, "n N 2 x 3 x 6 x")
    assert breaker.until > now + 2 * PROBE_EVERY_MS / 1000
    breaker.hasten()
    assert breaker.until <= now + PROBE_EVERY_MS / 1000
    assert breaker.admission(breaker.until + PROBE_GRACE_MS / 1000 - 0.01) is Admission.NO


def test_usual_slowness_is_no_silence() -> None:
    pulse = Pulse()
    assert pulse.slow_s() == 1.0
    for _ in range(50):
        pulse.took(0.8)
    assert 2.3 < pulse.slow_s() < 2.5
    for _ in range(50):
        pulse.took(4.0)
    assert pulse.slow_s() == 3.0


def test_a_score_moves_in_bounded_steps_and_drifts_back() -> None:
    score, pulse, now = Score(), Pulse(), 1000.0
    for _ in range(100):
        pulse.beat(now, good=False)
        score.worsen(now, pulse, "timeout")
    assert score.points == SCORE_MAX - SCORE_STEP
    for second in range(1, 30):
        score.worsen(now + second, pulse, "timeout")
    assert score.points == 0
    steps = []
    for tenth in range(3000):
        move = score.drift(now + 30 + tenth / 10)
        steps += [int(move.to) - int(move.was)] if move else []
    assert steps == [SCORE_STEP] * (SCORE_MAX // SCORE_STEP)
    assert 10 * SCORE_DRIFT_MS / 1000 <= 300


def test_one_failure_among_many_is_no_sign() -> None:
    score, pulse = Score(), Pulse()
    for _ in range(50):
        pulse.beat(1000.0, good=True)
    pulse.beat(1000.0, good=False)
    assert score.worsen(1000.0, pulse, "timeout") is None
