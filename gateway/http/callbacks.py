"""Callbacks: what a channel posts goes to the desk as it came,
and what the desk says goes back to the byte.

Unsigned for us: the channel's own signature is over the raw body and headers, and the desk verifies
it.
"""

from aiohttp import web

from gateway.http.edge import raw_body
from gateway.http.exchange import Answer, EdgeDeps


async def take_callback(request: web.Request, deps: EdgeDeps) -> Answer:
    """`POST /callbacks/{channel_account}`.

    Headers are handed on as a case-insensitive mapping. 404 for an account that is not ours.
    """
    body = await raw_body(request)
    answer = await deps.callbacks.take(request.match_info["channel_account"], request.headers, body)
    return Answer(answer.status, answer.body, answer.content_type)
