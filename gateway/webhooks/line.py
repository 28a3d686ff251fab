"""One webhook over the network: posted once, to a public address, and what came back, bounded in
time and size.

Everything here is chosen by a merchant: the name and where it leads (see `security.egress`), how
long the answer takes and how long it is. Redirects are not followed, proxies of the environment are
not used, nothing is decompressed, certificates are verified.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from yarl import URL

from gateway.limits import (
    WEBHOOK_ANSWER_BYTES_MAX,
    WEBHOOK_CONNECT_TIMEOUT_MS,
    WEBHOOK_TIMEOUT_MS,
    WEBHOOK_WORDS_CHARS_MAX,
    WEBHOOK_WORDS_TIMEOUT_MS,
    WEBHOOKS_IN_FLIGHT_MAX,
)
from security.egress import AddressRefused, GuardedConnector
from security.public_address import UnsafeAddress, refuse_unsafe_url

USER_AGENT: Final = "Tillgate-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and headers (names without regard to case).

    `words`: the beginning of the body in printable characters.
    """

    status: int
    headers: Mapping[str, str]
    words: str


class NoReply(Exception):
    """No answer; `reason` is a bounded word for the delivery log, which the merchant reads: it
    never says where a name led to.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Line(Protocol):
    """What the courier sees of the network."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send once. Raises NoReply."""
        ...


class WebhookLine:
    """The real line. Use on a running loop; `aclose` when done."""

    def __init__(
        self,
        *,
        allow_loopback: bool,
        connector: GuardedConnector | None = None,
        timeout_ms: int = WEBHOOK_TIMEOUT_MS,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_ms / 1000, connect=min(timeout_ms, WEBHOOK_CONNECT_TIMEOUT_MS) / 1000
        )
        self._session = aiohttp.ClientSession(
            connector=connector
            or GuardedConnector(
                allow_loopback=allow_loopback, connections_max=WEBHOOKS_IN_FLIGHT_MAX
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": USER_AGENT,
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
            auto_decompress=False,
            trust_env=False,
            timeout=self._timeout,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """See `Line`."""
        try:
            # Again: the rules may be stricter than when it was stored.
            refuse_unsafe_url(url, allow_loopback=self._allow_loopback)
            async with self._session.post(
                URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await _words(response))
        except UnsafeAddress as refusal:
            raise NoReply(f"address refused: {refusal.reason}") from refusal
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            # TimeoutError and SSLError are OSErrors, CertificateError and InvalidURL are
            # ValueErrors.
            raise NoReply(_reason(failure)) from failure

    async def aclose(self) -> None:
        """Close the connections; safe to repeat."""
        await self._session.close()


async def _words(response: aiohttp.ClientResponse) -> str:
    """What fits of the body, for people;
    whatever goes wrong after the status changes nothing any more.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return "(an encoded body, not read)"
    try:
        async with asyncio.timeout(WEBHOOK_WORDS_TIMEOUT_MS / 1000):
            read = await _bounded(response.content)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return "(the body broke off)"
    text = read.decode("utf-8", "replace")[:WEBHOOK_WORDS_CHARS_MAX]
    return "".join(character if character.isprintable() else " " for character in text).strip()


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    read = bytearray()
    while len(read) < WEBHOOK_ANSWER_BYTES_MAX and (
        chunk := await content.read(WEBHOOK_ANSWER_BYTES_MAX - len(read))
    ):
        read += chunk
    return bytes(read)


def _reason(failure: Exception) -> str:
    match failure:
        case aiohttp.ClientConnectorError() if isinstance(failure.os_error, AddressRefused):
            return "address refused: the host does not lead to a public address"
        case aiohttp.ClientConnectorDNSError():
            return "no such host"
        case aiohttp.ClientSSLError() | ssl.SSLError() | aiohttp.ServerFingerprintMismatch():
            return "the certificate or the TLS handshake failed"
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case asyncio.TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorError():
            return "connection refused"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "connection broken"
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return "not an HTTP answer"
        case _:
            return type(failure).__name__
