"""The in-memory snapshot of who may ask and over which accounts, refreshed by delta from Postgres.

One statement returns the rows changed since the previous snapshot *and* the new snapshot's xmin:
everything an older, still running transaction will commit has `changed_xid` at or above that xmin,
so the next delta sees it. Rows in the overlap come again and change nothing. Rows are never deleted
(keys are revoked, accounts disabled), so a delta is enough.

It reads over a connection of its own: busy readers must not age the directory. Opening secrets and
reading RSA keys takes milliseconds a row and happens in a thread; the event loop only swaps
finished entries in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import asyncpg
import msgspec

from adapters.channel import Manifest
from adapters.transport import ChannelTransport
from gateway.clock import Clock
from gateway.domain.errors import StoreUnavailable
from gateway.domain.routing_rules import RuleFile, RuleSet
from gateway.flow.ports import Account, ApiKey
from gateway.limits import (
    CALL_TIMEOUT_MS,
    DIRECTORY_AGE_MS_MAX,
    DIRECTORY_REFRESH_MS,
    SEND_DEADLINE_MS,
)
from gateway.storage.connections import REPLY_LOST, UNREACHABLE, connect, discard
from gateway.storage.registries.credentials import (
    account_about,
    decoded,
    key_about,
    profile_of,
    refuse_unsafe_addresses,
)
from gateway.telemetry.metrics import ACCOUNTS_LEFT_OUT, KEYS_LEFT_OUT, SNAPSHOT_AGE
from security.errors import NotOpenedHere
from security.key_material import KeyEnvironment
from security.redaction import redact
from security.secret import Secret
from security.vault import About, Vault

log = logging.getLogger("tillgate.directory")

EVERYTHING = "0"  # transaction 0 does not exist: every row changed after it
# Whoever was given a replaced account has finished its call by then.
OLD_CALLS_END_S = (SEND_DEADLINE_MS + CALL_TIMEOUT_MS) / 1000

DELTA = """
SELECT 'snapshot' AS kind, pg_snapshot_xmin(pg_current_snapshot())::text AS id, '' AS merchant_id,
       NULL AS store_id, NULL AS terminal_id, '' AS label, 0 AS priority, true AS live,
       ''::bytea AS sealed, NULL AS drained
UNION ALL
SELECT 'store', id, merchant_id, NULL, NULL, '', 0, true, '', NULL
FROM store WHERE changed_xid >= $1::text::xid8
UNION ALL
SELECT 'key', id, merchant_id, store_id, terminal_id, role, 0, revoked_at IS NULL, sealed,
       environment
FROM api_key WHERE changed_xid >= $1::text::xid8
UNION ALL
SELECT 'account', id, merchant_id, store_id, NULL, channel, priority, enabled, sealed,
       drained_reason
FROM channel_account WHERE changed_xid >= $1::text::xid8
UNION ALL
SELECT 'restored', id::text, '', NULL, NULL, lost_from::text || '/' || begun_at::text, 0,
       ended_at IS NULL, '', NULL
FROM restored WHERE changed_xid >= $1::text::xid8
UNION ALL
SELECT 'webhook', id, merchant_id, NULL, NULL, origin, 0, enabled, '', NULL
FROM webhook_endpoint WHERE changed_xid >= $1::text::xid8
UNION ALL
SELECT 'rules', merchant_id || '/' || coalesce(store_id, ''), merchant_id, store_id, NULL,
       rules::text, version, true, '', NULL
FROM rule_set r WHERE changed_xid >= $1::text::xid8 AND NOT EXISTS (
    SELECT FROM rule_set n
    WHERE n.merchant_id = r.merchant_id AND coalesce(n.store_id, '') = coalesce(r.store_id, '')
      AND n.version > r.version
)
"""


class Transport(ChannelTransport, Protocol):
    """A channel's transport that can be closed."""

    async def aclose(self) -> None:
        """Close its connections."""
        ...


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the delta; `label` is a key's role, an account's channel, an endpoint's origin or
    the text of a rule set; `drained` an account's reason, or a key's environment.
    """

    kind: str
    id: str
    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    label: str
    priority: int
    live: bool
    sealed: bytes
    drained: str | None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A row that was made usable; `thing` is None when it could not be, and `problem` says why.

    `lacks`: this process is not equipped to open it, another one may be.
    """

    row: _Row
    thing: ApiKey | Account | RuleSet | None
    transport: Transport | None = None
    problem: str = ""
    lacks: bool = False


class SnapshotDirectory:
    """`gateway.flow.ports.Directory` on PostgreSQL.

    `new_transport` makes one transport for one account. `public_url`: where channels reach us
    (None: no callbacks are asked for).
    """

    def __init__(
        self,
        dsn: str,
        *,
        vault: Vault,
        clock: Clock,
        manifests: Mapping[str, Manifest],
        new_transport: Callable[[], Transport],
        public_url: str | None = None,
        allow_loopback_channels: bool = False,
        takes_test_keys: bool = True,
    ) -> None:
        self._dsn = dsn
        self._vault = vault
        self._clock = clock
        self._manifests = manifests
        self._new_transport = new_transport
        self._public_url = public_url
        self._allow_loopback = allow_loopback_channels
        self._takes_test_keys = takes_test_keys
        self._connection: asyncpg.Connection[Any] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._xmin = EVERYTHING
        self._read_at: float | None = None
        self._rows: dict[tuple[str, str], _Row] = {}
        self._stores: set[tuple[str, str]] = set()
        self._keys: dict[str, ApiKey] = {}
        self._accounts: dict[str, Account] = {}
        self._of_merchant: dict[str, dict[str, Account]] = {}
        self._rules: dict[tuple[str, str | None], RuleSet] = {}  # by merchant and store
        # While "restored" mode stands: from when the books lack something, its begin.
        self._restored: dict[str, list[datetime]] = {}
        # By merchant: enabled webhook endpoint -> origin.
        self._endpoints: dict[str, dict[str, str]] = {}
        self._ranked: dict[str, tuple[Account, ...]] = {}
        self._transports: dict[str, Transport] = {}
        self._problems: dict[str, _Problem] = {}

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read everything and keep it fresh.

        Works before Postgres does: then it is empty and not `fresh()`.
        """
        await self._try_refresh()
        self._refreshing = asyncio.create_task(self._keep_fresh(), name="directory")

    async def close(self) -> None:
        """Stop refreshing and close all transports; calls under way on them are cut."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refreshing
        for closing in tuple(self._closing):
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()
        await discard(self._connection)

    # -- the port ----------------------------------------------------------------------------------

    def key(self, key_id: str) -> ApiKey | None:
        """See `Directory`."""
        return self._keys.get(key_id)

    def account(self, account_id: str) -> Account | None:
        """See `Directory`."""
        return self._accounts.get(account_id)

    def accounts(self, merchant_id: str) -> Sequence[Account]:
        """See `Directory`."""
        return self._ranked.get(merchant_id, ())

    def store_exists(self, merchant_id: str, store_id: str) -> bool:
        """See `Directory`."""
        return (merchant_id, store_id) in self._stores

    def rules(self, merchant_id: str, store_id: str) -> RuleSet | None:
        """See `Directory`."""
        own = self._rules.get((merchant_id, store_id))
        return own if own is not None and own.rules else self._rules.get((merchant_id, None))

    def webhook_origins(self, merchant_id: str) -> frozenset[str]:
        """See `Directory`."""
        return frozenset(self._endpoints.get(merchant_id, {}).values())

    def restored_from(self) -> datetime | None:
        """See `Directory`."""
        return min((lost_from for lost_from, _ in self._restored.values()), default=None)

    def restored_at(self) -> datetime | None:
        """See `Directory`."""
        return max((begun_at for _, begun_at in self._restored.values()), default=None)

    def manifests(self) -> Mapping[str, Manifest]:
        """See `Directory`."""
        return self._manifests

    def fresh(self) -> bool:
        """See `Directory`; counted from before the snapshot was asked for."""
        return self._read_at is not None and self._age_s() * 1000 <= DIRECTORY_AGE_MS_MAX

    @property
    def problems(self) -> Mapping[str, str]:
        """Accounts and keys that are left out, each with what is wrong."""
        return {row_id: problem.text for row_id, problem in self._problems.items()}

    @property
    def unopened(self) -> Sequence[str]:
        """The keys and accounts that another process may be able to open: sealed under a master key
        or in a form that this one lacks; all that are left out, when not one key opens here.

        A row that is broken for everybody is not among them: no other worker would do better.
        """
        lacking = [row_id for row_id, problem in self._problems.items() if problem.lacks]
        return lacking or (list(self._problems) if not self._keys else [])

    # -- refreshing --------------------------------------------------------------------------------

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(DIRECTORY_REFRESH_MS / 1000)
            await self._try_refresh()

    async def _try_refresh(self) -> None:
        """One missed refresh is not an outage, and no failure of one may end the task
        that makes the next.
        """
        try:
            await self.refresh()
        except StoreUnavailable as failure:
            log.warning("the directory could not be refreshed: %r", failure.__cause__)
        except Exception:
            log.exception("the directory could not be refreshed")
        SNAPSHOT_AGE.set(self._age_s())

    async def refresh(self) -> None:
        """Read the delta and take it over. Raises StoreUnavailable."""
        asked_at = self._clock.monotonic()
        rows, xmin = await self._delta()
        # A restored or other server: its history is not the one we followed.
        if int(xmin) < int(self._xmin):
            self._xmin = EVERYTHING
            rows, xmin = await self._delta()
        changed = [row for row in rows if self._rows.get((row.kind, row.id)) != row]
        ready = await asyncio.to_thread(self._made_ready, changed) if changed else []
        rows = [each.row for each in ready if each.row.kind == "account"]
        # A row that was given to another merchant is served for neither.
        rows += [known for row in rows if (known := self._rows.get((row.kind, row.id)))]
        for each in ready:
            self._take(each)
        self._rank({row.merchant_id for row in rows})
        self._xmin, self._read_at = xmin, asked_at

    async def _delta(self) -> tuple[list[_Row], str]:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn)
            records = await self._connection.fetch(DELTA, self._xmin)
        except (*UNREACHABLE, *REPLY_LOST, asyncpg.PostgresError) as error:
            await discard(self._connection)
            self._connection = None
            raise StoreUnavailable from error
        rows = [_Row(**dict(record)) for record in records if record["kind"] != "snapshot"]
        return rows, next(record["id"] for record in records if record["kind"] == "snapshot")

    # -- making rows usable (in a thread) ----------------------------------------------------------

    def _made_ready(self, rows: Iterable[_Row]) -> list[_Ready]:
        return [self._made_ready_one(row) for row in rows]

    def _made_ready_one(self, row: _Row) -> _Ready:
        """One broken row is left out and reported; the others are nobody's hostage."""
        try:
            match row.kind:
                case "key":
                    return _Ready(row, self._key(row))
                case "account":
                    return self._account(row)
                case "rules":
                    return _Ready(
                        row,
                        RuleSet(
                            version=row.priority,
                            rules=msgspec.json.decode(row.label, type=RuleFile).rules,
                        ),
                    )
                case _:
                    return _Ready(row, None)
        except Exception as error:  # noqa: BLE001  a channel's builder may raise anything
            problem = redact(f"{type(error).__name__}: {error}")
            return _Ready(row, None, None, problem, isinstance(error, NotOpenedHere))

    def _key(self, row: _Row) -> ApiKey:
        about = key_about(
            row.id,
            merchant_id=row.merchant_id,
            store_id=row.store_id,
            terminal_id=row.terminal_id,
            role=row.label,
            environment=row.drained,
        )
        return ApiKey(
            id=row.id,
            merchant_id=row.merchant_id,
            store_id=row.store_id,
            terminal_id=row.terminal_id,
            role=row.label,
            secret=Secret(self._vault.open(row.sealed, about=about).decode()),
            revoked=not row.live,
            misplaced=row.drained == KeyEnvironment.TEST and not self._takes_test_keys,
        )

    def _account(self, row: _Row) -> _Ready:
        before, known = self._accounts.get(row.id), self._rows.get(("account", row.id))
        about = _account_about(row)
        # Whose it is and where it serves is under the seal: only its place is taken as it stands.
        if (
            before is not None
            and known is not None
            and (known.sealed, _account_about(known)) == (row.sealed, about)
        ):
            placed = replace(
                before,
                priority=row.priority,
                enabled=row.live,
                drained=row.drained,
            )
            return _Ready(row, placed, self._transports.get(row.id))
        manifest = self._manifests.get(row.label)
        if manifest is None:
            raise LookupError(
                f"channel {row.label!r} is not installed here; "
                f"there are {', '.join(sorted(self._manifests))}"
            )
        credentials = decoded(manifest, self._vault.open(row.sealed, about=about))
        refuse_unsafe_addresses(credentials, allow_loopback=self._allow_loopback)
        is_local = manifest.settles == "local"
        transport = None if is_local else self._new_transport()
        built = (
            manifest.build(None, None, None)
            if is_local
            else manifest.build(credentials, transport, self._clock)
        )
        account = Account(
            id=row.id,
            merchant_id=row.merchant_id,
            store_id=row.store_id,
            priority=row.priority,
            enabled=row.live,
            profile=profile_of(credentials),
            manifest=manifest,
            channel=None if is_local else built,
            local=built if is_local else None,
            notify_url=self._notify_url(row.id, credentials),
            drained=row.drained,
        )
        return _Ready(row, account, transport)

    def _notify_url(self, account_id: str, credentials: Any) -> str | None:
        own: str | None = getattr(credentials, "notify_url", None)
        if own is not None or credentials is None or self._public_url is None:
            return own
        return f"{self._public_url}/callbacks/{account_id}"

    # -- taking over (on the loop) -----------------------------------------------------------------

    def _take(self, ready: _Ready) -> None:
        row = ready.row
        known = self._rows.get((row.kind, row.id))
        if known is not None and row.kind == "account":
            self._of_merchant.get(known.merchant_id, {}).pop(row.id, None)
        self._rows[row.kind, row.id] = row
        match ready.thing:
            case ApiKey() as key:
                self._keys[row.id] = key
            case Account() as account:
                self._accounts[row.id] = account
                self._of_merchant.setdefault(row.merchant_id, {})[row.id] = account
            case RuleSet() as rules:
                self._rules[row.merchant_id, row.store_id] = rules
            case None if row.kind == "store":
                self._stores.add((row.merchant_id, row.id))
            case None if row.kind == "restored":
                self._note_restored(row)
            case None if row.kind == "webhook" and row.live:
                self._endpoints.setdefault(row.merchant_id, {})[row.id] = row.label
            case None if row.kind == "webhook":
                self._endpoints.get(row.merchant_id, {}).pop(row.id, None)
            case None:
                self._keys.pop(row.id, None)
                self._accounts.pop(row.id, None)
                self._of_merchant.get(row.merchant_id, {}).pop(row.id, None)
        self._note(row, ready.problem, lacks=ready.lacks)
        if row.kind == "account":
            self._swap_transport(row.id, ready.transport)

    def _note_restored(self, row: _Row) -> None:
        self._restored.pop(row.id, None)
        if row.live:
            lost_from, *_ = self._restored[row.id] = [
                datetime.fromisoformat(each) for each in row.label.split("/")
            ]
            log.warning(
                "restored mode stands: channels are asked before anything is opened; "
                "what happened after %s may be lost",
                lost_from,
            )
        else:
            log.info("restored mode has ended")

    def _note(self, row: _Row, problem: str, *, lacks: bool) -> None:
        """Keep what is wrong for `doctor`, and tell the log once per change."""
        was = self._problems.pop(row.id, None)
        if problem:
            self._problems[row.id] = _Problem(row.kind, row.label, problem, lacks)
            log.error(
                "%s %s of merchant %s cannot be used and is left out: %s",
                row.kind,
                row.id,
                row.merchant_id,
                problem,
            )
        elif was is not None:
            log.info("%s %s can be used again", row.kind, row.id)
        alike = [each for each in self._problems.values() if each.kind == row.kind]
        if row.kind == "key":
            KEYS_LEFT_OUT.set(len(alike))
        if row.kind == "account":
            channel = row.label if row.label in self._manifests else "unknown"
            ACCOUNTS_LEFT_OUT.labels(channel).set(sum(each.label == row.label for each in alike))

    def _rank(self, merchants: Iterable[str]) -> None:
        for merchant_id in merchants:
            mine = self._of_merchant.get(merchant_id, {}).values()
            self._ranked[merchant_id] = tuple(
                sorted(mine, key=lambda account: (account.priority, account.id))
            )

    def _swap_transport(self, account_id: str, new: Transport | None) -> None:
        old = self._transports.pop(account_id, None)
        if new is not None:
            self._transports[account_id] = new
        if old is not None and old is not new:
            closing = asyncio.create_task(_close_later(old), name=f"close {account_id}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _age_s(self) -> float:
        """Seconds since the snapshot was asked for; without one, just over the bound."""
        if self._read_at is None:
            return DIRECTORY_AGE_MS_MAX / 1000 + 1
        return self._clock.monotonic() - self._read_at


class _Problem(NamedTuple):
    kind: str
    label: str
    text: str
    lacks: bool


def _account_about(row: _Row) -> About:
    return account_about(
        row.id, merchant_id=row.merchant_id, store_id=row.store_id, channel=row.label
    )


async def _close_later(transport: Transport) -> None:
    """Calls under way were given this transport: they may finish on it."""
    try:
        await asyncio.sleep(OLD_CALLS_END_S)
    finally:
        await transport.aclose()
