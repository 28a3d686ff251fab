"""Sockets of the long-running commands, bound before anything else starts: an address that cannot
be had is told at once.
"""

import resource
import socket

from gateway.cli.failures import CommandError
from gateway.edge_limits import DESCRIPTORS_MAX
from gateway.limits import LISTEN_BACKLOG
from gateway.settings import Address


def bound(address: Address, setting: str) -> socket.socket:
    """A listening socket. `setting`: the variable that names the address."""
    host, port = address
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=LISTEN_BACKLOG,
            reuse_port=False,
        )
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror}): set {setting} to a free address"
        ) from error


def shown(listening: socket.socket) -> str:
    """host:port as it was bound, for people."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def raise_descriptors() -> int:
    """Take as many file descriptors as we are allowed; returns how many that are.

    The usual soft limit of a service manager is 1 024, and every till is one.
    """
    allowed = descriptors_allowed()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def descriptors_allowed() -> int:
    """The hard limit of this process, at most DESCRIPTORS_MAX."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
