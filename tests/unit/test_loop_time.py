"""A loop that stood still hears nothing: that silence is ours, and no channel's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.clock import SystemClock
from gateway.domain import outcomes as o
from gateway.flow.choose.health import ChannelHealth
from gateway.limits import BREAKER_FAILURES_MAX, CHANNEL_SLOW_MS, SCORE_MAX
from tests.simulation.virtual_loop import VirtualLoop, on_virtual_time
from tests.unit.test_channel_health import SUCCESS, A, B, Day

CALLS = 3 * BREAKER_FAILURES_MAX
LONG_S = 4 * CHANNEL_SLOW_MS / 1000
TIMED_OUT = o.Unknown(reason="timeout")


def blocked(loop: VirtualLoop, seconds: float) -> None:
    """A callback that does not return for so long: the loop's clock goes on without it."""
    loop.seconds += seconds


def told(story: Callable[[Day, VirtualLoop], Awaitable[None]]) -> None:
    on_virtual_time(lambda loop: story(Day(loop), loop))  # type: ignore[arg-type, return-value]


def test_a_blocked_loop_opens_no_breaker_of_a_healthy_channel() -> None:
    async def story(day: Day, loop: VirtualLoop) -> None:
        for _ in range(CALLS):
            loop.call_later(0.01, blocked, loop, LONG_S)
            await day.call(A, SUCCESS, took_s=0.1)
        assert (day.state(A), day.admitted(A, B), day.changes) == ("closed", "a", [])

    told(story)


def test_a_timeout_while_the_loop_stood_still_is_no_sign() -> None:
    async def story(day: Day, loop: VirtualLoop) -> None:
        for _ in range(CALLS):
            loop.call_later(0.01, blocked, loop, LONG_S)
            await day.call(A, TIMED_OUT, took_s=0.1)
        assert (day.state(A), day.changes) == ("closed", [])
        await day.calls(A, o.NotSent(reason="connect_refused"), CALLS)
        assert day.state(A) == "open", "what needs no waiting is heard at once"

    told(story)


def test_a_channel_is_silent_as_far_as_the_loop_could_have_noticed() -> None:
    """Blocked for a while, and the channel says nothing in all the time around it."""

    async def story(day: Day, loop: VirtualLoop) -> None:
        calls = [asyncio.create_task(day.call(A, TIMED_OUT, took_s=30)) for _ in range(CALLS)]
        loop.call_later(0.5, blocked, loop, LONG_S)
        await asyncio.sleep(LONG_S + 0.9)
        assert day.state(A) == "closed", "it was listened to for less than a second"
        await asyncio.sleep(0.2)
        assert day.state(A) == "open"
        for call in calls:
            call.cancel()

    told(story)


def test_a_loop_that_is_only_slow_hears_a_silent_channel() -> None:
    async def story(day: Day, _: VirtualLoop) -> None:
        await day.calls(A, SUCCESS, CALLS, took_s=0.5)
        assert day.health._records.of(A.account).standings["pay"].score.points == SCORE_MAX
        await asyncio.gather(*(day.call(A, TIMED_OUT, took_s=10) for _ in range(CALLS)))
        assert day.state(A) == "open"

    told(story)


async def test_nothing_ticks_while_no_call_is_watched() -> None:
    health = ChannelHealth(SystemClock())
    pay, query = (health.watching(A.account, operation) for operation in ("pay", "query"))
    with pay, pytest.raises(ZeroDivisionError), query:
        raise ZeroDivisionError
    assert health.loop_time._tick is None
