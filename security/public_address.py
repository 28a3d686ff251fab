"""Where a webhook may go: https to public addresses.

Pure; `security.egress` asks again with the address in hand.

A merchant chooses the address, and the request leaves from inside our network: unguarded, a webhook
would read the cloud's metadata service or knock at a neighbour's database. What is written here is
an allow-list: an IPv6 address must be global unicast, an IPv4 address outside every block that
IANA's special-purpose registries (RFC 6890 and its updates) keep back.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from yarl import URL

from gateway.limits import WEBHOOK_URL_CHARS_MAX

HTTPS_PORT: Final = 443
"""The only port of a public address: others lead to databases, mail and administration, and a
merchant can put a proxy in front.
"""

REFUSED_IPV4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; the unspecified address reaches the machine itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba Cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service, in the midst of public space
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle Cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast
    )
)
LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
REFUSED_IPV6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")
"""What an IPv6-only network makes of every IPv4 address: the address within decides."""

HOST_CHARS_MAX: Final = 253  # RFC 1035

LOCAL_NAMES: Final = (
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
)
"""Names that only lead inwards.

Not the guard, which looks at addresses; an early word to whoever types one.
"""


class UnsafeAddress(ValueError):
    """A webhook may not go there; `reason` says why and what to write, for the person who
    configures the endpoint.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_unsafe_url(url: str, *, allow_loopback: bool) -> None:
    """Return if `url` may be kept as a webhook's address; no name is resolved here, so every send
    must be guarded as well.

    With `allow_loopback`, `localhost` and loopback addresses are allowed in addition, by http too
    and on any port. Raises UnsafeAddress.
    """
    if len(url) > WEBHOOK_URL_CHARS_MAX:
        raise UnsafeAddress(f"the address has more than {WEBHOOK_URL_CHARS_MAX} characters")
    if (found := _URL.fullmatch(url)) is None:
        raise UnsafeAddress(
            "write https://host/path: ASCII only (a Chinese host name as xn--…), no blanks, "
            "no user name, no fragment"
        )
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    _agree_with_the_sender(url, host)
    if allow_loopback and is_loopback(host):
        return
    if scheme != "https":
        raise UnsafeAddress("the address must begin with https://")
    if port not in {None, str(HTTPS_PORT)}:
        raise UnsafeAddress(f"port {port} is not allowed: use {HTTPS_PORT}")
    _refuse_host(host)


def is_public(address: IPv4Address | IPv6Address, *, allow_loopback: bool) -> bool:
    """Whether a webhook may be sent to this address."""
    if any(address in block for block in LOOPBACK):
        return allow_loopback
    if isinstance(address, IPv4Address):
        return not any(address in block for block in REFUSED_IPV4)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF), allow_loopback=False)
    return (
        address.scope_id is None
        and address in GLOBAL_UNICAST
        and not any(address in block for block in REFUSED_IPV6)
    )


# Userinfo, fragments, blanks, backslashes, percent signs in the host and everything outside ASCII
# fall through this net: each of them is read differently by different parsers, and so can show one
# host to a guard and another to a socket.
_URL = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?][A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*)?",
    re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def _agree_with_the_sender(url: str, host: str) -> None:
    """The client that sends must see the host that was judged."""
    try:
        seen = URL(url, encoded=True)
        same = (
            (seen.raw_host or "").lower() == host.strip("[]")
            and seen.raw_user is None
            and seen.port is not None
        )
    except ValueError:
        same = False
    if not same:
        raise UnsafeAddress("the address can be read in two ways: write https://host/path")


def is_loopback(host: str) -> bool:
    """Whether a host, as an address names it, is this machine."""
    address = _literal(host)
    return host == "localhost" if address is None else any(address in block for block in LOOPBACK)


def _refuse_host(host: str) -> None:
    """An address must be public; a name must at least look as if it led to one."""
    address = _literal(host)
    if address is not None:
        if not is_public(address, allow_loopback=False):
            raise UnsafeAddress(
                f"{address} is not a public address: use a host that the Internet can reach"
            )
        return
    labels = host.split(".")
    if host.startswith("[") or _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise UnsafeAddress(
            "an IP address is written as four decimal numbers, or as IPv6 in brackets"
        )
    if len(host) > HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise UnsafeAddress(
            "the host name is malformed: "
            "letters, digits and hyphens between full stops, none at its end"
        )
    if len(labels) == 1 or any(host == name or host.endswith(f".{name}") for name in LOCAL_NAMES):
        raise UnsafeAddress(
            f"{host} only means something inside a network: use a host name that the Internet knows"
        )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address, where `host` is one in canonical form:
    `127.1`, `0x7f000001` and `0177.0.0.1` are none.
    """
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except ValueError:
        return None
