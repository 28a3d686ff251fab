"""The signature of a request from a till or a merchant's server: HMAC-SHA256 over its raw bytes.

Source: api.md "Request signing". The header and its time are looked at before the body is read;
`verify` runs before anything is parsed, on every request: one HMAC and one SHA-256 over the body.
The signature is compared as base64 text, not as bytes, so its unused bits cannot be varied.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.domain.errors import SignatureExpired, SignatureInvalid
from gateway.limits import AUTHORIZATION_BYTES_MAX, KEY_ID_CHARS_MAX, SIGNATURE_WINDOW_S
from security.secret import Secret

SCHEME: Final = "TILLGATE-HMAC-SHA256"
"""The only algorithm there is, so none can be swapped for a weaker one."""

CANONICAL_LINES: Final = 5


class Authorization(NamedTuple):
    """The three parameters of the header: key id, unix seconds, base64 signature;
    well-formed, not yet verified.
    """

    key_id: str
    ts: int
    sig: str


def verify(
    secret: Secret,
    authorization: Authorization,
    *,
    method: str,
    path_qs: str,
    idempotency_key: str | None,
    body: bytes,
    now_s: float,
) -> None:
    """Return if the holder of `secret` signed exactly this request within the window of `now_s`
    (unix seconds, wall clock).

    `path_qs` and `body` are as received: undecoded path, query as sent, raw bytes. Raises
    SignatureInvalid, or SignatureExpired with the server's time.
    """
    try:
        expected = sign(
            secret,
            method=method,
            path_qs=path_qs,
            ts=authorization.ts,
            idempotency_key=idempotency_key,
            body=body,
        )
    except ValueError as error:
        raise SignatureInvalid(
            "method, path or Idempotency-Key holds a character that cannot be signed"
        ) from error
    if not hmac.compare_digest(expected, authorization.sig):
        raise SignatureInvalid(
            "sig does not match: sign METHOD, PATH[?QUERY] as sent, ts, "
            "Idempotency-Key (or nothing) and hex(sha256(raw body)), each line ended by \\n"
        )
    refuse_expired(authorization, now_s)


def refuse_expired(authorization: Authorization, now_s: float) -> None:
    """Raise SignatureExpired, with the server's time, unless the signed time lies within the window
    around `now_s` (unix seconds, wall clock).

    Needs no secret, so the edge asks it before it reads a body; the time of day is none either.
    """
    if abs(now_s - authorization.ts) > SIGNATURE_WINDOW_S:
        server_time = int(now_s)
        raise SignatureExpired(
            f"ts is more than {SIGNATURE_WINDOW_S} s away from server time {server_time}: "
            f"set the clock and sign again",
            server_time=server_time,
        )


def parse_authorization(header: str) -> Authorization:
    """The parameters of one Authorization header, in any order, each exactly once.

    Raises SignatureInvalid, naming what is wrong, never quoting the header.
    """
    if len(header) > AUTHORIZATION_BYTES_MAX:
        raise SignatureInvalid(f"Authorization has more than {AUTHORIZATION_BYTES_MAX} characters")
    if not header.isascii():
        raise SignatureInvalid("Authorization holds characters outside ASCII")
    scheme, _, parameters = header.partition(" ")
    if scheme != SCHEME:
        raise SignatureInvalid(f"Authorization must begin with {SCHEME} and one blank")
    values: dict[str, str] = {}
    for parameter in parameters.split(","):
        name, _, value = parameter.strip(" ").partition("=")
        if name in values:
            raise SignatureInvalid("Authorization names a parameter twice")
        values[name] = value
    return _checked(values)


def only_header(values: Sequence[str]) -> str:
    """The one Authorization header of a request;
    two could be read differently by a proxy and by us.

    Raises SignatureInvalid when there is none or more than one.
    """
    if len(values) != 1:
        raise SignatureInvalid(
            "send exactly one Authorization header"
            if values
            else "the Authorization header is missing"
        )
    return values[0]


def sign(
    secret: Secret, *, method: str, path_qs: str, ts: int, idempotency_key: str | None, body: bytes
) -> str:
    """The signature as base64.

    The HMAC key is the secret's UTF-8 text exactly as printed. Raises ValueError as `canonical`
    does.
    """
    message = canonical(method, path_qs, ts, idempotency_key, body)
    return base64.b64encode(hmac.digest(secret.reveal().encode(), message, "sha256")).decode(
        "ascii"
    )


def canonical(
    method: str, path_qs: str, ts: int, idempotency_key: str | None, body: bytes
) -> bytes:
    r"""The signed bytes: five lines, each ended by `\n`.

    Bytes that aiohttp could not decode came in as surrogate escapes and leave as the bytes they
    were. Raises ValueError when a part holds a line end, by which it could pose as two parts.
    """
    head = (
        f"{method}\n{path_qs}\n{ts}\n{idempotency_key or ''}\n{hashlib.sha256(body).hexdigest()}\n"
    )
    if head.count("\n") != CANONICAL_LINES:
        raise ValueError("a signed part holds a line end")
    return head.encode("utf-8", "surrogateescape")


def authorization_header(
    key_id: str,
    secret: Secret,
    *,
    method: str,
    path_qs: str,
    ts: int,
    idempotency_key: str | None,
    body: bytes,
) -> str:
    """The value of the Authorization header, for clients: sign, then send exactly these bytes."""
    sig = sign(
        secret, method=method, path_qs=path_qs, ts=ts, idempotency_key=idempotency_key, body=body
    )
    return f'{SCHEME} key="{key_id}",ts={ts},sig="{sig}"'


_KEY_ID = re.compile(rf'"([A-Za-z0-9_-]{{1,{KEY_ID_CHARS_MAX}}})"')
_TS = re.compile(r"[1-9][0-9]{0,9}")
_SIG = re.compile(r'"([A-Za-z0-9+/]{43}=)"')


def _checked(values: dict[str, str]) -> Authorization:
    if values.keys() != {"key", "ts", "sig"}:
        raise SignatureInvalid(
            "Authorization must hold key, ts and sig, separated by commas, and nothing else"
        )
    key_id, ts, sig = (
        _KEY_ID.fullmatch(values["key"]),
        _TS.fullmatch(values["ts"]),
        _SIG.fullmatch(values["sig"]),
    )
    if key_id is None:
        raise SignatureInvalid(
            f"key must be a quoted key id of 1 to {KEY_ID_CHARS_MAX} letters, digits, _ or -"
        )
    if ts is None:
        raise SignatureInvalid(
            "ts must be unix seconds: digits without quotes, sign or leading zero"
        )
    if sig is None:
        raise SignatureInvalid("sig must be the quoted standard base64, with padding, of 32 bytes")
    return Authorization(key_id[1], int(ts[0]), sig[1])
