"""The lines to PostgreSQL and Redis, judged by their addresses: what goes to another host is
encrypted, and proves who it is.

The books, and the sealed secrets beside them, travel over the one; claims over the other.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from security.secret import Secret

PROVEN = "verify-full"  # libpq's word: the certificate is checked, and that it is this host's


def unsafe_lines(database_url: Secret | None, redis_url: Secret | None) -> list[str]:
    """What is unsafe about them, in words with the remedy; empty: nothing."""
    return [*_postgres(database_url), *_redis(redis_url)]


def is_here(host: str) -> bool:
    """This machine: a loopback address, its name, or the folder of a unix socket."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _postgres(url: Secret | None) -> list[str]:
    if url is None:
        return []
    parts = urlsplit(url.reveal())
    given = parse_qs(parts.query)
    named = parts.netloc.rpartition("@")[2] or given.get("host", [""])[0]
    away = [host for each in named.split(",") if not is_here(host := _host(unquote(each)))]
    if not away or given.get("sslmode", [""])[0] == PROVEN:
        return []
    words = (
        f"the line to PostgreSQL at {', '.join(away)} may be read or answered by another: "
        f"add sslmode={PROVEN} to TILLGATE_DATABASE_URL (and sslrootcert=… for a private CA)"
    )
    return [words]


def _redis(url: Secret | None) -> list[str]:
    if url is None:
        return []
    parts = urlsplit(url.reveal())
    if parts.scheme == "unix" or is_here(parts.hostname or ""):
        return []
    wrong = []
    if parts.scheme != "rediss":
        wrong.append("is not encrypted (write rediss://…)")
    if not parts.password:
        wrong.append("has no password")
    if not wrong:
        return []
    return [f"the line to Redis at {parts.hostname} {' and '.join(wrong)}: see TILLGATE_REDIS_URL"]


def _host(named: str) -> str:
    """Without its port: `host:5432`, `[::1]:5432`, `/run/postgresql`."""
    if named.startswith("["):
        return named[1:].partition("]")[0]
    return named if named.startswith("/") else named.partition(":")[0]
