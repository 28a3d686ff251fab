"""Channels are found, not listed: every package under `sandbox/` that exposes `CHANNEL` is one, but
for names that begin with `_`.
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
    modules = [importlib.import_module(f"sandbox.{name}") for name in packages]
    channels = [module.CHANNEL for module in modules if hasattr(module, "CHANNEL")]
    return {channel.name: channel for channel in channels}
