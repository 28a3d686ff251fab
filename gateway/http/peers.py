"""Who is at the other end of a connection, as far as the network can tell.

Behind a proxy every connection comes from the proxy; its `X-Forwarded-For` then names the client.
The header is believed from configured proxies only: anybody can write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from aiohttp import web

Network = IPv4Network | IPv6Network
NOWHERE = "local"  # a unix socket, or a connection that is already gone


@dataclass(frozen=True, slots=True)
class Peers:
    """`proxies`: the networks whose X-Forwarded-For is believed."""

    proxies: tuple[Network, ...]

    def is_proxy(self, peer: str) -> bool:
        """Whether the connection is one of many clients'."""
        return _within(peer, self.proxies)

    def of(self, request: web.BaseRequest) -> str:
        """The client's address: the last one in the chain that is no proxy of ours.

        Each proxy adds, at the end, the address that it saw; what stands before the first unknown
        one was written by a stranger.
        """
        nearest = address_of(request.transport)
        if not self.is_proxy(nearest):
            return nearest
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for named in reversed(forwarded):
            address = network_of(named.strip())
            if address is None:
                return nearest
            nearest = address
            if not self.is_proxy(address):
                break
        return nearest


DIRECT = Peers(())  # no proxy stands between


def address_of(transport: Any) -> str:
    """The address at the other end of a transport, as `network_of` writes it."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peer, Sequence) or isinstance(peer, str | bytes) or not peer:
        return NOWHERE
    return network_of(str(peer[0])) or NOWHERE


@lru_cache(maxsize=4_096)
def network_of(text: str) -> str | None:
    """An IPv4 address as it is, an IPv6 address as its /64: one subscriber has all of those.

    None for what is no address.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(IPv6Network((address, 64), strict=False))
    return str(address)


@lru_cache(maxsize=4_096)
def _within(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(peer.partition("/")[0])
    except ValueError:
        return False
    return any(address in network for network in networks)
