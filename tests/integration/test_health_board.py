"""The board in Redis: what workers tell one another, and a Redis that is gone,
lies or talks nonsense.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import redis.asyncio

from adapters.discovery import discover
from gateway.clock import SystemIds
from gateway.domain import outcomes as o
from gateway.domain.identifiers import Numbers
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.choose.breaker import State
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.choose.routing import Choice
from gateway.flow.choose.standing import Posted
from gateway.flow.ports import Ports
from gateway.limits import (
    BOARD_AGE_MS_MAX,
    BOARD_ENTRIES_MAX,
    BOARD_REASON_CHARS_MAX,
    REDIS_FAILURES_MAX,
    REDIS_REST_MS,
)
from gateway.storage.redis.health_board import BOARD, NoBoard, RedisBoard, read
from gateway.workers.prober import Prober
from loadtests.evil_redis import evil_redis
from tests.fakes.accounts import remote_account
from tests.fakes.clock import HandClock
from tests.fakes.store import MemoryStore
from tests.patience import PATIENCE_S
from tests.redis_door import Door
from tests.shelf import Shelf

PATIENCE_MS = int(PATIENCE_S * 1000)  # on a busy machine 50 ms is not "gone"
NOWHERE = "redis://127.0.0.1:1/0"
NEWS = [Posted(account="a", operation="pay", state=State.OPEN, reason="five in a row", age_s=0.1)]
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


class Line:
    """A channel that answers queries, or hangs; it counts them."""

    hosts = 1

    def __init__(self) -> None:
        self.is_dark = False
        self.queries: list[str] = []

    async def query(self, trade: Any) -> Any:
        self.queries.append(trade.out_trade_no)
        return o.Unknown(reason="timeout") if self.is_dark else o.NotFound()


class Bench:
    """One worker: its health, its board, its prober; the channel is shared."""

    def __init__(self, name: str, board: Any, line: Line, clock: HandClock) -> None:
        self.account = remote_account("a", channel=line)
        self.choice = Choice(account=self.account, why="")
        self.health, self.board = ChannelHealth(clock, worker_id=name), board
        shelf = Shelf("m1", ("s1",), [self.account], discover())
        calls = ChannelCalls(clock, self.health)
        ports = Ports(
            store=MemoryStore(),
            directory=shelf,
            clock=clock,
            ids=SystemIds(),
            numbers=Numbers("TT"),
        )
        self.prober = Prober(health=self.health, board=board, calls=calls, ports=ports)

    async def sees(self, outcome: object, times: int = 1) -> None:
        for _ in range(times):
            with self.health.watching(self.account, "pay") as watch:
                watch.saw(outcome)

    def state(self) -> str:
        return str(self.health._standing(self.account, "pay").breaker.state)

    def hasten(self) -> None:
        """Every breaker wants its probe now."""
        for standing in self.health._records.of(self.account).standings.values():
            standing.breaker.until = 0.0

    async def round(self) -> None:
        """One look, and the probes it began."""
        self.prober._exchange_at = 0.0
        await self.prober.look()
        await asyncio.gather(*self.prober._probing.values())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def boards(redis_url: str, clock: HandClock):
    made = [RedisBoard(redis_url, clock, name, timeout_ms=PATIENCE_MS) for name in ("w1", "w2")]
    yield made
    for each in made:
        await each.close()


async def test_a_word_reaches_the_other_worker_and_not_oneself(
    boards: list[RedisBoard], clock: HandClock
) -> None:
    first, second = boards
    assert await first.exchange(NEWS) == []
    clock.seconds += 1
    heard = await second.exchange([])
    assert heard is not None
    assert [(each.account, each.operation, each.state, each.reason) for each in heard] == [
        ("a", "pay", "open", "five in a row")
    ]
    assert heard[0].age_s == pytest.approx(1.1)
    assert [each.account for each in await first.words() or []] == ["a"]


async def test_one_worker_probes_while_the_others_wait(boards: list[RedisBoard]) -> None:
    first, second = boards
    assert [
        await first.may_probe("a"),
        await second.may_probe("a"),
        await second.may_probe("b"),
    ] == [True, False, True]


async def test_two_workers_share_an_alarm_and_its_end(
    boards: list[RedisBoard], clock: HandClock
) -> None:
    line = Line()
    w1, w2 = Bench("w1", boards[0], line, clock), Bench("w2", boards[1], line, clock)
    line.is_dark = True
    await w1.sees(o.Unknown(reason="timeout"), 5)
    await w1.round()
    await w2.round()
    # w2 looked for itself.
    assert (w1.state(), w2.state(), len(line.queries)) == ("open", "open", 1)
    assert w2.health.able([w2.choice], "pay") == []
    clock.seconds += 0.1
    line.is_dark = False
    w1.health.probed(w1.account, is_alive=True)
    await w1.sees(o.Succeeded(amount=1, channel_trade_no="t"))
    await w1.round()
    await w2.round()
    assert (w1.state(), w2.state()) == ("closed", "half_open")  # one payment of its own closes it


async def test_only_one_of_two_workers_probes(boards: list[RedisBoard], clock: HandClock) -> None:
    line = Line()
    benches = [Bench(f"w{n}", board, line, clock) for n, board in enumerate(boards, 1)]
    for each in benches:
        await each.sees(o.Unknown(reason="timeout"), 5)
        each.hasten()
    await asyncio.gather(*(each.round() for each in benches))
    assert (sorted(each.state() for each in benches), len(line.queries)) == (
        ["half_open", "open"],
        1,
    )


async def test_the_probe_names_a_number_that_no_order_has(clock: HandClock) -> None:
    line = Line()
    bench = Bench("w1", NoBoard(), line, clock)
    for _ in range(2):
        await bench.sees(o.Unknown(reason="timeout"), 5)
        bench.hasten()
        await bench.round()
        await bench.sees(o.Unknown(reason="timeout"))
    assert bench.state() == "open"
    assert len(set(line.queries)) == 1
    assert line.queries[0].startswith("TT")


async def test_without_redis_every_worker_goes_by_what_it_sees(clock: HandClock) -> None:
    line, gone = Line(), RedisBoard(NOWHERE, clock, "w1")
    bench = Bench("w1", gone, line, clock)
    assert await gone.exchange(NEWS) is None
    await bench.sees(o.Unknown(reason="timeout"), 5)
    bench.hasten()
    for _ in range(4):
        await bench.round()
    assert (bench.state(), len(line.queries)) == ("half_open", 1)
    assert await gone.may_probe("a") is None
    assert await gone.words() is None
    await gone.close()


async def test_a_redis_that_grants_everything_leaves_everybody_to_himself() -> None:
    async with evil_redis() as (url, _):
        board = RedisBoard(url, HandClock(), "w1", timeout_ms=PATIENCE_MS)
        assert not await board.exchange(NEWS)
        assert await board.may_probe("a") is True
        await board.close()


async def test_a_redis_that_hangs_costs_its_bound_and_is_then_left_alone(
    redis_session_url: str, clock: HandClock
) -> None:
    door = Door(redis_session_url)
    board = RedisBoard(await door.open(), clock, "w1")
    door.silent = True
    try:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(REDIS_FAILURES_MAX):
                assert await board.exchange(NEWS) is None
            heard = door.heard
            for _ in range(20):
                assert await board.exchange(NEWS) is None
            assert door.heard == heard >= 1  # not one byte while it rests
            door.silent = False
            while await board.exchange(NEWS) is None:
                clock.seconds += REDIS_REST_MS / 1000
    finally:
        await board.close()
        await door.close()


async def test_a_board_that_is_no_hash_is_no_board_and_redis_goes_on(
    redis_url: str, boards: list[RedisBoard]
) -> None:
    vandal = redis.asyncio.from_url(redis_url)
    await vandal.set(BOARD, "no hash")
    for _ in range(REDIS_FAILURES_MAX + 1):
        assert await boards[0].exchange(NEWS) is None
        assert await boards[0].words() is None
    assert await boards[0].may_probe("a") is True  # it answers: it is not left alone
    await vandal.delete(BOARD)
    assert await boards[0].exchange(NEWS) == []
    await vandal.aclose()


async def test_whoever_claims_that_all_is_open_only_makes_us_look(
    redis_url: str, boards: list[RedisBoard], clock: HandClock
) -> None:
    liar, line = redis.asyncio.from_url(redis_url), Line()
    bench = Bench("w1", boards[0], line, clock)
    for _ in range(5):
        lie = msgspec.json.encode(
            {
                "worker": "wrk_evil",
                "state": "open",
                "at": clock.now(),
                "reason": "all is lost",
            }
        )
        await liar.hset(BOARD, mapping={"a/pay": lie, "a/precreate": lie, "nobody/pay": lie})
        await bench.round()
        place = bench.health.admit([bench.choice], "pay")
        assert place is not None
        await bench.sees(o.Succeeded(amount=1, channel_trade_no="t"))
        place.leave()
    assert (bench.state(), len(line.queries)) == ("closed", 1)
    await liar.aclose()


def _word(**fields: Any) -> bytes:
    return msgspec.json.encode({"worker": "w2", "state": "open", "at": NOW, "reason": "x"} | fields)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("a/pay", _word(), True),
        (b"a/precreate", _word(state="resting"), True),
        ("a/pay", _word(at=NOW - timedelta(milliseconds=BOARD_AGE_MS_MAX + 1)), False),
        ("a/pay", _word(at=NOW + timedelta(seconds=2)), False),
        ("a/pay", _word(at="yesterday"), False),
        ("a/pay", _word(at=NOW.replace(tzinfo=None)), False),
        ("a/pay", _word(state="burnt"), False),
        ("a/pay", _word(reason="x" * (BOARD_REASON_CHARS_MAX + 1)), False),
        ("a/refund", _word(), False),
        ("a", _word(), False),
        ("a" * 65 + "/pay", _word(), False),
        (b"\xff/pay", b"\xff\xfe", False),
        ("a/pay", b"{" * 5000, False),
        ("a/pay", 7, False),
        ("a/pay", None, False),
    ],
)
def test_what_is_read_is_checked(name: Any, value: Any, kept: bool) -> None:
    (said,) = read({name: value}, NOW).values()
    assert isinstance(said, Posted) is kept


def test_a_board_without_end_is_not_walked() -> None:
    assert len(read({f"a{n}/pay": _word() for n in range(5000)}, NOW)) == BOARD_ENTRIES_MAX
