"""Simulated worlds are quiet: what went wrong in one is for its judge to say, not for a log."""

import gc
import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.disable()  # a world is small and short, and made of cycles
    yield
    gc.enable()
    structlog.configure(**before)
