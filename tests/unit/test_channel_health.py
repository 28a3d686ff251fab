"""What payments hear of a channel's health, on a clock of our own: who is admitted, where, and what
the calls made of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import outcomes as o
from gateway.flow.accounts import RemoteAccount
from gateway.flow.choose.breaker import State
from gateway.flow.choose.health import ChannelHealth, Place
from gateway.flow.choose.routing import Choice
from gateway.flow.choose.standing import HealthChange, Posted
from gateway.limits import BULKHEAD_PAYMENTS_MAX, SCORE_MAX
from tests.fakes.accounts import remote_account
from tests.simulation.clock import SimClock
from tests.simulation.virtual_loop import on_virtual_time

SUCCESS = o.Succeeded(amount=1, channel_trade_no="t")
DARK, REFUSED_CONNECTION = o.Unknown(reason="timeout"), o.NotSent(reason="connect_refused")
LIMIT = o.Declined(
    code=o.FailureCode.MERCHANT_LIMIT_EXCEEDED,
    retry=o.Retry.OTHER_METHOD,
    failover_useful=True,
    channel_code="LIMIT",
)
POOR = o.Declined(
    code=o.FailureCode.INSUFFICIENT_BALANCE, retry=o.Retry.OTHER_METHOD, failover_useful=False
)


A, B, C = (
    Choice(account=remote_account(name), why=f"number {n} by priority of: a b c")
    for n, name in enumerate("abc", 1)
)


class Day:
    """One worker's health, its changes, and calls that take as long as they are told to."""

    def __init__(self, loop: Any) -> None:
        self.clock = SimClock(loop)
        self.changes: list[HealthChange] = []
        self.health = ChannelHealth(self.clock, self.changes.append, "w1")

    async def call(
        self,
        choice: Choice[RemoteAccount],
        outcome: object,
        *,
        took_s: float = 0.1,
        operation: str = "pay",
    ) -> None:
        with self.health.watching(choice.account, operation) as watch:
            await asyncio.sleep(took_s)
            watch.saw(outcome)

    async def calls(
        self, choice: Choice[RemoteAccount], outcome: object, times: int, **terms: Any
    ) -> None:
        for _ in range(times):
            await self.call(choice, outcome, **terms)

    def admitted(self, *choices: Choice[RemoteAccount], operation: str = "pay") -> str | None:
        """Where a payment would go now; it is over at once."""
        place = self.health.admit(choices, operation)
        if place is None:
            return None
        place.leave()
        return place.choice.account.id

    def state(self, choice: Choice[RemoteAccount], operation: str = "pay") -> str:
        return self.health._standing(choice.account, operation).breaker.state


def on_a_day(story: Callable[[Day], Awaitable[None]]) -> None:
    on_virtual_time(lambda loop: story(Day(loop)))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("outcome", "times", "state", "goes_to"),
    [
        (SUCCESS, 20, "closed", "a"),
        (DARK, 5, "open", "b"),
        (REFUSED_CONNECTION, 5, "open", "b"),
        (o.Unknown(reason="http_502"), 5, "open", "b"),
        (o.Unknown(reason="bad_signature"), 5, "open", "b"),
        (o.Unknown(reason="unlisted_code"), 20, "closed", "a"),
        (o.NotSent(reason="deadline"), 20, "closed", "a"),
        (POOR, 20, "closed", "a"),
        (o.Pending(), 20, "closed", "a"),
        (o.PayerActionNeeded(), 20, "closed", "a"),
        (o.AlreadyExists(), 20, "closed", "a"),
        (LIMIT, 1, "resting", "b"),
    ],
)
def test_what_counts(outcome: object, times: int, state: str, goes_to: str) -> None:
    async def story(day: Day) -> None:
        await day.calls(A, outcome, times)
        assert day.state(A) == state
        assert day.admitted(A, B) == goes_to

    on_a_day(story)


def test_a_hanging_channel_is_noticed_within_little_more_than_a_second() -> None:
    async def story(day: Day) -> None:
        await day.calls(A, SUCCESS, 20)
        began, hanging, sent = day.clock.monotonic(), [], 0
        while day.admitted(A, B) == "a":
            hanging.append(asyncio.create_task(day.call(A, DARK, took_s=5)))
            sent += 1
            await asyncio.sleep(0.05)  # twenty payments a second
        assert 1.0 < day.clock.monotonic() - began <= 1.3
        assert sent <= 26
        await asyncio.gather(*hanging)
        assert [
            change.to
            for change in day.changes
            if (change.what, change.operation) == ("breaker", "pay")
        ] == ["open"]

    on_a_day(story)


def test_a_channel_that_was_only_slow_is_taken_back_at_once() -> None:
    async def story(day: Day) -> None:
        calls = [asyncio.create_task(day.call(A, SUCCESS, took_s=1.4)) for _ in range(6)]
        await asyncio.sleep(1.1)
        assert day.admitted(A, B) == "b"
        await asyncio.gather(*calls)
        assert day.admitted(A, B) == "a"
        await asyncio.gather(*[day.call(A, SUCCESS, took_s=1.4) for _ in range(6)])
        assert [change.to for change in day.changes if change.what == "breaker"] == [
            "open",
            "closed",
        ]

    on_a_day(story)


def test_all_accounts_dark_is_said_so_and_probed_every_second() -> None:
    async def story(day: Day) -> None:
        await day.calls(A, REFUSED_CONNECTION, 5)
        probes = 0
        for _ in range(200):
            assert day.admitted(A) is None
            for due in day.health.due():
                day.health.probed(due, is_alive=False)
                probes += 1
            await asyncio.sleep(0.1)
        assert 15 <= probes <= 21

    on_a_day(story)


def test_one_payment_tries_after_a_probe_and_its_answer_closes() -> None:
    async def story(day: Day) -> None:
        await day.calls(A, DARK, 5)
        await asyncio.sleep(3)
        day.health.probed(A.account, is_alive=True)
        trial = day.health.admit([A, B], "pay")
        assert trial is not None
        assert (trial.choice.account.id, day.admitted(A, B), day.admitted(A)) == ("a", "b", None)
        await day.call(A, SUCCESS)
        trial.leave()
        assert (day.state(A), day.admitted(A, B)) == ("closed", "a")

    on_a_day(story)


def test_a_place_that_is_given_back_unused_is_no_trial() -> None:
    async def story(day: Day) -> None:
        await day.calls(A, DARK, 5)
        await asyncio.sleep(3)
        day.health.probed(A.account, is_alive=True)
        assert [day.admitted(A), day.admitted(A)] == ["a", "a"]

    on_a_day(story)


def test_a_lonely_till_learns_from_the_queries_of_its_own_payment() -> None:
    async def story(day: Day) -> None:
        await day.call(A, DARK)
        await day.calls(A, DARK, 4, operation="query")
        assert day.admitted(A, B) == "b"
        assert day.admitted(A, B, operation="precreate") == "b"

    on_a_day(story)


def test_queries_that_are_answered_say_that_two_failures_were_chance() -> None:
    async def story(day: Day) -> None:
        await day.call(A, DARK)
        await day.call(A, o.NotFound(), operation="query")
        await day.call(A, DARK)
        assert day.admitted(A, B) == "a"

    on_a_day(story)


def test_cancels_and_refunds_never_keep_payments_away() -> None:
    async def story(day: Day) -> None:
        for _ in range(10):
            await day.call(A, DARK, operation="refund")
            await day.call(A, SUCCESS)
        assert day.admitted(A, B) == "a"

    on_a_day(story)


def test_a_full_share_leaves_the_others_alone() -> None:
    async def story(day: Day) -> None:
        places = [day.health.admit([A, B], "pay") for _ in range(BULKHEAD_PAYMENTS_MAX + 1)]
        assert [place.choice.account.id for place in places if place] == [
            "a"
        ] * BULKHEAD_PAYMENTS_MAX + ["b"]
        overflow = places[-1]
        assert isinstance(overflow, Place)
        assert f"full with {BULKHEAD_PAYMENTS_MAX}" in overflow.choice.why
        assert (day.admitted(A), day.admitted(C)) == (None, "c")
        assert isinstance(places[0], Place)
        places[0].leave()
        places[0].leave()
        assert [day.health.admit([A], "pay") is None for _ in range(2)] == [False, True]

    on_a_day(story)


def test_a_score_moves_an_account_back_by_a_place_and_the_why_says_so() -> None:
    async def story(day: Day) -> None:
        for _ in range(8):
            await day.call(A, DARK, took_s=0.6)
            await day.call(A, SUCCESS, took_s=0.6)
        place = day.health.admit([A, B], "pay")
        assert place is not None
        assert place.choice.account.id == "b"
        assert "a score" in place.choice.why
        assert place.choice.why.startswith("number 2 by priority of: a b c; health: ")
        scores = [int(change.to) for change in day.changes if change.what == "score"]
        assert scores == sorted(scores, reverse=True)
        for _ in range(1200):
            await asyncio.sleep(0.1)
            day.health.drift()
        assert (day.admitted(A, B), day.changes[-1].to) == ("a", str(SCORE_MAX))

    on_a_day(story)


def test_refused_accounts_are_the_last_choice_but_a_choice() -> None:
    async def story(day: Day) -> None:
        await day.call(A, LIMIT)
        assert (day.admitted(A, B), day.admitted(A)) == ("b", "a")
        assert day.admitted(A, B, operation="precreate") == "b"

    on_a_day(story)


def test_what_redis_claims_only_changes_the_order() -> None:
    async def story(day: Day) -> None:
        for choice in (A, B):
            lie = Posted(
                account=choice.account.id,
                operation="pay",
                state=State.OPEN,
                reason="so they say",
                age_s=0.2,
            )
            day.health.hear(choice.account, lie)
        assert day.admitted(A, B) == "a"
        assert {each.id for each in day.health.due()} == {"a", "b"}
        assert day.health.only_heard(A.account)
        day.health.probed(A.account, is_alive=True)
        place = day.health.admit([A, B], "pay")
        await day.call(A, SUCCESS)
        assert place is not None
        place.leave()
        day.health.hear(
            A.account,
            Posted(account="a", operation="pay", state=State.OPEN, reason="again", age_s=0.0),
        )
        assert (day.state(A), day.admitted(A, B)) == ("closed", "a")
        day.health.hear(
            A.account,
            Posted(account="a", operation="refund", state=State.OPEN, reason="what?", age_s=0.0),
        )
        # Only what we saw ourselves.
        assert [(each.account, each.state) for each in day.health.news()] == [("a", "closed")]

    on_a_day(story)


def test_workers_share_what_they_saw_themselves_and_once() -> None:
    async def story(day: Day) -> None:
        await day.calls(A, DARK, 5)
        news = day.health.news()
        assert [(each.account, each.operation, each.state) for each in news] == [
            ("a", "pay", "open"),
            ("a", "precreate", "open"),
        ]
        assert day.health.news() == []
        other = ChannelHealth(day.clock, worker_id="w2")
        for each in news:
            other.hear(A.account, each)
        assert [choice.account.id for choice in other.able([A, B], "pay")] == ["b", "a"]
        other.probed(A.account, is_alive=False)
        assert [choice.account.id for choice in other.able([A, B], "pay")] == ["b"]

    on_a_day(story)


def test_new_credentials_do_not_lose_what_is_known() -> None:
    async def story(day: Day) -> None:
        await day.calls(A, DARK, 5)
        assert day.admitted(Choice(account=replace(A.account, priority=7), why=""), B) == "b"

    on_a_day(story)


def test_why_stays_bounded() -> None:
    async def story(day: Day) -> None:
        many = [Choice(account=remote_account("x" * 60 + str(n)), why="y" * 200) for n in range(20)]
        for choice in many:
            await day.call(choice, LIMIT)
        place = day.health.admit(many, "pay")
        assert place is not None
        assert len(place.choice.why) <= 500

    on_a_day(story)
