"""The guarded way out: connections to addresses that somebody else chose.

What may be reached is `security.public_address`'s.

DNS belongs to the enemy: a name may have been public when it was checked and private when it is
used. So nothing is remembered and everything is asked where it happens, at each connection:

1. the resolver's answer: one address that is not public, and the whole answer is refused;
2. the socket: it is made for one address, checked right there. aiohttp does not ask the resolver
   about IP literals, but every socket of a connector comes from its factory, and connects to the
   very address the factory was shown;
3. the peer of the connection that came about, before a byte of the request is written.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from security.public_address import is_public

if TYPE_CHECKING:
    from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, SocketFactoryType
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class AddressRefused(OSError):
    """The name or the address does not lead to the public Internet.

    An OSError, because that is what connecting may fail with.
    """

    def __init__(self) -> None:
        super().__init__("not a public address")


class GuardedConnector(aiohttp.TCPConnector):
    """Connects to public addresses only; each request gets a connection of its own,
    so that each is checked.

    Certificates are verified against the system's trust store. The session must not follow
    redirects by itself and must not trust the environment: a proxy would connect where this cannot
    look.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool,
        connections_max: int,
        resolver: AbstractResolver | None = None,
        socket_factory: SocketFactoryType | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._make_socket = socket_factory or _plain_socket
        self._guarded_resolver = GuardedResolver(
            resolver or aiohttp.DefaultResolver(), allow_loopback=allow_loopback
        )
        super().__init__(
            limit=connections_max,
            force_close=True,
            use_dns_cache=False,
            resolver=self._guarded_resolver,
            socket_factory=self._guarded_socket,
        )

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """See `aiohttp.BaseConnector`.

        The peer is asked of the kernel, so this holds however the connection came about.
        """
        connection = await super().connect(req, traces, timeout)
        peer = (
            None
            if connection.transport is None
            else connection.transport.get_extra_info("peername")
        )
        if peer is None or not _is_allowed(peer[0], allow_loopback=self._allow_loopback):
            connection.close()
            raise aiohttp.ClientConnectorError(req.connection_key, AddressRefused())
        return connection

    async def close(self, *, abort_ssl: bool = False) -> None:
        """See `aiohttp.TCPConnector`, which closes only resolvers that it made."""
        await super().close(abort_ssl=abort_ssl)
        await self._guarded_resolver.close()

    def _guarded_socket(self, address: AddrInfoType) -> socket.socket:
        if not _is_allowed(str(address[4][0]), allow_loopback=self._allow_loopback):
            raise AddressRefused
        return self._make_socket(address)


class GuardedResolver(AbstractResolver):
    """Asks `inner`, and refuses an answer in which any address is not public: a mixed answer is an
    attack or a mistake.
    """

    def __init__(self, inner: AbstractResolver, *, allow_loopback: bool) -> None:
        self._inner = inner
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See `AbstractResolver`. Raises AddressRefused."""
        found = await self._inner.resolve(host, port, family)
        if not all(
            _is_allowed(each["host"], allow_loopback=self._allow_loopback) for each in found
        ):
            raise AddressRefused
        return found

    async def close(self) -> None:
        """See `AbstractResolver`."""
        await self._inner.close()


def _is_allowed(text: str, *, allow_loopback: bool) -> bool:
    try:
        return is_public(ip_address(text), allow_loopback=allow_loopback)
    except ValueError:
        return False


def _plain_socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _name, _address = address
    return socket.socket(family=family, type=kind, proto=protocol)
