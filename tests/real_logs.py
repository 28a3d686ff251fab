"""The service's own log pipeline in a test, from the settings to the lines on standard error."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping

import structlog

from adapters.channel import Manifest
from gateway.composition import start_logs
from gateway.settings import read_settings


@contextlib.contextmanager
def real_logs(
    log_format: str = "json", manifests: Mapping[str, Manifest] | None = None
) -> Iterator[io.StringIO]:
    """What is written while the context lasts. Only loggers that are made inside speak there."""
    settings = read_settings({"TILLGATE_LOG_FORMAT": log_format}, required=())
    was, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        with contextlib.redirect_stderr(io.StringIO()) as written:
            start_logs(settings, manifests)
            yield written
    finally:
        structlog.configure(**was)
        root.handlers[:] = handlers
        root.setLevel(level)
