"""Channel accounts, written: credentials are validated by the channel itself before they are
sealed, and never shown again.

A worker takes a change over with the next refresh of its directory; calls under way finish on the
old credentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from adapters.channel import Certificate, Manifest, Means, RemoteManifest
from adapters.transport import InlineExecutor
from gateway.clock import Clock, Ids
from gateway.domain.audit import Act, AskedBy
from gateway.limits import REASON_CHARS_MAX, SEALED_PLAINTEXT_BYTES_MAX
from gateway.storage.registries.acts import Connection, RegistryError, chosen_id
from gateway.storage.registries.credentials import (
    CredentialsInvalid,
    account_about,
    decoded,
    refuse_unfit_certificates,
    shown,
    usable_until,
)
from gateway.storage.registries.sealing import SealingRegistry
from security.errors import SecurityError
from security.vault import About, Vault, sealed_as

NO_CREDENTIALS = b"{}"

NEW = """INSERT INTO channel_account (merchant_id, id, channel, store_id, priority, sealed)
VALUES ($1, $2, $3, $4, $5, $6)"""
_COLUMNS = (
    "merchant_id, id, channel, store_id, priority, enabled, drained_reason, sealed, created_at"
)
LIST = f"""SELECT {_COLUMNS} FROM channel_account
WHERE $1::text IS NULL OR merchant_id = $1
ORDER BY merchant_id, channel, priority, id"""
ONE = f"SELECT {_COLUMNS} FROM channel_account WHERE id = $1"
LOCKED = f"{ONE} FOR NO KEY UPDATE"
PLACE = """UPDATE channel_account
SET enabled = coalesce($2, enabled), priority = coalesce($3, priority) WHERE id = $1"""
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
RESEAL = "UPDATE channel_account SET sealed = $2 WHERE id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountListing:
    """A channel account for people: `credentials` with secrets as `***`; `problem` says why it
    cannot be used, else empty. `key_version` None: not even that can be read. `usable_until`: by
    field, until when its certificates are good.
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
    usable_until: dict[str, datetime]

    @property
    def drained_state(self) -> str:
        """For a list: whether new payments go to it."""
        return f"drained: {self.drained_reason}" if self.drained_reason is not None else "ready"


class AccountRegistry(SealingRegistry):
    """Channel accounts on PostgreSQL."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        *,
        vault: Vault,
        ids: Ids,
        asked_by: AskedBy,
        clock: Clock,
        manifests: Mapping[str, Manifest],
    ) -> None:
        super().__init__(pool, vault=vault, ids=ids, asked_by=asked_by)
        self._means = Means(clock=clock, signing_executor=InlineExecutor())
        self._manifests = manifests

    def usable(self, channel: str, credentials: bytes) -> Any:
        """The credentials as the channel's own struct decodes them, None for a local channel; its
        builder must be able to read the keys, its certificates must be good now. Raises
        RegistryError.
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
            refuse_unfit_certificates(_certificates(manifest, struct), self._means.clock.now())
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
        struct = self.usable(channel, credentials)
        chosen = chosen_id(account_id) or self._ids.new("acct")
        about = account_about(chosen, merchant_id=merchant_id, store_id=store_id, channel=channel)
        made = {
            "channel": channel,
            "store_id": store_id,
            "priority": priority,
            "credentials": shown(struct),
        }
        async with self._acting(f"account {chosen}") as connection:
            sealed = await self._sealed(connection, credentials, about)
            await connection.execute(NEW, merchant_id, chosen, channel, store_id, priority, sealed)
            await self._record(
                connection, Act.ACCOUNT_CREATE, chosen, merchant_id=merchant_id, after=made
            )
        return chosen

    async def rotate_credentials(self, account_id: str, credentials: bytes) -> None:
        """Put other credentials in place of the present ones."""
        async with self._acting(f"account {account_id}") as connection:
            row = await _locked(connection, account_id)
            struct = self.usable(row["channel"], credentials)
            sealed = await self._sealed(connection, credentials, _about(row))
            await connection.execute(RESEAL, account_id, sealed)
            await self._record(
                connection,
                Act.ACCOUNT_ROTATE,
                account_id,
                merchant_id=row["merchant_id"],
                before={"credentials": self._readable(row)},
                after={"credentials": shown(struct)},
            )

    async def place(
        self, account_id: str, *, enabled: bool | None = None, priority: int | None = None
    ) -> None:
        """Enable or disable it, or move it in the order of trying (lower is tried first)."""
        async with self._acting(f"account {account_id}") as connection:
            row = await _locked(connection, account_id)
            await connection.execute(PLACE, account_id, enabled, priority)
            merchant_id = row["merchant_id"]
            if enabled is not None and enabled != row["enabled"]:
                act = Act.ACCOUNT_ENABLE if enabled else Act.ACCOUNT_DISABLE
                await self._record(connection, act, account_id, merchant_id=merchant_id)
            if priority is not None and priority != row["priority"]:
                await self._record(
                    connection,
                    Act.ACCOUNT_PLACE,
                    account_id,
                    merchant_id=merchant_id,
                    before={"priority": row["priority"]},
                    after={"priority": priority},
                )

    async def drain(self, account_id: str, reason: str | None, by: str) -> bool:
        """Keep new payments away from it, or (`reason` None) let them back.

        False when that is how it was.
        """
        if reason is not None and not 1 <= len(reason.strip()) <= REASON_CHARS_MAX:
            raise RegistryError(
                f"a reason has 1 to {REASON_CHARS_MAX} characters: "
                f"it stands in the `why` of every payment that goes elsewhere"
            )
        async with self._acting(f"account {account_id}") as connection:
            row = await _locked(connection, account_id)
            if await connection.fetchval(DRAIN, account_id, reason, by) is None:
                return False
            await self._record(
                connection,
                Act.ACCOUNT_UNDRAIN if reason is None else Act.ACCOUNT_DRAIN,
                account_id,
                merchant_id=row["merchant_id"],
                before={"reason": row["drained_reason"]},
                after={"reason": reason, "by": by},
            )
        return True

    async def accounts(self, merchant_id: str | None = None) -> list[AccountListing]:
        """A merchant's accounts, or all."""
        return [self._listing(row) for row in await self._fetch(LIST, merchant_id)]

    async def account(self, account_id: str) -> AccountListing:
        """One account."""
        row = await self._row(ONE, account_id)
        if row is None:
            raise _unknown(account_id)
        return self._listing(row)

    async def replace_address(self, account_id: str, old: str, new: str) -> None:
        """Write `new` wherever the credentials' texts hold the address `old`:
        a channel moved to another host.
        """
        row = await self._row(ONE, account_id)
        if row is None:
            raise _unknown(account_id)
        plain = self._vault.open(row["sealed"], about=_about(row))
        await self.rotate_credentials(account_id, plain.replace(old.encode(), new.encode()))

    def _listing(self, row: asyncpg.Record) -> AccountListing:
        fields = {name: value for name, value in row.items() if name != "sealed"}
        credentials: dict[str, Any] = {}
        until: dict[str, datetime] = {}
        problem = ""
        try:
            manifest, struct = self._opened(row)
            credentials = shown(struct)
            until = usable_until(_certificates(manifest, struct))
        except (CredentialsInvalid, SecurityError, ValueError) as error:
            problem = str(error)
        return AccountListing(
            **fields,
            key_version=_version(row),
            credentials=credentials,
            problem=problem,
            usable_until=until,
        )

    def _opened(self, row: asyncpg.Record) -> tuple[Manifest, Any]:
        """Raises CredentialsInvalid and SecurityError."""
        manifest = self._manifests.get(row["channel"])
        if manifest is None:
            raise CredentialsInvalid(f"channel {row['channel']!r} is not installed")
        return manifest, decoded(manifest, self._vault.open(row["sealed"], about=_about(row)))

    def _readable(self, row: asyncpg.Record) -> dict[str, Any]:
        """For the audit log; a rotation may well replace what does not open."""
        try:
            return shown(self._opened(row)[1])
        except (CredentialsInvalid, SecurityError) as error:
            return {"problem": str(error)}


async def _locked(connection: Connection, account_id: str) -> asyncpg.Record:
    row: asyncpg.Record | None = await connection.fetchrow(LOCKED, account_id)
    if row is None:
        raise _unknown(account_id)
    return row


def _about(row: asyncpg.Record) -> About:
    return account_about(
        row["id"],
        merchant_id=row["merchant_id"],
        store_id=row["store_id"],
        channel=row["channel"],
    )


def _certificates(manifest: Manifest, credentials: Any) -> Sequence[Certificate]:
    if isinstance(manifest, RemoteManifest) and manifest.certificates is not None:
        return manifest.certificates(credentials)
    return ()


def _version(row: asyncpg.Record) -> int | None:
    try:
        return sealed_as(row["sealed"], about=_about(row)).version
    except SecurityError:
        return None


def _unknown(account_id: str) -> RegistryError:
    return RegistryError(
        f"there is no account {account_id}: `tillgate account list` shows what there is"
    )
