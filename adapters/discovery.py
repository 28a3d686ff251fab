"""Which channels there are: every folder beside this file that has a `manifest` module.

There is no list to keep.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

import adapters
from adapters.channel import Manifest

_CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class DiscoveryError(Exception):
    """A channel folder that cannot be used; the text says which, and what to do."""


@cache
def discover() -> Mapping[str, Manifest]:
    """Channel name -> manifest, in alphabetical order, read once a process.

    Raises `DiscoveryError`.

    A folder whose name begins with `_` (the template of a new channel) is not one.
    """
    return read_manifests("adapters", adapters.__path__)


def read_manifests(package: str, folders: Iterable[str]) -> Mapping[str, Manifest]:
    """The manifests of one package's sub-packages, frozen. Raises `DiscoveryError`."""
    found: dict[str, Manifest] = {}
    for name in sorted(
        each.name
        for each in pkgutil.iter_modules(folders)
        if each.ispkg and not each.name.startswith("_")
    ):
        if importlib.util.find_spec(f"{package}.{name}.manifest") is None:
            continue
        manifest = getattr(importlib.import_module(f"{package}.{name}.manifest"), "MANIFEST", None)
        if not isinstance(manifest, Manifest):
            raise DiscoveryError(
                f"{package}/{name}/manifest.py has no MANIFEST of type Manifest: "
                f"add it, or rename the folder"
            )
        if not _CHANNEL_NAME.fullmatch(manifest.channel):
            raise DiscoveryError(
                f"{package}/{name} calls its channel {manifest.channel!r}: "
                f"use small letters, digits and _, at most 32"
            )
        if manifest.channel in found:
            raise DiscoveryError(
                f"{package}/{name} is a second channel {manifest.channel!r}: "
                f"give one of the two another name"
            )
        found[manifest.channel] = manifest
    return MappingProxyType(found)
