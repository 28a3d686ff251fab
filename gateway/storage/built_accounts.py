"""Channel accounts made ready for calls: credentials → transport → channel, and how long they live.

Opening secrets and reading RSA keys takes milliseconds an account: `build` runs in a thread. What
it made is taken over on the loop by `keep`. A transport that was replaced is closed once the calls
that were given it have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters.channel import LocalManifest, Manifest, Means, RemoteManifest, Transport
from gateway.flow.accounts import Account, LocalAccount, RemoteAccount
from gateway.limits import CALL_TIMEOUT_MS, SEND_DEADLINE_MS
from gateway.storage.directory_rows import AccountRow
from gateway.storage.registries.credentials import (
    account_about,
    decoded,
    profile_of,
    refuse_unsafe_addresses,
)
from security.vault import About, Vault

# The calls that were given a replaced account have ended by then.
OLD_CALLS_END_S = (SEND_DEADLINE_MS + CALL_TIMEOUT_MS) / 1000


@dataclass(frozen=True, slots=True)
class Built:
    """An account and what carries its calls; None for one in our own books."""

    row: AccountRow
    account: Account
    transport: Transport | None = None


class BuiltAccounts:
    """`public_url`: where channels reach us; None: they are not asked to."""

    def __init__(
        self,
        *,
        vault: Vault,
        means: Means,
        manifests: Mapping[str, Manifest],
        public_url: str | None = None,
        allow_loopback_channels: bool = False,
    ) -> None:
        self.manifests = manifests
        self._vault, self._means = vault, means
        self._public_url, self._allow_loopback = public_url, allow_loopback_channels
        self._kept: dict[str, Built] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def build(self, row: AccountRow) -> Built:
        """Make the account ready; its channel stays where only its place changed. Whose it is and
        where it serves is under the seal.

        Raises what decoding, the vault, the transport or the channel's builder raise.
        """
        known, about = self._kept.get(row.id), _about(row)
        if known is not None and (known.row.sealed, _about(known.row)) == (row.sealed, about):
            return Built(row, replace(known.account, **_placed(row)), known.transport)
        manifest = self.manifests.get(row.channel)
        if manifest is None:
            raise LookupError(
                f"channel {row.channel!r} is not installed here; "
                f"there are {', '.join(sorted(self.manifests))}"
            )
        credentials = self._vault.open(row.sealed, about=about)
        match manifest:
            case LocalManifest():
                decoded(manifest, credentials)
                return Built(
                    row,
                    LocalAccount(manifest=manifest, channel=manifest.build(), **_placed(row)),
                )
            case RemoteManifest():
                return self._built_remote(row, manifest, decoded(manifest, credentials))

    def keep(self, account_id: str, built: Built | None) -> None:
        """Take over what `build` made, or nothing: the account cannot be used now."""
        was = self._kept.pop(account_id, None)
        if built is not None:
            self._kept[account_id] = built
        old = was.transport if was is not None else None
        if old is not None and (built is None or old is not built.transport):
            closing = asyncio.create_task(_close_later(old), name=f"close {account_id}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all transports; calls under way on them are cut."""
        for closing in tuple(self._closing):
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for built in self._kept.values():
            if built.transport is not None:
                await built.transport.aclose()
        self._kept.clear()

    def _built_remote(self, row: AccountRow, manifest: RemoteManifest, credentials: Any) -> Built:
        refuse_unsafe_addresses(credentials, allow_loopback=self._allow_loopback)
        transport = manifest.transport(credentials, self._means)
        account = RemoteAccount(
            manifest=manifest,
            channel=manifest.build(credentials, transport, self._means.clock),
            profile=profile_of(credentials),
            notify_url=self._notify_url(row.id, credentials),
            **_placed(row),
        )
        return Built(row, account, transport)

    def _notify_url(self, account_id: str, credentials: Any) -> str | None:
        own: str | None = getattr(credentials, "notify_url", None)
        if own is not None or self._public_url is None:
            return own
        return f"{self._public_url}/callbacks/{account_id}"


def _about(row: AccountRow) -> About:
    return account_about(
        row.id, merchant_id=row.merchant_id, store_id=row.store_id, channel=row.channel
    )


def _placed(row: AccountRow) -> dict[str, Any]:
    """What the row says in itself; the rest is made from its credentials."""
    return {
        "id": row.id,
        "merchant_id": row.merchant_id,
        "store_id": row.store_id,
        "priority": row.priority,
        "enabled": row.enabled,
        "drained": row.drained,
    }


async def _close_later(transport: Transport) -> None:
    try:
        await asyncio.sleep(OLD_CALLS_END_S)
    finally:
        await transport.aclose()
