"""Structured logs: one JSON object a line (or console text in development),
every value through redaction.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from security.redaction import Redaction


def configure_logs(level: str, log_format: str, redaction: Redaction) -> None:
    """Route structlog and the standard library to stderr.

    `level` like `info`, `log_format` `json` or `console`. `redaction` knows the payment codes of
    the installed channels.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redaction.event,
    ]
    last: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[_without_meta, last]
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)


def _without_meta(logger: Any, name: str, event: Any) -> Any:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, name, event)
