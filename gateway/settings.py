"""The service's settings, read once from the environment into a frozen, typed record.

Everything that is wrong is reported at once, each line with the variable's name and what to write.
A variable that begins with `TILLGATE_` and is not in the table below is wrong too: a misspelt
setting must not be a silent default. An empty variable counts as not set. docs/settings.md has one
row for each, and a test says so.
"""

import difflib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from gateway.edge_limits import PRESTOP_S_MAX, RATE_FACTOR_MAX
from gateway.limits import WORKERS_MAX
from security.errors import MasterKeyInvalid
from security.keyring import FILE_VARIABLE, TEXT_VARIABLE, MasterKeys
from security.secret import Secret

PREFIX: Final = "TILLGATE_"
DATABASE_URL: Final = "TILLGATE_DATABASE_URL"
WRITE_DATABASE_URL: Final = "write postgresql://user:password@host:5432/database"
MASTER_KEYS: Final = FILE_VARIABLE
NONE: Final = "none"
LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
SERVING: Final = frozenset({DATABASE_URL, MASTER_KEYS})  # what `serve` and `work` cannot do without


class Address(NamedTuple):
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field a row of the table; addresses that may hold a password are `Secret`."""

    database_url: Secret | None
    redis_url: Secret | None
    listen: Address
    operations_listen: Address | None
    work_operations_listen: Address | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    rate_factor: int
    prestop_s: int
    workers: int
    environment: str
    master_keys: MasterKeys | None
    public_url: str | None
    log_level: str
    log_format: str
    allow_loopback_channels: bool
    allow_loopback_webhooks: bool

    def needed_database_url(self) -> Secret:
        """The address, for code that runs only when it was required."""
        assert self.database_url is not None, (
            f"read_settings was not asked to require {DATABASE_URL}"
        )
        return self.database_url

    def needed_master_keys(self) -> MasterKeys:
        """The keys, for code that runs only when they were required."""
        assert self.master_keys is not None, f"read_settings was not asked to require {MASTER_KEYS}"
        return self.master_keys


class SettingsError(ValueError):
    """The settings are wrong; `problems` has one line for each, and the message all of them."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(
            "the settings are wrong:\n" + "\n".join(f"- {problem}" for problem in problems)
        )


def read_settings(
    environment: Mapping[str, str] = os.environ, *, required: Collection[str] = SERVING
) -> Settings:
    """The settings of this process; raises SettingsError with everything that is wrong.

    `required` names the variables this command cannot do without: `migrate` needs only the
    database.
    """
    given = {
        name: value.strip()
        for name, value in environment.items()
        if name.startswith(PREFIX) and value.strip()
    }
    problems = [_unknown(name) for name in sorted(given) if name not in VARIABLES]
    values: dict[str, Any] = {}
    for variable in TABLE:
        text = given.get(variable.name)
        try:
            values[variable.field] = variable.default() if text is None else variable.parse(text)
        except ValueError as error:
            problems.append(f"{variable.name}: {error}")
            continue
        if text is None and variable.name in required:
            problems.append(f"{variable.name} is not set: {WRITE_DATABASE_URL}")
    values["master_keys"] = _master_keys(given, problems, needed=MASTER_KEYS in required)
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


class Variable(NamedTuple):
    """One environment variable: the field it fills, how it is read, and its value when not set."""

    name: str
    field: str
    parse: Callable[[str], Any]
    default: Callable[[], Any]


def _postgres_url(text: str) -> Secret:
    parts = _split(text)
    if parts is None or parts.scheme not in {"postgresql", "postgres"} or len(parts.path) < 2:  # noqa: PLR2004  "/" and a name
        raise ValueError(WRITE_DATABASE_URL)
    return Secret(text)


def _redis_url(text: str) -> Secret:
    parts = _split(text)
    if (
        parts is None
        or parts.scheme not in {"redis", "rediss", "unix"}
        or not (parts.netloc or parts.path.strip("/"))
    ):
        raise ValueError(
            "write redis://host:6379/0, rediss://… for TLS, or unix:///path/to/redis.sock; "
            "leave it out to run without Redis"
        )
    return Secret(text)


def _listen(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004  the last port
        raise ValueError(f"{text!r} is not host:port; write 0.0.0.0:8080 or [::]:8080")
    return Address(host.strip("[]"), int(port))


def _listen_or_none(text: str) -> Address | None:
    if text.lower() == NONE:
        return None
    try:
        return _listen(text)
    except ValueError as error:
        raise ValueError(f"{error}, or {NONE} for no such listener") from None


def _proxies(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    if text.lower() == NONE:
        return ()
    try:
        return tuple(ip_network(each.strip()) for each in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"{error}; write the proxies' addresses or networks, separated by commas "
            f"(10.0.0.5, 10.1.0.0/24), or {NONE}"
        ) from None


def _whole_number(first: int, last: int, of_what: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not first <= int(text) <= last:
            raise ValueError(f"{text!r} is not a number of {of_what} within {first} … {last}")
        return int(text)

    return parse


def _environment(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{2}", text):
        raise ValueError(
            f"{text!r} is not two characters of A-Z and 0-9; "
            f"every installation that shares a channel account needs its own"
        )
    return text


def _public_url(text: str) -> str:
    parts = _split(text)
    if (
        parts is None
        or parts.scheme not in {"https", "http"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError(
            "write the address channels reach us at, for example https://pay.example.com, "
            "without query or password"
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("plain http is accepted for this machine only; write https://…")
    return text.rstrip("/")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text.lower()

    return parse


def _yes_no(text: str) -> bool:
    if text.lower() not in {"yes", "no"}:
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() == "yes"


def _split(text: str) -> SplitResult | None:
    """The parts of an address; None when it has none or its port is no port.

    Errors of `urlsplit` may quote a password: not passed on.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _cores() -> int:
    return max(1, min(os.cpu_count() or 1, WORKERS_MAX))


TABLE: Final = (
    Variable(DATABASE_URL, "database_url", _postgres_url, lambda: None),
    Variable("TILLGATE_REDIS_URL", "redis_url", _redis_url, lambda: None),
    Variable("TILLGATE_LISTEN", "listen", _listen, lambda: Address("127.0.0.1", 8080)),
    Variable(
        "TILLGATE_OPERATIONS_LISTEN",
        "operations_listen",
        _listen_or_none,
        lambda: Address("127.0.0.1", 9080),
    ),
    Variable(
        "TILLGATE_WORK_OPERATIONS_LISTEN",
        "work_operations_listen",
        _listen_or_none,
        lambda: Address("127.0.0.1", 9081),
    ),
    Variable("TILLGATE_TRUSTED_PROXIES", "trusted_proxies", _proxies, lambda: LOOPBACK),
    Variable(
        "TILLGATE_RATE_FACTOR",
        "rate_factor",
        _whole_number(1, RATE_FACTOR_MAX, "times the limits"),
        lambda: 1,
    ),
    Variable(
        "TILLGATE_PRESTOP_S", "prestop_s", _whole_number(0, PRESTOP_S_MAX, "seconds"), lambda: 0
    ),
    Variable(
        "TILLGATE_WORKERS",
        "workers",
        _whole_number(1, WORKERS_MAX, "processes (one per CPU core is a good start)"),
        _cores,
    ),
    Variable("TILLGATE_ENVIRONMENT", "environment", _environment, lambda: "T0"),
    Variable("TILLGATE_PUBLIC_URL", "public_url", _public_url, lambda: None),
    Variable(
        "TILLGATE_LOG_LEVEL",
        "log_level",
        _one_of("debug", "info", "warning", "error"),
        lambda: "info",
    ),
    Variable("TILLGATE_LOG_FORMAT", "log_format", _one_of("json", "console"), lambda: "json"),
    Variable("TILLGATE_ALLOW_LOOPBACK_CHANNELS", "allow_loopback_channels", _yes_no, lambda: False),
    Variable("TILLGATE_ALLOW_LOOPBACK_WEBHOOKS", "allow_loopback_webhooks", _yes_no, lambda: False),
)
VARIABLES: Final = frozenset({variable.name for variable in TABLE} | {FILE_VARIABLE, TEXT_VARIABLE})


def _master_keys(
    given: Mapping[str, str], problems: list[str], *, needed: bool
) -> MasterKeys | None:
    if not needed and not given.keys() & {FILE_VARIABLE, TEXT_VARIABLE}:
        return None
    try:
        return MasterKeys.from_environment(given)
    except MasterKeyInvalid as error:
        problems.append(str(error))
        return None


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(
        name.removeprefix(PREFIX), [known.removeprefix(PREFIX) for known in VARIABLES], n=1
    )
    hint = (
        f"did you mean {PREFIX}{close[0]}?"
        if close
        else "see docs/settings.md for the ones there are; remove it"
    )
    return f"{name} is not a setting: {hint}"
