"""Routing rules, written and tried.

A version is never changed; every worker follows the newest within one refresh of its directory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from adapters.channel import Flow, Manifest
from gateway.domain.audit import Act, AskedBy
from gateway.domain.routing_rules import RuleFile
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering
from gateway.flow.choose.rule_check import Findings, Known, check
from gateway.flow.choose.rule_trial import Made
from gateway.limits import ROUTING_RULES_BYTES_MAX
from gateway.storage.registries.acts import Acting, RegistryError

PAGE_ROWS: Final = 500  # of a dry run: each page is one short read

_COLUMNS = "store_id, version, rules::text AS rules, created_at, created_by"
HISTORY = f"""SELECT {_COLUMNS} FROM rule_set
WHERE merchant_id = $1 AND coalesce(store_id, '') = coalesce($2, '')
ORDER BY version DESC"""
NEWEST = f"{HISTORY} LIMIT 1"
# Two people at once: the unique index lets one of them win, and the other hears of it.
WRITE = """INSERT INTO rule_set (merchant_id, store_id, version, rules, created_by)
SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4 FROM rule_set
WHERE merchant_id = $1 AND coalesce(store_id, '') = coalesce($2, '')
RETURNING version"""
ACCOUNTS = "SELECT id, merchant_id, channel, store_id FROM channel_account"
PLACES = (
    "SELECT EXISTS (SELECT FROM merchant WHERE id = $1) AS merchant, "
    "EXISTS (SELECT FROM store WHERE merchant_id = $1 AND id = $2) AS store"
)
# Newest first, by the index of the list; each page goes on where the last one ended, so nothing is
# locked or held.
PAYMENTS = """SELECT p.id, p.merchant_id, p.store_id, p.order_no, p.tender_no, p.amount, p.currency,
  p.channel, p.flow, p.numbering, p.created_at, a.channel_account
FROM payment p
JOIN attempt a ON a.payment_id = p.id AND a.number = 1 AND a.merchant_id = p.merchant_id
WHERE p.merchant_id = $1 AND p.amount > 0 AND p.created_at >= $2 AND (p.created_at, p.id) < ($3, $4)
  AND ($5::text IS NULL OR p.store_id = $5)
ORDER BY p.created_at DESC, p.id DESC LIMIT $6"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVersion:
    """One version; `rules` as it was written."""

    store_id: str | None
    version: int
    rules: str
    created_at: datetime
    created_by: str


class RuleRegistry(Acting):
    """Rule sets on PostgreSQL."""

    def __init__(
        self, pool: asyncpg.Pool[Any], manifests: Mapping[str, Manifest], *, asked_by: AskedBy
    ) -> None:
        super().__init__(pool, asked_by=asked_by)
        self._manifests = manifests

    async def newest(self, merchant_id: str, store_id: str | None) -> RuleVersion | None:
        """What is followed now."""
        row = await self._row(NEWEST, merchant_id, store_id)
        return RuleVersion(**dict(row)) if row is not None else None

    async def history(self, merchant_id: str, store_id: str | None) -> list[RuleVersion]:
        """Every version, newest first."""
        return [
            RuleVersion(**dict(row)) for row in await self._fetch(HISTORY, merchant_id, store_id)
        ]

    async def write(
        self, merchant_id: str, store_id: str | None, text: bytes, by: str
    ) -> tuple[int, tuple[str, ...]]:
        """A new version: its number, and what may not have been meant.

        Raises RegistryError with everything that is wrong.
        """
        written = rules_of(text)
        findings = await self.findings(merchant_id, store_id, written)
        if findings.errors:
            raise RegistryError(
                "the rules cannot be used:\n" + "\n".join(f"- {error}" for error in findings.errors)
            )
        rules = msgspec.json.encode(written).decode()
        async with self._acting(f"the rules of {store_id or merchant_id}") as connection:
            try:
                async with connection.transaction():
                    version = await connection.fetchval(WRITE, merchant_id, store_id, rules, by)
            except asyncpg.UniqueViolationError:
                raise RegistryError(
                    "another person wrote a new version at the same moment: "
                    "look at it, then try again"
                ) from None
            await self._record(
                connection,
                Act.ROUTING_SET,
                f"rule_set/{store_id or merchant_id}/{version}",
                merchant_id=merchant_id,
                after={"store_id": store_id, "version": version, "by": by},
            )
        return version, findings.warnings

    async def findings(self, merchant_id: str, store_id: str | None, written: RuleFile) -> Findings:
        """What is wrong with it, against the accounts there are."""
        exists = await self._row(PLACES, merchant_id, store_id)
        assert exists is not None
        if not exists["merchant"]:
            raise RegistryError(
                f"there is no merchant {merchant_id}: `tillgate merchant list` shows what there is"
            )
        if store_id is not None and not exists["store"]:
            raise RegistryError(
                f"merchant {merchant_id} has no store {store_id}: "
                f"`tillgate store list {merchant_id}` shows what there is"
            )
        accounts = {
            row["id"]: Known(row["merchant_id"], row["channel"], row["store_id"])
            for row in await self._fetch(ACCOUNTS)
        }
        return check(written.rules, merchant_id, store_id, accounts, self._manifests)

    async def paid_before(
        self, merchant_id: str, since: datetime, until: datetime, store_id: str | None = None
    ) -> AsyncIterator[list[Made]]:
        """Payments created in [since, until), newest first, a page at a time."""
        edge: tuple[datetime, str] = (until, "")
        while True:
            rows = await self._fetch(PAYMENTS, merchant_id, since, *edge, store_id, PAGE_ROWS)
            page = [_made(row) for row in rows]
            if page:
                yield page
            if len(page) < PAGE_ROWS:
                return
            edge = (page[-1].created_at, page[-1].id)


def _made(row: asyncpg.Record) -> Made:
    return Made(
        id=row["id"],
        tender=Tender(
            **{
                name: row[name]
                for name in Tender.__struct_fields__
                if name not in ("flow", "numbering")
            },
            flow=Flow(row["flow"]),
            numbering=Numbering(row["numbering"]),
        ),
        created_at=row["created_at"],
        channel_account=row["channel_account"],
    )


def rules_of(text: bytes) -> RuleFile:
    """A rule file, decoded. Raises RegistryError that says where it is wrong."""
    if len(text) > ROUTING_RULES_BYTES_MAX:
        raise RegistryError(f"a rule set has at most {ROUTING_RULES_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(text, type=RuleFile)
    except msgspec.ValidationError as error:
        raise RegistryError(f"the rules cannot be read: {error}") from None
    except msgspec.DecodeError as error:
        raise RegistryError(f"the rules are not JSON: {error}") from None
