"""The log pipeline as the service starts it: nothing secret comes out at its end, whichever way it
went in.
"""

import logging
from typing import Any

import pytest
import structlog

from tests.real_logs import real_logs

CODE, CARD, KEY = "287654321098765432", "4111111111111111", "sk_live_" + "a" * 24


def as_the_event(secret: str) -> None:
    structlog.get_logger("t").warning(f"scanned {secret} twice")


def as_a_value(secret: str) -> None:
    structlog.get_logger("t").warning("scanned", body={"said": [secret]})


def as_context(secret: str) -> None:
    with structlog.contextvars.bound_contextvars(said=secret):
        structlog.get_logger("t").warning("scanned")


def as_a_traceback(secret: str) -> None:
    try:
        raise ValueError(secret)
    except ValueError:
        structlog.get_logger("t").exception("broken")


def from_a_library(secret: str) -> None:
    logging.getLogger("aiohttp.server").warning("got %s", secret)


def as_a_librarys_traceback(secret: str) -> None:
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger("asyncio").exception("broken")


WAYS = [
    as_the_event,
    as_a_value,
    as_context,
    as_a_traceback,
    from_a_library,
    as_a_librarys_traceback,
]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("secret", [CODE, CARD, KEY], ids=["code", "card", "key"])
@pytest.mark.parametrize("way", WAYS)
def test_no_secret_comes_out_of_the_pipeline(way: Any, secret: str, log_format: str) -> None:
    with real_logs(log_format) as written:
        way(secret)
    assert written.getvalue().strip(), "the line itself is there"
    assert secret not in written.getvalue()
