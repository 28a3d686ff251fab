"""A request's body as it came, within bounds: of this request, and of all requests of the worker.

A body that arrived with its head, as a till's does, costs nothing here. One that is still under way
holds a part of the worker's budget until it is whole, so that ten thousand announced bodies do not
become ten thousand buffers.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.http import HttpVersion11

from gateway.domain.errors import Malformed, Overloaded, TooLarge
from gateway.edge_limits import BODIES_BYTES_MAX, BODY_CHUNKS_MAX, BODY_WITHOUT_LENGTH_BYTES_MAX
from gateway.limits import REQUEST_BODY_BYTES_MAX, REQUEST_BODY_TIMEOUT_MS


class BodyBudget:
    """How many bytes of bodies may be under way in this worker at once."""

    __slots__ = ("_bytes_held",)

    def __init__(self) -> None:
        self._bytes_held = 0

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """`size` bytes of it. Raises `Overloaded` when they are not there."""
        if self._bytes_held + size > BODIES_BYTES_MAX:
            raise Overloaded
        self._bytes_held += size
        try:
            yield
        finally:
            self._bytes_held -= size


async def read_body(
    request: web.Request, budget: BodyBudget, bytes_max: int = REQUEST_BODY_BYTES_MAX
) -> bytes:
    """The bytes as they came.

    Raises `TooLarge`; `Malformed` for a body that is compressed, broken, slow or cut into many
    chunks; `Overloaded` when the worker's budget is used up.
    """
    if not request.body_exists:
        return b""
    _refuse_odd_framing(request)
    size = request.content_length
    if (size or 0) > bytes_max:
        raise TooLarge
    try:
        if size is not None and request.content.is_eof():
            return await request.content.readany()
        with budget.held(BODY_WITHOUT_LENGTH_BYTES_MAX if size is None else size):
            async with asyncio.timeout(REQUEST_BODY_TIMEOUT_MS / 1000):
                await _ask_for_it(request)
                return await (_chunks(request) if size is None else _whole(request))
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise Malformed("The body did not arrive whole") from None


class Misframed(Malformed):
    """Two readers of the same bytes could disagree where the body ends: nothing more is read."""


def _refuse_odd_framing(request: web.Request) -> None:
    encodings = request.headers.getall("Content-Encoding", ())
    if [each.lower() for each in encodings] not in ([], ["identity"]):
        raise Malformed("Send the body without Content-Encoding")
    transfers = request.headers.getall("Transfer-Encoding", ())
    if transfers and request.version < HttpVersion11:
        raise Misframed("HTTP/1.0 has no Transfer-Encoding")
    if [each.lower() for each in transfers] not in ([], ["chunked"]):
        raise Misframed("Send the body in no Transfer-Encoding but chunked")


async def _ask_for_it(request: web.Request) -> None:
    """Ask for the body of a client that waits to be asked; every other expectation is ignored, as
    RFC 9110 (10.1.1) allows.
    """
    if (
        request.version == HttpVersion11
        and request.headers.get("Expect", "").lower() == "100-continue"
    ):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


async def _whole(request: web.Request) -> bytes:
    """A body of announced length: the parser ends it there."""
    pieces = [await request.content.readany()]
    try:
        while pieces[-1]:
            pieces.append(await request.content.readany())
        return b"".join(pieces)
    finally:
        # When the line breaks, the error keeps this frame until the next garbage collection.
        pieces.clear()


async def _chunks(request: web.Request) -> bytes:
    """A body in chunks, few and small."""
    chunks, size = 0, 0
    pieces: list[bytes] = []
    while True:
        piece, ends_chunk = await request.content.readchunk()
        if not piece and not ends_chunk:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        chunks += ends_chunk
        if size > BODY_WITHOUT_LENGTH_BYTES_MAX:
            raise TooLarge("Send a body of this size with Content-Length")
        if chunks > BODY_CHUNKS_MAX:
            raise Malformed("Send the body in one piece, with Content-Length")
