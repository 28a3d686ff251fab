"""What the directory reads: one small query for each kind of row.

Every query gives the rows that transaction `$1` or a later one has changed. Rows are never deleted
(keys are revoked, accounts disabled), so such a delta is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Final, TypeAlias

import asyncpg

from gateway.domain.holder import Holder, HolderKind
from gateway.limits import OLDER_WORKER_GONE_MS
from gateway.storage.books.heart import RULES, read_living

EVERYTHING: Final = "0"  # transaction 0 does not exist: every row changed after it

OLDEST_RUNNING = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"


@dataclass(frozen=True, slots=True)
class MerchantRow:
    """A tenant."""

    SQL: ClassVar = """SELECT id, disabled_at IS NOT NULL AS disabled
FROM merchant WHERE changed_xid >= $1::text::xid8"""

    id: str
    disabled: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "merchant", self.id

    @property
    def holder(self) -> Holder:
        """What keys belong to."""
        return Holder(HolderKind.MERCHANT, self.id, self.id)


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store of a merchant."""

    SQL: ClassVar = """SELECT merchant_id, id, overrides_allowed,
  disabled_at IS NOT NULL AS disabled
FROM store WHERE changed_xid >= $1::text::xid8"""

    merchant_id: str
    id: str
    overrides_allowed: bool
    disabled: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """What the same row has when it comes again; store ids are unique per merchant only."""
        return "store", self.merchant_id, self.id

    @property
    def holder(self) -> Holder:
        """As for a merchant."""
        return Holder(HolderKind.STORE, self.merchant_id, self.id)


@dataclass(frozen=True, slots=True)
class TerminalRow:
    """A till of a store."""

    SQL: ClassVar = """SELECT merchant_id, id, disabled_at IS NOT NULL AS disabled
FROM terminal WHERE changed_xid >= $1::text::xid8"""

    merchant_id: str
    id: str
    disabled: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "terminal", self.merchant_id, self.id

    @property
    def holder(self) -> Holder:
        """As for a merchant."""
        return Holder(HolderKind.TERMINAL, self.merchant_id, self.id)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of a till or of a merchant; `sealed` holds its secret."""

    SQL: ClassVar = """SELECT id, merchant_id, store_id, terminal_id, role, environment, sealed,
  revoked_at IS NOT NULL AS revoked, refund_max, refund_day_max
FROM api_key WHERE changed_xid >= $1::text::xid8"""

    id: str
    merchant_id: str
    store_id: str | None
    terminal_id: str | None
    role: str
    environment: str | None
    sealed: bytes
    revoked: bool
    refund_max: int | None
    refund_day_max: int | None

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "key", self.id


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A channel account; `sealed` holds its credentials."""

    SQL: ClassVar = """SELECT id, merchant_id, store_id, channel, priority, enabled, sealed,
  drained_reason AS drained
FROM channel_account WHERE changed_xid >= $1::text::xid8"""

    id: str
    merchant_id: str
    store_id: str | None
    channel: str
    priority: int
    enabled: bool
    sealed: bytes
    drained: str | None

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "account", self.id


@dataclass(frozen=True, slots=True)
class RestoredRow:
    """A time of "restored" mode: since `begun_at`, because the books lack what was after
    `lost_from`.
    """

    SQL: ClassVar = """SELECT id, lost_from, begun_at, ended_at IS NOT NULL AS ended
FROM restored WHERE changed_xid >= $1::text::xid8"""

    id: int
    lost_from: datetime
    begun_at: datetime
    ended: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "restored", str(self.id)


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """An endpoint that a merchant is told at."""

    SQL: ClassVar = """SELECT id, merchant_id, origin, enabled
FROM webhook_endpoint WHERE changed_xid >= $1::text::xid8"""

    id: str
    merchant_id: str
    origin: str
    enabled: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "webhook", self.id


@dataclass(frozen=True, slots=True)
class RulesRow:
    """The newest rule set of a store, or of a merchant; `rules` is its JSON."""

    SQL: ClassVar = """SELECT merchant_id, store_id, version, rules::text AS rules
FROM rule_set r WHERE changed_xid >= $1::text::xid8 AND NOT EXISTS (
    SELECT FROM rule_set n
    WHERE n.merchant_id = r.merchant_id AND coalesce(n.store_id, '') = coalesce(r.store_id, '')
      AND n.version > r.version
)"""

    merchant_id: str
    store_id: str | None
    version: int
    rules: str

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "rules", self.merchant_id, self.store_id or ""


@dataclass(frozen=True, slots=True)
class CutOffRow:
    """From a business day on, when the days of a store begin."""

    SQL: ClassVar = """SELECT merchant_id, store_id, since, begins_min
FROM cut_off WHERE changed_xid >= $1::text::xid8"""

    merchant_id: str
    store_id: str
    since: date
    begins_min: int

    @property
    def identity(self) -> tuple[str, ...]:
        """As for a store."""
        return "cut_off", self.merchant_id, self.store_id, self.since.isoformat()


HolderRow: TypeAlias = MerchantRow | StoreRow | TerminalRow
Row: TypeAlias = HolderRow | CutOffRow | KeyRow | AccountRow | RestoredRow | WebhookRow | RulesRow
KINDS: Final[tuple[type[Row], ...]] = (
    MerchantRow,
    StoreRow,
    TerminalRow,
    CutOffRow,
    KeyRow,
    AccountRow,
    RestoredRow,
    WebhookRow,
    RulesRow,
)


async def rules_of_every_worker(connection: asyncpg.Connection[Any]) -> frozenset[str]:
    """The `RULES` without a worker of a release that lacks them, one that stands still included."""
    workers = await read_living(connection, OLDER_WORKER_GONE_MS)
    return frozenset(rule for rule in RULES if all(each.knows_all({rule}) for each in workers))


async def changed_since(connection: asyncpg.Connection[Any], xmin: str) -> tuple[list[Row], str]:
    """The rows that `xmin` or a later transaction has changed, and where the next delta begins.

    That is the oldest transaction which still runs, asked for first: what it or a later one commits
    from then on has a `changed_xid` from there on, so the next delta sees it. Rows in the overlap
    come again and change nothing.
    """
    oldest = str(await connection.fetchval(OLDEST_RUNNING))
    rows = [
        kind(**dict(record)) for kind in KINDS for record in await connection.fetch(kind.SQL, xmin)
    ]
    return rows, oldest
