"""The in-memory snapshot of who may ask and over which accounts, refreshed by delta from Postgres.

What is read, and why a delta misses nothing, is `storage.directory_rows`'s. A row is remembered
only once it was taken: one that was not comes again, and until then the snapshot is not fresh.

It reads over a connection of its own: busy readers must not age the directory. Opening secrets and
building channels happens in a thread (`storage.ready_rows`); the event loop only swaps finished
entries in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import asyncpg

from adapters.channel import Manifest
from gateway.clock import Clock
from gateway.domain.days import CutOff, Days
from gateway.domain.errors import StoreUnavailable
from gateway.domain.holder import Holder
from gateway.domain.routing_rules import RuleSet
from gateway.domain.words import DayRule, Numbering
from gateway.flow.accounts import Account, LocalAccount, RemoteAccount, bill_days
from gateway.flow.ports import ApiKey
from gateway.limits import DIRECTORY_AGE_MS_MAX, DIRECTORY_REFRESH_MS
from gateway.storage.books.heart import DAYS_BY_SUCCESS, NUMBERING_BY_STORE
from gateway.storage.built_accounts import Built, BuiltAccounts
from gateway.storage.connections import REPLY_LOST, UNREACHABLE, connect, discard
from gateway.storage.directory_rows import (
    EVERYTHING,
    AccountRow,
    CutOffRow,
    KeyRow,
    MerchantRow,
    RestoredRow,
    Row,
    RulesRow,
    StoreRow,
    TerminalRow,
    WebhookRow,
    changed_since,
    rules_of_every_worker,
)
from gateway.storage.disabled_holders import DisabledHolders
from gateway.storage.ready_rows import Ready, ReadyRows
from gateway.telemetry.metrics import ACCOUNTS_LEFT_OUT, KEYS_LEFT_OUT, SNAPSHOT_AGE
from security.vault import Vault

log = logging.getLogger("tillgate.directory")

A = TypeVar("A", RemoteAccount, LocalAccount)
T = TypeVar("T")


class SnapshotDirectory:
    """`gateway.flow.ports.Directory` on PostgreSQL."""

    def __init__(
        self,
        dsn: str,
        *,
        vault: Vault,
        clock: Clock,
        accounts: BuiltAccounts,
        takes_test_keys: bool = True,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._built = accounts
        self._ready = ReadyRows(vault, accounts, takes_test_keys=takes_test_keys)
        self._connection: asyncpg.Connection[Any] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._xmin = EVERYTHING
        self._read_at: float | None = None
        self._agreed: frozenset[str] = frozenset()  # the rules that every living worker knows
        self._cut_offs: dict[tuple[str, str], dict[date, CutOff]] = {}  # by merchant and store
        self._bills = bill_days(accounts.manifests)
        self._days = Days(rule=DayRule.BY_OPENING)
        self._rows: dict[tuple[str, ...], Row] = {}
        self._stores: dict[tuple[str, str], StoreRow] = {}
        self._disabled = DisabledHolders()
        self._keys: dict[str, ApiKey] = {}
        self._accounts: dict[str, Account] = {}
        self._of_merchant: dict[str, dict[str, Account]] = {}
        self._remote: dict[str, tuple[RemoteAccount, ...]] = {}  # by merchant, by priority
        self._local: dict[str, tuple[LocalAccount, ...]] = {}
        self._rules: dict[tuple[str, str | None], RuleSet] = {}  # by merchant and store
        self._restored: dict[int, RestoredRow] = {}  # those that stand
        # By merchant: enabled webhook endpoint -> origin.
        self._endpoints: dict[str, dict[str, str]] = {}
        self._problems: dict[str, Ready] = {}

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
        await self._built.close()
        await discard(self._connection)

    # -- the port ----------------------------------------------------------------------------------

    def key(self, key_id: str) -> ApiKey | None:
        """See `Directory`."""
        return self._keys.get(key_id)

    def account(self, account_id: str) -> Account | None:
        """See `Directory`."""
        return self._accounts.get(account_id)

    def remote_account(self, account_id: str) -> RemoteAccount | None:
        """See `Directory`."""
        account = self._accounts.get(account_id)
        return account if isinstance(account, RemoteAccount) else None

    def remote_accounts(self, merchant_id: str) -> Sequence[RemoteAccount]:
        """See `Directory`."""
        return self._remote.get(merchant_id, ())

    def local_accounts(self, merchant_id: str) -> Sequence[LocalAccount]:
        """See `Directory`."""
        return self._local.get(merchant_id, ())

    def disabled(
        self, merchant_id: str, store_id: str | None, terminal_id: str | None = None
    ) -> Holder | None:
        """See `Directory`."""
        return self._disabled.widest(merchant_id, store_id, terminal_id)

    def store_exists(self, merchant_id: str, store_id: str) -> bool:
        """See `Directory`."""
        return (merchant_id, store_id) in self._stores

    def numbering(self) -> Numbering:
        """See `Directory`."""
        by_store = NUMBERING_BY_STORE in self._agreed
        return Numbering.BY_STORE if by_store else Numbering.BY_MERCHANT

    def days(self) -> Days:
        """See `Directory`."""
        return self._days

    def overrides_allowed(self, merchant_id: str, store_id: str) -> bool:
        """See `Directory`."""
        store = self._stores.get((merchant_id, store_id))
        return store is not None and store.overrides_allowed

    def rules(self, merchant_id: str, store_id: str) -> RuleSet | None:
        """See `Directory`."""
        own = self._rules.get((merchant_id, store_id))
        return own if own is not None and own.rules else self._rules.get((merchant_id, None))

    def webhook_origins(self, merchant_id: str) -> frozenset[str]:
        """See `Directory`."""
        return frozenset(self._endpoints.get(merchant_id, {}).values())

    def restored_from(self) -> datetime | None:
        """See `Directory`."""
        return min((row.lost_from for row in self._restored.values()), default=None)

    def restored_at(self) -> datetime | None:
        """See `Directory`."""
        return max((row.begun_at for row in self._restored.values()), default=None)

    def manifests(self) -> Mapping[str, Manifest]:
        """See `Directory`."""
        return self._built.manifests

    def fresh(self) -> bool:
        """See `Directory`; counted from before the snapshot was asked for."""
        return self._read_at is not None and self._age_s() * 1000 <= DIRECTORY_AGE_MS_MAX

    @property
    def problems(self) -> Mapping[str, str]:
        """Rows that are left out, each with what is wrong."""
        return {row_id: ready.problem for row_id, ready in self._problems.items()}

    @property
    def unopened(self) -> Sequence[str]:
        """The keys and accounts that another process may be able to open: sealed under a master key
        or in a form that this one lacks; all that are left out, when not one key opens here.

        A row that is broken for everybody is not among them: no other worker would do better.
        """
        lacking = [row_id for row_id, ready in self._problems.items() if ready.lacks]
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
        async with self._one_at_a_time:  # there is one connection
            await self._refresh()

    async def _refresh(self) -> None:
        asked_at = self._clock.monotonic()
        rows, xmin = await self._delta(self._xmin)
        agreed = await self._asked(rules_of_every_worker)
        if int(xmin) < int(self._xmin):
            # A restored or other server: its history is not the one we followed.
            rows, xmin = await self._delta(EVERYTHING)
            self._forget_all_but(rows)
        changed = [row for row in rows if self._rows.get(row.identity) != row]
        before = [self._rows.get(row.identity) for row in changed]
        ready = await asyncio.to_thread(self._ready.made, changed) if changed else []
        for each in ready:
            self._take(each)
        self._rank({row.merchant_id for row in (*before, *changed) if isinstance(row, AccountRow)})
        self._days = self._days_now(agreed)
        self._xmin, self._read_at, self._agreed = xmin, asked_at, agreed

    async def _delta(self, xmin: str) -> tuple[list[Row], str]:
        return await self._asked(lambda connection: changed_since(connection, xmin))

    async def _asked(self, ask: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn)
            return await ask(self._connection)
        except (*UNREACHABLE, *REPLY_LOST, asyncpg.PostgresError) as error:
            await discard(self._connection)
            self._connection = None
            raise StoreUnavailable from error

    # -- taking over (on the loop) -----------------------------------------------------------------

    def _take(self, ready: Ready) -> None:
        match ready:
            case Ready(row=MerchantRow() | TerminalRow() as row):
                self._disabled.take(row)
            case Ready(row=StoreRow() as row):
                self._stores[row.merchant_id, row.id] = row
                self._disabled.take(row)
            case Ready(row=CutOffRow() as row):
                of_store = self._cut_offs.setdefault((row.merchant_id, row.store_id), {})
                of_store[row.since] = CutOff(row.since, timedelta(minutes=row.begins_min))
            case Ready(row=KeyRow() as row, made=ApiKey() as key):
                self._keys[row.id] = key
            case Ready(row=KeyRow() as row):
                self._keys.pop(row.id, None)
            case Ready(row=AccountRow() as row, made=made):
                self._take_account(row, made if isinstance(made, Built) else None)
            case Ready(row=RestoredRow() as row):
                self._take_restored(row)
            case Ready(row=WebhookRow() as row) if row.enabled:
                self._endpoints.setdefault(row.merchant_id, {})[row.id] = row.origin
            case Ready(row=WebhookRow() as row):
                self._endpoints.get(row.merchant_id, {}).pop(row.id, None)
            case Ready(row=RulesRow() as row, made=RuleSet() as rules):
                self._rules[row.merchant_id, row.store_id] = rules
            case Ready(row=RulesRow()):
                pass  # unreadable: the rules that stood before go on
        self._note(ready)
        self._rows[ready.row.identity] = ready.row  # last: it was taken

    def _take_account(self, row: AccountRow, built: Built | None) -> None:
        self._built.keep(row.id, built)
        known = self._rows.get(row.identity)
        if isinstance(known, AccountRow):  # given to another merchant, it is served for neither
            self._of_merchant[known.merchant_id].pop(row.id, None)
        mine = self._of_merchant.setdefault(row.merchant_id, {})
        if built is None:
            self._accounts.pop(row.id, None)
        else:
            self._accounts[row.id] = mine[row.id] = built.account

    def _take_restored(self, row: RestoredRow) -> None:
        self._restored.pop(row.id, None)
        if row.ended:
            log.info("restored mode has ended")
            return
        self._restored[row.id] = row
        log.warning(
            "restored mode stands: channels are asked before anything is opened; "
            "what happened after %s may be lost",
            row.lost_from,
        )

    def _forget_all_but(self, rows: Iterable[Row]) -> None:
        """What another server's books do not hold exists no more: its key signs nothing.

        "Restored" mode stays until its own row says that it has ended.
        """
        there = {row.identity for row in rows}
        for identity, row in list(self._rows.items()):
            if identity in there:
                continue
            match row:
                case MerchantRow() | TerminalRow():
                    self._disabled.forget(row)
                case StoreRow():
                    self._stores.pop((row.merchant_id, row.id), None)
                    self._disabled.forget(row)
                case CutOffRow():
                    self._cut_offs[row.merchant_id, row.store_id].pop(row.since, None)
                case KeyRow():
                    self._keys.pop(row.id, None)
                case AccountRow():
                    self._take_account(row, None)
                    self._rank({row.merchant_id})
                case WebhookRow():
                    self._endpoints.get(row.merchant_id, {}).pop(row.id, None)
                case RulesRow():
                    self._rules.pop((row.merchant_id, row.store_id), None)
                case RestoredRow():
                    continue
            del self._rows[identity]

    def _note(self, ready: Ready) -> None:
        """Keep what is wrong for `doctor`, and tell the log once per change."""
        kind, *names = ready.row.identity
        name = "/".join(names)
        was = self._problems.pop(name, None)
        if ready.problem:
            self._problems[name] = ready
            log.error("%s %s cannot be used and is left out: %s", kind, name, ready.problem)
        elif was is not None:
            log.info("%s %s can be used again", kind, name)
        left_out = [each.row for each in self._problems.values()]
        match ready.row:
            case KeyRow():
                KEYS_LEFT_OUT.set(sum(isinstance(row, KeyRow) for row in left_out))
            case AccountRow(channel=channel):
                known = channel if channel in self.manifests() else "unknown"
                ACCOUNTS_LEFT_OUT.labels(known).set(
                    sum(isinstance(row, AccountRow) and row.channel == channel for row in left_out)
                )

    def _rank(self, merchants: Iterable[str]) -> None:
        for merchant_id in merchants:
            mine = self._of_merchant[merchant_id].values()
            self._remote[merchant_id] = _by_priority(
                each for each in mine if isinstance(each, RemoteAccount)
            )
            self._local[merchant_id] = _by_priority(
                each for each in mine if isinstance(each, LocalAccount)
            )

    def _days_now(self, agreed: frozenset[str]) -> Days:
        return Days(
            cut_offs={
                store: tuple(each for _, each in sorted(of_store.items()))
                for store, of_store in self._cut_offs.items()
            },
            bills=self._bills,
            rule=DayRule.BY_SUCCESS if DAYS_BY_SUCCESS in agreed else DayRule.BY_OPENING,
        )

    def _age_s(self) -> float:
        """Seconds since the snapshot was asked for; without one, just over the bound."""
        if self._read_at is None:
            return DIRECTORY_AGE_MS_MAX / 1000 + 1
        return self._clock.monotonic() - self._read_at


def _by_priority(accounts: Iterable[A]) -> tuple[A, ...]:
    return tuple(sorted(accounts, key=lambda account: (account.priority, account.id)))
