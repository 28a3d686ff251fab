"""What the server says about a peer that does not speak HTTP."""

import logging

from aiohttp.http_exceptions import BadHttpMessage

from gateway.http.serving import without_foreign_bytes


def test_what_is_not_http_is_a_line_without_its_bytes() -> None:
    error = BadHttpMessage("Invalid header: Authorization: TILLGATE-HMAC-SHA256 key")
    record = logging.LogRecord(
        "aiohttp.server",
        logging.ERROR,
        "",
        0,
        "Error from %s",
        ("10.0.0.9",),
        (type(error), error, None),
    )
    assert without_foreign_bytes(record)
    assert (
        logging.Formatter("%(levelname)s %(message)s").format(record)
        == "WARNING refused what is not HTTP (BadHttpMessage) from 10.0.0.9"
    )


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    error = RuntimeError("ours")
    record = logging.LogRecord(
        "aiohttp.server",
        logging.ERROR,
        "",
        0,
        "Error from %s",
        ("10.0.0.9",),
        (type(error), error, None),
    )
    assert without_foreign_bytes(record)
    assert (record.levelno, "RuntimeError: ours" in logging.Formatter().format(record)) == (
        logging.ERROR,
        True,
    )
