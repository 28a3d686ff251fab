"""Channel accounts of one merchant, for tests that choose among them or call a fake channel."""

from __future__ import annotations

from typing import Any

from adapters.channel import LocalManifest, Manifest, RemoteManifest
from adapters.discovery import discover
from gateway.flow.accounts import LocalAccount, RemoteAccount


class Uncalled:
    """A channel of either kind that nothing may call."""

    hosts = 1

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing is called here, and {name} was")


def remote_account(name: str, manifest: Manifest | str = "alipay", **fields: Any) -> RemoteAccount:
    """An enabled account of merchant m1, of the fast profile, for every store."""
    known = discover()[manifest] if isinstance(manifest, str) else manifest
    assert isinstance(known, RemoteManifest)
    given: dict[str, Any] = {
        "merchant_id": "m1",
        "store_id": None,
        "priority": 1,
        "enabled": True,
        "profile": "short",
        "channel": Uncalled(),
    }
    return RemoteAccount(id=name, manifest=known, **(given | fields))


def local_account(name: str, manifest: Manifest | str = "cash", **fields: Any) -> LocalAccount:
    """As `remote_account`, in our own books."""
    known = discover()[manifest] if isinstance(manifest, str) else manifest
    assert isinstance(known, LocalManifest)
    given: dict[str, Any] = {
        "merchant_id": "m1",
        "store_id": None,
        "priority": 1,
        "enabled": True,
        "channel": known.build(),
    }
    return LocalAccount(id=name, manifest=known, **(given | fields))
