"""Who asks is looked at before the body is read, and no body takes more time or room than it
may.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.domain.errors import Overloaded
from gateway.edge_limits import (
    BODIES_BYTES_MAX,
    BODY_CHUNKS_MAX,
    BODY_WITHOUT_LENGTH_BYTES_MAX,
)
from gateway.http import raw_body
from gateway.http.raw_body import BodyBudget
from gateway.limits import (
    CALLBACK_BODY_BYTES_MAX,
    REQUEST_BODY_BYTES_MAX,
    REQUEST_BODY_TIMEOUT_MS,
)
from tests.fakes.flow import World
from tests.unit.http.conftest import Till

BODY = b'{"order_no":"A1","amount":1,"currency":"CNY","auth_code":"280000000000000000"}'
HEAD = b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
CALLBACK = b"POST /callbacks/%s HTTP/1.1\r\nHost: x\r\n"
ANNOUNCED = b"Content-Length: 60000\r\n\r\n"
SIG = "A" * 43


def claim(key: str = "tk_1", ts: int = 1_795_219_200, sig: str = SIG) -> bytes:
    """A header of the right form; its signature is none."""
    return (f'Authorization: TILLGATE-HMAC-SHA256 key="{key}",ts={ts},sig="{sig}="\r\n').encode()


HEADS = [
    (HEAD, 401, b"signature_invalid"),
    (HEAD + b"Authorization: Bearer x\r\n", 401, b"signature_invalid"),
    (HEAD + claim() + claim(), 401, b"signature_invalid"),
    (HEAD + claim(sig=SIG[1:]), 401, b"signature_invalid"),
    (HEAD + claim(key="tk_none"), 401, b"key_unknown"),
    (HEAD + claim(ts=1_795_219_200 - 301), 401, b"signature_expired"),
    (HEAD + claim(ts=1_795_219_200 + 301), 401, b"signature_expired"),
    (HEAD + b"Idempotency-Key: l\r\n" + claim(), 400, b"malformed"),
    (HEAD + b"Content-Encoding: gzip\r\n" + claim(), 400, b"malformed"),
    (CALLBACK % b"acct_none", 404, b"not_found"),
    (CALLBACK % b"acct_1", 413, b"too_large"),
]


@pytest.mark.parametrize(("head", "status", "code"), HEADS)
async def test_the_head_is_judged_while_the_body_is_still_announced(
    till: Till, head: bytes, status: int, code: bytes
) -> None:
    answer = await till.raw(head + ANNOUNCED)
    assert answer.split()[1] == str(status).encode()
    assert b'"%s"' % code in answer


async def test_nobody_is_asked_for_a_body_before_it_is_wanted(till: Till, world: World) -> None:
    waits = b"Expect: 100-continue\r\n"
    refused = await till.raw(HEAD + waits + claim(key="tk_none") + ANNOUNCED)
    wanted = await till.raw(HEAD + waits + claim() + ANNOUNCED)
    assert refused.startswith(b"HTTP/1.1 401 ")
    assert wanted == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "whole"),
    [(HEAD + claim(), b"Content-Length: 60000\r\n\r\n{"), (CALLBACK % b"acct_1", b"")],
)
async def test_a_body_has_its_time_and_no_more(
    till: Till, world: World, head: bytes, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REQUEST_BODY_TIMEOUT_MS == 10_000
    monkeypatch.setattr(raw_body, "REQUEST_BODY_TIMEOUT_MS", 200)
    began = asyncio.get_running_loop().time()
    answer = await till.raw(head + (whole or b"Content-Length: 100\r\n\r\n{"))
    assert asyncio.get_running_loop().time() - began > 0.19
    assert answer.split()[1] == b"400"
    assert b"did not arrive whole" in answer
    assert world.flow.asked == []


async def test_a_body_that_is_too_long_is_refused_unread(till: Till) -> None:
    """By what it announces: the application's own bound would have to read it first."""
    for head, most in (
        (HEAD + claim(), REQUEST_BODY_BYTES_MAX),
        (CALLBACK % b"acct_1", CALLBACK_BODY_BYTES_MAX),
    ):
        over = await till.raw(head + b"Content-Length: %d\r\n\r\n" % (most + 1))
        assert over.split()[1] == b"413"


CHUNKED = [
    ([b"x" * 100] * BODY_CHUNKS_MAX, 200),
    ([b"x"] * (BODY_CHUNKS_MAX + 1), 400),
    ([b"x" * BODY_WITHOUT_LENGTH_BYTES_MAX], 200),
    ([b"x" * (BODY_WITHOUT_LENGTH_BYTES_MAX // 2)] * 3, 413),
]


@pytest.mark.parametrize(("pieces", "status"), CHUNKED, ids=range(len(CHUNKED)))
async def test_a_body_in_chunks_is_short_and_in_few(
    till: Till, pieces: list[bytes], status: int
) -> None:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with till.session.post(
        f"http://127.0.0.1:{till.port}/callbacks/acct_1", data=sent()
    ) as answer:
        assert answer.status == status


async def test_sixty_thousand_chunks_are_not_read_to_their_end(till: Till) -> None:
    loop = asyncio.get_running_loop()
    chunks = b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n"
    began = loop.time()
    answer = await till.raw(
        CALLBACK % b"acct_1" + b"Transfer-Encoding: chunked\r\n\r\n" + chunks[:100_000]
    )
    assert answer.split()[1] == b"400"
    assert loop.time() - began < 5


async def test_the_worker_has_one_budget_for_bodies_under_way(till: Till, world: World) -> None:
    with world.deps.bodies.held(BODIES_BYTES_MAX - 59_999):
        full = await till.raw(HEAD + claim() + ANNOUNCED)
        small = await till.send("POST", "/v1/payments", BODY, key="k")
    assert full.split()[1] == b"503"
    assert b'"overloaded"' in full
    assert b"Retry-After: 1\r\n" in full
    assert small.status == 201, "a body that came with its head needs none of it"
    assert world.deps.bodies._bytes_held == 0


def test_the_budget_is_given_back() -> None:
    budget = BodyBudget()
    with pytest.raises(RuntimeError), budget.held(BODIES_BYTES_MAX):
        raise RuntimeError
    with budget.held(BODIES_BYTES_MAX), pytest.raises(Overloaded), budget.held(1):
        pass
