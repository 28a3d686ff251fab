"""Waiting that ends at once when the process is to stop."""

from __future__ import annotations

import asyncio
import contextlib


async def paused(stop: asyncio.Event, milliseconds: int) -> None:
    """Sleep, or wake at once to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(milliseconds / 1000):
            await stop.wait()
