"""Raw requests that two readers could understand differently, that no client of ours sends, or that
want more than they may: what each is answered, and whether the connection lives on.

The table knows no server: whatever speaks HTTP on our port is held to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.edge_limits import (
    BODY_CHUNKS_MAX,
    BODY_WITHOUT_LENGTH_BYTES_MAX,
    REQUEST_FIELD_BYTES_MAX,
    REQUEST_FIELDS_MAX,
    REQUEST_LINE_BYTES_MAX,
)
from gateway.limits import REQUEST_BODY_BYTES_MAX

Sign = Callable[..., bytes]
"""`sign(method, target, body=b"", key=None)`: the line of a rightful Authorization header."""


class Hostile(NamedTuple):
    """`answers`: the statuses that come back, no more and no less. `lives`: the connection stays,
    and the next request on it is answered as itself.
    """

    name: str
    raw: Callable[[Sign], bytes]
    answers: tuple[int, ...]
    lives: bool = False


HOST = b"Host: x\r\n"
PAY = b"POST /v1/payments HTTP/1.1\r\n" + HOST
READ = b"GET /healthz HTTP/1.1\r\n" + HOST
END = b"\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def plain(raw: bytes) -> Callable[[Sign], bytes]:
    return lambda _sign: raw


def signed(
    head: bytes, wire: bytes, *, body: bytes = b"{}", key: str = "hostile"
) -> Callable[[Sign], bytes]:
    """A payment signed over `body`, with `head` among its headers and `wire` in place of a body."""
    named = f"Idempotency-Key: {key}\r\n".encode()
    return lambda sign: PAY + named + sign("POST", "/v1/payments", body, key) + head + END + wire


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


FRAMING = [
    Hostile(
        "length and chunked",
        signed(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", chunks(b"{}") + SMUGGLED),
        (400,),
    ),
    Hostile(
        "chunked and length",
        signed(b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", chunks(b"{}") + SMUGGLED),
        (400,),
    ),
    Hostile(
        "two lengths",
        signed(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}" + SMUGGLED),
        (400,),
    ),
    Hostile(
        "two equal lengths",
        signed(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}" + SMUGGLED),
        (400,),
    ),
    Hostile("lengths in a list", signed(b"Content-Length: 2, 2\r\n", b"{}" + SMUGGLED), (400,)),
    Hostile("a signed length", signed(b"Content-Length: +2\r\n", b"{}" + SMUGGLED), (400,)),
    Hostile("a negative length", signed(b"Content-Length: -2\r\n", b"{}" + SMUGGLED), (400,)),
    Hostile("a hexadecimal length", signed(b"Content-Length: 0x2\r\n", b"{}" + SMUGGLED), (400,)),
    Hostile("an empty length", signed(b"Content-Length: \r\n", b"{}" + SMUGGLED), (400,)),
    Hostile("a length of letters", signed(b"Content-Length: two\r\n", b"{}" + SMUGGLED), (400,)),
    Hostile(
        "a length with a blank inside", signed(b"Content-Length: 2 2\r\n", b"{}" + SMUGGLED), (400,)
    ),
    Hostile("a length of 2^64", signed(b"Content-Length: 18446744073709551616\r\n", b"{}"), (400,)),
    Hostile("a length of 10 GiB", signed(b"Content-Length: 10737418240\r\n", b"{}"), (413,)),
    Hostile(
        "a blank before the colon", signed(b"Content-Length : 2\r\n", b"{}" + SMUGGLED), (400,)
    ),
    Hostile("a tab before the colon", signed(b"Content-Length\t: 2\r\n", b"{}" + SMUGGLED), (400,)),
    Hostile(
        "an encoding nobody knows",
        signed(b"Transfer-Encoding: xchunked\r\n", chunks(b"{}")),
        (400,),
    ),
    Hostile(
        "chunked is not last",
        signed(b"Transfer-Encoding: chunked, identity\r\n", chunks(b"{}")),
        (400,),
    ),
    Hostile(
        "gzip, then chunked", signed(b"Transfer-Encoding: gzip, chunked\r\n", chunks(b"{}")), (400,)
    ),
    Hostile(
        "chunked twice",
        signed(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks(b"{}")),
        (400,),
    ),
    Hostile(
        "chunked with a vertical tab",
        signed(b"Transfer-Encoding: \x0bchunked\r\n", chunks(b"{}")),
        (400,),
    ),
    Hostile(
        "chunked on a folded line",
        signed(b"Transfer-Encoding:\r\n chunked\r\n", chunks(b"{}")),
        (400,),
    ),
    Hostile(
        "chunked in capitals",
        signed(b"Transfer-Encoding: CHUNKED\r\n", chunks(b"{}")),
        (422,),
        lives=True,
    ),
    Hostile(
        "a chunk size with a sign",
        signed(b"Transfer-Encoding: chunked\r\n", b"+2\r\n{}\r\n0\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "a chunk size with 0x",
        signed(b"Transfer-Encoding: chunked\r\n", b"0x2\r\n{}\r\n0\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "a chunk size of 2^64",
        signed(b"Transfer-Encoding: chunked\r\n", b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "a chunk size of letters",
        signed(b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "a chunk longer than its size",
        signed(b"Transfer-Encoding: chunked\r\n", b"1\r\n{}\r\n0\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "a chunk ended by a bare line feed",
        signed(b"Transfer-Encoding: chunked\r\n", b"2\n{}\n0\n\n"),
        (400,),
    ),
    Hostile(
        "a chunk extension",
        signed(b"Transfer-Encoding: chunked\r\n", b"2;x=y\r\n{}\r\n0\r\n\r\n"),
        (422,),
        lives=True,
    ),
    Hostile(
        "a chunk extension with a line feed",
        signed(b"Transfer-Encoding: chunked\r\n", b"2;x\ny\r\n{}\r\n0\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "a trailer",
        signed(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "more chunks than there may be",
        signed(b"Transfer-Encoding: chunked\r\n", chunks(*[b" "] * (BODY_CHUNKS_MAX + 1))),
        (400,),
        lives=True,
    ),
    Hostile(
        "more bytes than without a length",
        signed(
            b"Transfer-Encoding: chunked\r\n", chunks(b" " * (BODY_WITHOUT_LENGTH_BYTES_MAX + 1))
        ),
        (413,),
        lives=True,
    ),
    Hostile(
        "HTTP/1.0 in chunks",
        lambda sign: (
            b"POST /v1/payments HTTP/1.0\r\n"
            + sign("POST", "/v1/payments", b"{}")
            + b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
            + chunks(b"{}")
        ),
        (400,),
    ),
    Hostile("a body of a read", plain(READ + b"Content-Length: 2\r\n\r\n{}"), (200,), lives=True),
    Hostile(
        "a body one byte too long",
        signed(b"Content-Length: %d\r\n" % (REQUEST_BODY_BYTES_MAX + 1), b""),
        (413,),
    ),
    Hostile(
        "two encodings, identity first",
        signed(
            b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}"
        ),
        (400,),
        lives=True,
    ),
    Hostile(
        "gzip",
        signed(b"Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}"),
        (400,),
        lives=True,
    ),
]

HEADS = [
    Hostile("a method in small letters", plain(b"get /healthz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("a method that is none", plain(b"G\x00T /healthz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("no method", plain(b" /healthz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("no version", plain(b"GET /healthz\r\n" + HOST + END), (400,)),
    Hostile("HTTP/0.9", plain(b"GET /healthz HTTP/0.9\r\n\r\n"), (400,)),
    Hostile("HTTP/1.2", plain(b"GET /healthz HTTP/1.2\r\n" + HOST + END), (400,)),
    Hostile("HTTP/2.0", plain(b"GET /healthz HTTP/2.0\r\n" + HOST + END), (400,)),
    Hostile("HTTP/2 by prior knowledge", plain(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (400,)),
    Hostile(
        "a TLS hello", plain(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64), (400,)
    ),
    Hostile("two blanks", plain(b"GET  /healthz HTTP/1.1\r\n" + HOST + END), (200,), lives=True),
    Hostile("a blank in the target", plain(b"GET /heal thz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("a tab in the target", plain(b"GET /heal\tthz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("a NUL in the target", plain(b"GET /heal\x00thz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile(
        "a byte beyond ASCII in the target",
        plain(b"GET /\xe5\x8d\x95 HTTP/1.1\r\n" + HOST + END),
        (400,),
    ),
    Hostile("no host", plain(b"GET /healthz HTTP/1.1\r\n\r\n"), (400,)),
    Hostile("two hosts", plain(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), (400,)),
    Hostile(
        "a folded header",
        plain(READ + b'Authorization: TILLGATE-HMAC-SHA256\r\n key="secret-of-mine"\r\n\r\n'),
        (400,),
    ),
    Hostile(
        "a fold as the first header",
        plain(b"GET /healthz HTTP/1.1\r\n X: y\r\n" + HOST + END),
        (400,),
    ),
    Hostile("a NUL in a header", plain(READ + b"X-Note: secret-of-mine\x00\r\n\r\n"), (400,)),
    Hostile("a carriage return in a header", plain(READ + b"X-Note: a\rb\r\n\r\n"), (400,)),
    Hostile(
        "a bare line feed between headers", plain(b"GET /healthz HTTP/1.1\nHost: x\n\n"), (400,)
    ),
    Hostile("a header without a colon", plain(READ + b"secret-of-mine\r\n\r\n"), (400,)),
    Hostile("a header without a name", plain(READ + b": secret-of-mine\r\n\r\n"), (400,)),
    Hostile("a header name with a blank", plain(READ + b"X Note: secret-of-mine\r\n\r\n"), (400,)),
    Hostile(
        "a header too long",
        plain(READ + b"X-Note: " + b"n" * REQUEST_FIELD_BYTES_MAX * 2 + b"\r\n\r\n"),
        (400,),
    ),
    Hostile(
        "too many headers",
        plain(READ + b"".join(b"X-%d: y\r\n" % n for n in range(REQUEST_FIELDS_MAX)) + END),
        (400,),
    ),
    Hostile(
        "a target too long",
        plain(b"GET /" + b"n" * REQUEST_LINE_BYTES_MAX + b" HTTP/1.1\r\n" + HOST + END),
        (400,),
    ),
    Hostile(
        "a head without end",
        plain(READ + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1_000) for n in range(40))),
        (),
    ),
    Hostile(
        "two authorizations",
        lambda sign: (
            b"GET /v1/payments HTTP/1.1\r\n" + HOST + sign("GET", "/v1/payments") * 2 + END
        ),
        (401,),
        lives=True,
    ),
    Hostile(
        "two idempotency keys",
        lambda sign: (
            PAY
            + sign("POST", "/v1/payments", b"", "a")
            + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 0\r\n\r\n"
        ),
        (400,),
        lives=True,
    ),
]

TARGETS = [
    Hostile("OPTIONS *", plain(b"OPTIONS * HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("GET *", plain(b"GET * HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("CONNECT", plain(b"CONNECT bank.example:443 HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile(
        "CONNECT with more behind it",
        plain(b"CONNECT bank.example:443 HTTP/1.1\r\n" + HOST + END + SMUGGLED),
        (400,),
    ),
    Hostile(
        "absolute form without a path",
        plain(b"GET http://bank.example HTTP/1.1\r\n" + HOST + END),
        (400,),
    ),
    Hostile(
        "absolute form with a broken host",
        plain(b"GET http://[bank/ HTTP/1.1\r\n" + HOST + END),
        (400,),
    ),
    Hostile(
        "absolute form with a broken port",
        plain(b"GET http://bank:port/ HTTP/1.1\r\n" + HOST + END),
        (400,),
    ),
    Hostile(
        "absolute form of another scheme",
        plain(b"GET ftp://bank.example/healthz HTTP/1.1\r\n" + HOST + END),
        (200,),
        lives=True,
    ),
    Hostile(
        "absolute form",
        plain(b"GET http://bank.example/healthz HTTP/1.1\r\n" + HOST + END),
        (200,),
        lives=True,
    ),
    Hostile("no slash", plain(b"GET healthz HTTP/1.1\r\n" + HOST + END), (400,)),
    Hostile("two slashes", plain(b"GET //healthz HTTP/1.1\r\n" + HOST + END), (404,), lives=True),
    Hostile("dots", plain(b"GET /v1/../healthz HTTP/1.1\r\n" + HOST + END), (404,), lives=True),
    Hostile(
        "encoded dots",
        plain(b"GET /v1/%2e%2e/healthz HTTP/1.1\r\n" + HOST + END),
        (404,),
        lives=True,
    ),
    Hostile("a fragment", plain(b"GET /healthz#x HTTP/1.1\r\n" + HOST + END), (200,), lives=True),
    Hostile(
        "an upgrade to websockets",
        plain(
            READ
            + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + SMUGGLED
        ),
        (200, 200),
        lives=True,
    ),
    Hostile(
        "an upgrade to HTTP/2",
        plain(
            READ
            + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            + b"HTTP2-Settings: AAMAAABk\r\n\r\n"
        ),
        (200,),
        lives=True,
    ),
    Hostile(
        "an expectation nobody knows", plain(READ + b"Expect: miracles\r\n\r\n"), (200,), lives=True
    ),
    Hostile("TRACE", plain(b"TRACE /healthz HTTP/1.1\r\n" + HOST + END), (405,), lives=True),
]

HOSTILE = [*FRAMING, *HEADS, *TARGETS]
