"""Settings by tables: what a text becomes, and what is said about a wrong one."""

import base64
import re
from pathlib import Path

import pytest

from gateway.settings import SERVING, TABLE, VARIABLES, Address, SettingsError, read_settings
from security.secret import Secret

KEYS = "v1:" + base64.b64encode(bytes(range(32))).decode()
GOOD = {
    "TILLGATE_DATABASE_URL": "postgresql://gateway:s3cret@db/tillgate",
    "TILLGATE_MASTER_KEY": KEYS,
}


@pytest.mark.parametrize(
    ("name", "text", "field", "expected"),
    [
        (
            "DATABASE_URL",
            "postgres://u@/tillgate?host=/run/pg",
            "database_url",
            Secret("postgres://u@/tillgate?host=/run/pg"),
        ),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", Secret("unix:///run/redis.sock")),
        ("REDIS_URL", "", "redis_url", None),
        ("REDIS_URL", "  ", "redis_url", None),
        ("LISTEN", "0.0.0.0:0", "listen", Address("0.0.0.0", 0)),
        ("LISTEN", "[::]:8080", "listen", Address("::", 8080)),
        ("WORKERS", "64", "workers", 64),
        ("ENVIRONMENT", "P1", "environment", "P1"),
        ("PUBLIC_URL", "https://pay.example.com/", "public_url", "https://pay.example.com"),
        ("PUBLIC_URL", "http://127.0.0.1:8080", "public_url", "http://127.0.0.1:8080"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("LOG_FORMAT", "console", "log_format", "console"),
        ("ALLOW_LOOPBACK_CHANNELS", "yes", "allow_loopback_channels", True),
        ("ALLOW_LOOPBACK_WEBHOOKS", "no", "allow_loopback_webhooks", False),
    ],
)
def test_a_good_text(name: str, text: str, field: str, expected: object) -> None:
    assert getattr(read_settings({**GOOD, f"TILLGATE_{name}": text}), field) == expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("DATABASE_URL", "mysql://u:s3cret@db/x", "write postgresql://"),
        ("DATABASE_URL", "postgresql://u:s3cret@db:port/x", "write postgresql://"),
        ("DATABASE_URL", "postgresql://u:s3cret@[db/x", "write postgresql://"),
        ("DATABASE_URL", "postgresql://u:s3cret@db", "write postgresql://"),
        ("REDIS_URL", "http://:s3cret@redis", "write redis://"),
        ("REDIS_URL", "redis://", "write redis://"),
        ("LISTEN", "8080", "write 0.0.0.0:8080"),
        ("LISTEN", ":8080", "write 0.0.0.0:8080"),
        ("LISTEN", "localhost:65536", "write 0.0.0.0:8080"),
        ("WORKERS", "0", "within 1 … 64"),
        ("WORKERS", "65", "within 1 … 64"),
        ("WORKERS", "-1", "within 1 … 64"),
        ("WORKERS", "٣", "within 1 … 64"),
        ("ENVIRONMENT", "prod", "two characters of A-Z and 0-9"),
        ("ENVIRONMENT", "p1", "two characters of A-Z and 0-9"),
        ("PUBLIC_URL", "pay.example.com", "write the address channels reach us at"),
        ("PUBLIC_URL", "http://pay.example.com", "write https://…"),
        ("PUBLIC_URL", "https://u:s3cret@pay.example.com", "without query or password"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "json, console"),
        ("ALLOW_LOOPBACK_CHANNELS", "1", "neither yes nor no"),
        ("LISTENS", "x:1", "did you mean TILLGATE_LISTEN?"),
        ("DATABSE_URL", "postgresql://u:s3cret@db/x", "did you mean TILLGATE_DATABASE_URL?"),
        ("ZZZZ", "s3cret", "see docs/settings.md"),
        ("MASTER_KEY", "v1:s3cret", "standard base64"),
        ("MASTER_KEY_FILE", "/nowhere/at/all", "TILLGATE_MASTER_KEY"),
    ],
)
def test_a_wrong_text_is_explained_without_showing_a_secret(
    name: str, text: str, said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({**GOOD, f"TILLGATE_{name}": text})
    assert len(caught.value.problems) == 1
    assert f"TILLGATE_{name}" in caught.value.problems[0]
    assert said in caught.value.problems[0]
    assert "s3cret" not in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    wrong = {
        "TILLGATE_WORKERS": "many",
        "TILLGATE_LISTEN": "here",
        "TILLGATE_PORT": "1",
        "PATH": "not ours",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong)
    named = {re.findall(r"TILLGATE_\w+", problem)[0] for problem in caught.value.problems}
    assert named == {
        "TILLGATE_PORT",
        "TILLGATE_DATABASE_URL",
        "TILLGATE_LISTEN",
        "TILLGATE_WORKERS",
        "TILLGATE_MASTER_KEY_FILE",
    }
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_a_command_that_needs_less_requires_less() -> None:
    settings = read_settings({}, required=())
    assert settings.database_url is None
    assert settings.master_keys is None
    assert settings.environment == "T0"
    with pytest.raises(AssertionError, match="TILLGATE_DATABASE_URL"):
        settings.needed_database_url()


def test_nothing_secret_is_printed() -> None:
    printed = repr(read_settings({**GOOD, "TILLGATE_REDIS_URL": "redis://:s3cret@redis/0"}))
    assert "s3cret" not in printed
    assert KEYS[3:] not in printed


def test_every_setting_is_in_the_docs_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == VARIABLES
    for variable in TABLE:
        shown = variable.default()
        if isinstance(shown, str):
            assert re.search(rf"^\| `{variable.name}` \| `{shown}` \|", page, flags=re.MULTILINE), (
                variable.name
            )
    assert SERVING <= VARIABLES
