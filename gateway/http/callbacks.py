"""Callbacks: what a channel posts goes to the desk as it came,
and what the desk says goes back to the byte.

Unsigned for us: the channel's own signature is over the raw body and headers, and the desk verifies
it. A peer whose callbacks are refused again and again is not read any more for a while.
"""

from aiohttp import web

from gateway.domain.errors import NoSuchObject, RateLimited
from gateway.http.exchange import Answer, EdgeDeps
from gateway.http.raw_body import read_body
from gateway.limits import CALLBACK_BODY_BYTES_MAX


async def take_callback(request: web.Request, deps: EdgeDeps) -> Answer:
    """`POST /callbacks/{channel_account}`.

    Headers are handed on as a case-insensitive mapping. 404 for an account that is not ours.
    """
    account_id = request.match_info["channel_account"]
    if not deps.callbacks.expects(account_id):
        raise NoSuchObject
    if not deps.door.is_patient_with(request):
        raise RateLimited("Too many callbacks of this sender were refused")
    body = await read_body(request, deps.bodies, CALLBACK_BODY_BYTES_MAX)
    answer, is_genuine = await deps.callbacks.take(account_id, request.headers, body)
    if not is_genuine:
        deps.door.admit_stranger(request)
    return Answer(answer.status, answer.body, answer.content_type)
