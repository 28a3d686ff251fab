"""Channels are found, not listed: every package under `sandbox/` whose module `channel` has a
`CHANNEL` is one, but for names that begin with `_`.
"""

import importlib
import pkgutil

import sandbox
from sandbox.channel import Channel


def discover() -> dict[str, Channel]:
    """Channels by name."""
    packages = [
        found.name
        for found in pkgutil.iter_modules(sandbox.__path__)
        if found.ispkg and not found.name.startswith("_")
    ]
    channels = [importlib.import_module(f"sandbox.{name}.channel").CHANNEL for name in packages]
    return {channel.name: channel for channel in channels}
