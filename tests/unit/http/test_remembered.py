"""One look serves everybody who asks meanwhile, and for a moment after."""

import asyncio

import pytest

from gateway.http.remembered import Remembered


class Looks:
    def __init__(self) -> None:
        self.count = 0
        self.seen = asyncio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.count += 1
        await self.seen.wait()
        if self.fails:
            raise OSError
        return self.count


async def test_many_ask_and_one_looks() -> None:
    looks = Looks()
    remembered = Remembered(looks, 60_000)
    asked = [asyncio.create_task(remembered()) for _ in range(100)]
    await asyncio.sleep(0)
    asked[0].cancel()
    looks.seen.set()
    assert set(await asyncio.gather(*asked[1:])) == {1}
    assert await remembered() == 1
    assert looks.count == 1


async def test_an_old_look_is_looked_again() -> None:
    looks = Looks()
    looks.seen.set()
    remembered = Remembered(looks, 0)
    assert [await remembered() for _ in range(3)] == [1, 2, 3]


async def test_a_failed_look_is_not_remembered() -> None:
    looks = Looks()
    looks.seen.set()
    looks.fails = True
    remembered = Remembered(looks, 60_000)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - the very one
            await remembered()
    looks.fails = False
    assert await remembered() == 3
