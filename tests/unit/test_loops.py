"""What every loop beside the road does: it outlives a round that fails, and stops at once."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.loops import Rounds, pause

ROUNDS = """
-
away                        sweep_postponed
away away away              sweep_postponed
away - -                    sweep_postponed sweep_resumed
away busy - away            sweep_postponed sweep_resumed sweep_postponed
broken broken               sweep_broken
broken wrong broken         sweep_broken sweep_broken
broken - broken             sweep_broken sweep_resumed sweep_broken
away broken away -          sweep_postponed sweep_broken sweep_resumed
"""
RAISED = {
    "away": StoreUnavailable(),
    "busy": Overloaded(),
    "broken": ZeroDivisionError(),
    "wrong": KeyError(),
}


@pytest.mark.parametrize("line", ROUNDS.strip().splitlines())
def test_what_a_loop_says_of_its_rounds(line: str) -> None:
    happened, _, said = line.partition("  ")
    rounds = Rounds(structlog.get_logger(), "sweep")
    with capture_logs() as logs:
        for each in happened.split():
            with rounds:
                if each in RAISED:
                    raise RAISED[each]
    assert [entry["event"] for entry in logs] == said.split()


def test_the_end_of_the_process_is_no_broken_round() -> None:
    with pytest.raises(asyncio.CancelledError), Rounds(structlog.get_logger(), "sweep"):
        raise asyncio.CancelledError


async def test_rounds_go_on_until_they_are_told_to_stop() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()
        raise ZeroDivisionError

    async with asyncio.timeout(30):
        await Rounds(structlog.get_logger(), "sweep").repeat(work, 1, stop)
    assert rounds == 3


async def test_a_pause_ends_with_the_first_of_its_events() -> None:
    never, stop = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    async with asyncio.timeout(30):
        await pause(3_600_000, never, stop)
    assert stop.is_set()


async def test_a_pause_ends_when_its_time_is_up() -> None:
    never = asyncio.Event()
    async with asyncio.timeout(30):
        await pause(1, never)
    assert not never.is_set()
