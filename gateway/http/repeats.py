"""A signature acts once.

A signed request that changes something and carries no Idempotency-Key could be sent again by
anybody who saw it, for as long as its signature is valid. So its signature is taken before it acts;
a repeat acts no more, and hears what the first one heard, without its secrets.
"""

import structlog

from gateway.domain.errors import GatewayError, SignatureUsed, StoreUnavailable
from gateway.http.exchange import REPLAYED, Answer, Call, EdgeDeps, Route

log = structlog.get_logger("tillgate.http")


async def act_once(route: Route, call: Call, sig: str, deps: EdgeDeps) -> Answer:
    """The route's answer, or what it answered to the same signature before.

    Raises `SignatureUsed` when that is not known: the first request is still under way, or its
    worker died.
    """
    owner = call.caller.merchant_id, call.caller.key_id
    if not await deps.signatures.take(owner, sig):
        before = await deps.signatures.answer(owner, sig)
        if before is None:
            raise SignatureUsed
        status, body = before
        return Answer(status, body, headers=REPLAYED)
    try:
        answer = await route.handler(call, deps)
    except GatewayError as refusal:
        if refusal.http_status < 500:  # noqa: PLR2004 - it did nothing; after others it may have
            await deps.signatures.forget(owner, sig)
        raise
    again = answer.body if answer.again is None else answer.again
    try:
        await deps.signatures.keep(owner, sig, answer.status, again)
    except StoreUnavailable:  # it has acted: this answer is right, only a repeat will not hear it
        log.warning("answer_not_kept", route=route.path, key=call.caller.key_id)
    return answer
