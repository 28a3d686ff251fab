"""Who sent this: the key of the Authorization header, proven over the raw bytes before anything of
them is parsed.
"""

from aiohttp import web

from gateway.domain.errors import DirectoryStale, KeyRevoked, KeyUnknown, NotPermitted
from gateway.flow.commands import Caller
from gateway.http.exchange import EdgeDeps
from security.roles import Permission, Role, may
from security.till_signature import only_header, parse_authorization, verify


def authenticated(
    request: web.Request, body: bytes, idempotency_key: str | None, deps: EdgeDeps
) -> Caller:
    """The caller.

    Raises `SignatureInvalid`, `SignatureExpired` (with our time), `KeyUnknown`, `DirectoryStale`,
    `KeyRevoked` or `NotPermitted` (a test key where none is taken).

    Only somebody who holds a key's secret learns that it was revoked or that the clock is wrong.
    """
    authorization = parse_authorization(only_header(request.headers.getall("Authorization", [])))
    key = deps.directory.key(authorization.key_id)
    if key is None:
        # A copy that is old or empty cannot say that a key does not exist.
        raise KeyUnknown if deps.directory.fresh() else DirectoryStale
    verify(
        key.secret,
        authorization,
        method=request.method,
        path_qs=target_as_sent(request),
        idempotency_key=idempotency_key,
        body=body,
        now_s=deps.clock.now().timestamp(),
    )
    if key.revoked:
        raise KeyRevoked
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
