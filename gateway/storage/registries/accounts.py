"""Channel accounts, written: credentials are validated by the channel itself before they are
sealed, and never shown again.

A worker takes a change over with the next refresh of its directory; calls under way finish on the
old credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from adapters.channel import Manifest, Means, RemoteManifest
from adapters.transport import InlineExecutor
from gateway.clock import Clock, Ids
from gateway.limits import HEARTBEAT_LEASE_MS, REASON_CHARS_MAX, SEALED_PLAINTEXT_BYTES_MAX
from gateway.storage.registries.credentials import (
    CredentialsInvalid,
    account_about,
    decoded,
    key_about,
    shown,
    webhook_about,
)
from gateway.storage.registries.people import RegistryError, RegistryWriter, chosen_id
from security.errors import SecurityError
from security.vault import Vault, sealed_version

NO_CREDENTIALS = b"{}"

NEW = """INSERT INTO channel_account (merchant_id, id, channel, store_id, priority, sealed)
VALUES ($1, $2, $3, $4, $5, $6)"""
LIST = """SELECT merchant_id, id, channel, store_id, priority, enabled, drained_reason, sealed,
  created_at
FROM channel_account
WHERE $1::text IS NULL OR merchant_id = $1
ORDER BY merchant_id, channel, priority, id"""
ONE = """SELECT merchant_id, id, channel, store_id, priority, enabled, drained_reason, sealed,
  created_at
FROM channel_account
WHERE id = $1"""
PLACE = """UPDATE channel_account
SET enabled = coalesce($2, enabled), priority = coalesce($3, priority)
WHERE id = $1 RETURNING id"""
# Said once more it changes nothing: the first reason stands, and no second event is written.
DRAIN = """WITH placed AS (
    UPDATE channel_account
    SET drained_at = CASE WHEN $2::text IS NULL THEN NULL ELSE now() END, drained_reason = $2
    WHERE id = $1 AND (drained_reason IS NULL) <> ($2::text IS NULL)
    RETURNING merchant_id, id
)
INSERT INTO channel_health_event
  (merchant_id, account, operation, what, was, "to", reason, worker, at)
SELECT merchant_id, id, '*', 'drain',
       CASE WHEN $2::text IS NULL THEN 'drained' ELSE 'serving' END,
       CASE WHEN $2::text IS NULL THEN 'serving' ELSE 'drained' END,
       coalesce($2, 'undrained'), $3, now()
FROM placed RETURNING seq"""
RESEAL = "UPDATE channel_account SET sealed = $2 WHERE id = $1 RETURNING id"
OLDER_WORKERS = (
    "SELECT count(*) AS workers FROM worker "
    "WHERE started_at < $1 AND beat_at > clock_timestamp() - $2::interval"
)
# Compared with what was read, so that a rotation of the secret itself is never undone.
RESEAL_SAME = {
    "api_key": "UPDATE api_key SET sealed = $2 WHERE id = $1 AND sealed = $3 RETURNING id",
    "channel_account": (
        "UPDATE channel_account SET sealed = $2 WHERE id = $1 AND sealed = $3 RETURNING id"
    ),
}

WEBHOOK_SECRETS = (
    "SELECT endpoint_id, number, sealed FROM webhook_secret ORDER BY endpoint_id, number"
)
RESEAL_WEBHOOK = (
    "UPDATE webhook_secret SET sealed = $3 "
    "WHERE endpoint_id = $1 AND number = $2 AND sealed = $4 RETURNING number"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountListing:
    """A channel account for people: `credentials` with secrets as `***`; `problem` says why it
    cannot be used, else empty.
    """

    merchant_id: str
    id: str
    channel: str
    store_id: str | None
    priority: int
    enabled: bool
    drained_reason: str | None
    created_at: datetime
    key_version: int | None  # None: nothing that was sealed
    credentials: dict[str, Any]
    problem: str

    @property
    def drained_state(self) -> str:
        """For a list: whether new payments go to it."""
        return f"drained: {self.drained_reason}" if self.drained_reason is not None else "ready"


class AccountRegistry(RegistryWriter):
    """Channel accounts on PostgreSQL."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        *,
        vault: Vault,
        ids: Ids,
        clock: Clock,
        manifests: Mapping[str, Manifest],
    ) -> None:
        super().__init__(pool, vault=vault, ids=ids)
        self._means = Means(clock=clock, signing_executor=InlineExecutor())
        self._manifests = manifests

    def usable(self, channel: str, credentials: bytes) -> Any:
        """The credentials as the channel's own struct decodes them, None for a local channel; its
        builder must be able to read the keys. Raises RegistryError.
        """
        manifest = self._manifests.get(channel)
        if manifest is None:
            raise RegistryError(
                f"channel {channel!r} is not installed; "
                f"there are {', '.join(sorted(self._manifests))}"
            )
        if len(credentials) > SEALED_PLAINTEXT_BYTES_MAX:
            raise RegistryError(f"credentials have at most {SEALED_PLAINTEXT_BYTES_MAX} bytes")
        try:
            struct = decoded(manifest, credentials)
            if isinstance(manifest, RemoteManifest):
                manifest.build(struct, manifest.transport(struct, self._means), self._means.clock)
        except (CredentialsInvalid, SecurityError, ValueError) as error:
            raise RegistryError(f"the credentials cannot be used: {error}") from None
        return struct

    async def create(
        self,
        merchant_id: str,
        channel: str,
        credentials: bytes = NO_CREDENTIALS,
        *,
        account_id: str | None = None,
        store_id: str | None = None,
        priority: int = 100,
    ) -> str:
        """A new account, enabled; `store_id` None serves every store.

        Returns its id. Raises RegistryError.
        """
        self.usable(channel, credentials)
        chosen = chosen_id(account_id) or self._ids.new("acct")
        sealed = self._vault.seal(credentials, about=account_about(chosen))
        async with self._writing(f"account {chosen}") as connection:
            await connection.execute(NEW, merchant_id, chosen, channel, store_id, priority, sealed)
        return chosen

    async def rotate_credentials(self, account_id: str, credentials: bytes) -> None:
        """Put other credentials in place of the present ones."""
        row = await self._account(account_id)
        self.usable(row["channel"], credentials)
        await self._row(
            RESEAL, account_id, self._vault.seal(credentials, about=account_about(account_id))
        )

    async def place(
        self, account_id: str, *, enabled: bool | None = None, priority: int | None = None
    ) -> None:
        """Enable or disable it, or move it in the order of trying (lower is tried first)."""
        if await self._row(PLACE, account_id, enabled, priority) is None:
            raise _unknown(account_id)

    async def drain(self, account_id: str, reason: str | None, by: str) -> bool:
        """Keep new payments away from it, or (`reason` None) let them back.

        False when that is how it was.
        """
        if reason is not None and not 1 <= len(reason.strip()) <= REASON_CHARS_MAX:
            raise RegistryError(
                f"a reason has 1 to {REASON_CHARS_MAX} characters: "
                f"it stands in the `why` of every payment that goes elsewhere"
            )
        await self._account(account_id)
        return await self._row(DRAIN, account_id, reason, by) is not None

    async def accounts(self, merchant_id: str | None = None) -> list[AccountListing]:
        """A merchant's accounts, or all."""
        return [self._listing(row) for row in await self._fetch(LIST, merchant_id)]

    async def account(self, account_id: str) -> AccountListing:
        """One account."""
        return self._listing(await self._account(account_id))

    async def replace_address(self, account_id: str, old: str, new: str) -> None:
        """Write `new` wherever the credentials' texts hold the address `old`:
        a channel moved to another host.
        """
        row = await self._account(account_id)
        plain = self._vault.open(row["sealed"], about=account_about(account_id))
        await self.rotate_credentials(account_id, plain.replace(old.encode(), new.encode()))

    async def reseal_all(self) -> tuple[int, int]:
        """Seal every secret under the current master key.

        Returns (resealed, already there). Safe to repeat and to run while serving.
        """
        resealed = already = 0
        for table, about in (("api_key", key_about), ("channel_account", account_about)):
            for row in await self._fetch(f"SELECT id, sealed FROM {table} ORDER BY id"):
                fresh = self._vault.resealed(row["sealed"], about=about(row["id"]))
                if fresh == row["sealed"]:
                    already += 1
                elif (
                    await self._row(RESEAL_SAME[table], row["id"], fresh, row["sealed"]) is not None
                ):
                    resealed += 1
        for row in await self._fetch(WEBHOOK_SECRETS):
            fresh = self._vault.resealed(
                row["sealed"], about=webhook_about(row["endpoint_id"], row["number"])
            )
            if fresh == row["sealed"]:
                already += 1
            elif (
                await self._row(
                    RESEAL_WEBHOOK, row["endpoint_id"], row["number"], fresh, row["sealed"]
                )
                is not None
            ):
                resealed += 1
        return resealed, already

    async def workers_started_before(self, moment: datetime) -> int:
        """How many workers show signs of life and started before `moment`."""
        row = await self._row(OLDER_WORKERS, moment, timedelta(milliseconds=HEARTBEAT_LEASE_MS))
        assert row is not None
        return int(row["workers"])

    async def _account(self, account_id: str) -> asyncpg.Record:
        row = await self._row(ONE, account_id)
        if row is None:
            raise _unknown(account_id)
        return row

    def _listing(self, row: asyncpg.Record) -> AccountListing:
        credentials, problem = self._readable(row)
        fields = {
            name: row[name]
            for name in (
                "merchant_id",
                "id",
                "channel",
                "store_id",
                "priority",
                "enabled",
                "drained_reason",
                "created_at",
            )
        }
        try:
            version = sealed_version(row["sealed"], about=account_about(row["id"]))
        except SecurityError:  # `problem` tells it
            version = None
        return AccountListing(
            **fields, key_version=version, credentials=credentials, problem=problem
        )

    def _readable(self, row: asyncpg.Record) -> tuple[dict[str, Any], str]:
        manifest = self._manifests.get(row["channel"])
        if manifest is None:
            return {}, f"channel {row['channel']!r} is not installed"
        try:
            return shown(
                decoded(manifest, self._vault.open(row["sealed"], about=account_about(row["id"])))
            ), ""
        except (CredentialsInvalid, SecurityError) as error:
            return {}, str(error)


def _unknown(account_id: str) -> RegistryError:
    return RegistryError(
        f"there is no account {account_id}: `tillgate account list` shows what there is"
    )
