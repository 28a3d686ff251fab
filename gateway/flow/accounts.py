"""Channel accounts, as the flow knows them: one that is asked over a network, or one that is in our
own books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from adapters.channel import (
    BillDay,
    Channel,
    Flow,
    LocalChannel,
    LocalManifest,
    Manifest,
    Profile,
    RemoteManifest,
    Schedule,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A channel account as routing sees it. `store_id` None: for every store of the merchant."""

    id: str
    merchant_id: str
    store_id: str | None
    priority: int
    enabled: bool
    manifest: Manifest
    drained: str | None = None  # why an operator keeps new payments away from it


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAccount(Candidate):
    """A channel account that is asked over a network, ready for calls.

    `notify_url`: where its channel tells us of payments; None: it is not asked to.
    """

    manifest: RemoteManifest
    channel: Channel
    profile: Profile
    notify_url: str | None = None

    def schedule(self, flow: Flow) -> Schedule:
        """When an undecided payment here is queried and cancelled."""
        return self.manifest.schedule(flow, self.profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAccount(Candidate):
    """A channel account in our own books."""

    manifest: LocalManifest
    channel: LocalChannel


Account: TypeAlias = RemoteAccount | LocalAccount


def bill_days(manifests: Mapping[str, Manifest]) -> dict[str, BillDay]:
    """By channel, of those that have bills."""
    return {
        name: manifest.bill_day
        for name, manifest in manifests.items()
        if isinstance(manifest, RemoteManifest)
    }
