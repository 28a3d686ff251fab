"""Who sent this: the key that the Authorization header names, proven over the raw bytes before
anything of them is parsed.
"""

from typing import NamedTuple

from aiohttp import web

from gateway.domain.errors import DirectoryStale, Disabled, KeyRevoked, KeyUnknown, NotPermitted
from gateway.domain.holder import Holder
from gateway.flow.commands import Caller
from gateway.flow.ports import ApiKey
from gateway.http.exchange import EdgeDeps
from security.roles import Permission, Role, may
from security.till_signature import (
    Authorization,
    only_header,
    parse_authorization,
    refuse_expired,
    verify,
)


class HeadClaim(NamedTuple):
    """What the head of a request says; nothing of it is proven."""

    authorization: Authorization
    key: ApiKey
    disabled: Holder | None = None  # what the key belongs to, where that was disabled


def claimed(request: web.Request, deps: EdgeDeps) -> HeadClaim:
    """Whom the request claims to come from; looked at before its body is read.

    Raises `SignatureInvalid` for a header of the wrong form, `SignatureExpired` (with our time),
    `KeyUnknown` or `DirectoryStale`.
    """
    authorization = parse_authorization(only_header(request.headers.getall("Authorization", [])))
    key = deps.directory.key(authorization.key_id)
    if key is None:
        # A copy that is old or empty cannot say that a key does not exist.
        raise KeyUnknown if deps.directory.fresh() else DirectoryStale
    refuse_expired(authorization, deps.clock.now().timestamp())
    disabled = deps.directory.disabled(key.merchant_id, key.store_id, key.terminal_id)
    return HeadClaim(authorization, key, disabled)


def proven(
    request: web.Request,
    claim: HeadClaim,
    body: bytes,
    idempotency_key: str | None,
    now_s: float,
) -> Caller:
    """The caller, at the moment `now_s`. Raises as `verify`, or `KeyRevoked`, `Disabled`,
    or `NotPermitted` (a test key where none is taken): only who holds the key's secret learns that.
    """
    key = claim.key
    verify(
        key.secret,
        claim.authorization,
        method=request.method,
        path_qs=target_as_sent(request),
        idempotency_key=idempotency_key,
        body=body,
        now_s=now_s,
    )
    if key.revoked:
        raise KeyRevoked
    if claim.disabled is not None:
        raise Disabled.of(claim.disabled)
    if key.misplaced:
        raise NotPermitted("A test key works only in an installation that takes test keys")
    return Caller(
        key_id=key.id,
        merchant_id=key.merchant_id,
        store_id=key.store_id,
        terminal_id=key.terminal_id,
        role=key.role,
    )


def target_as_sent(request: web.Request) -> str:
    """`PATH[?QUERY]` exactly as it stood in the request line; a proxy's absolute form loses its
    scheme and host (RFC 9112, 3.2.2).
    """
    target = request.raw_path
    if target.startswith("/"):
        return target
    _, separator, rest = target.partition("://")
    return f"/{rest.partition('/')[2]}" if separator else target


def permit(caller: Caller, permission: Permission) -> None:
    """Raise `NotPermitted` unless the key's role allows it at all;
    whose rows it may touch is the flow's question.
    """
    role = _ROLES.get(caller.role)
    if role is None or not may(role, permission):
        raise NotPermitted(f"A {caller.role} key may not do that")


_ROLES = {role.value: role for role in Role}
