"""`tillgate rekey`: every stored secret sealed anew, under the newest master key and bound to all
the rights of its row.

A row is written only while it is as it was read, so a rotation of the secret itself is never
undone. One that cannot be opened stays as it is and is named; it does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import asyncpg

from gateway.domain.audit import Act
from gateway.limits import REKEY_BATCH_ROWS
from gateway.storage.books.heart import LivingWorker, read_living
from gateway.storage.registries.acts import RegistryError
from gateway.storage.registries.credentials import (
    KEY_RIGHTS,
    account_about,
    key_about,
    webhook_about,
)
from gateway.storage.registries.sealing import SealingRegistry
from security.errors import SecurityError
from security.vault import About


class _Table(NamedTuple):
    """`at`: the columns that name a row, after the new and the old value in `write`."""

    name: str
    at: tuple[str, ...]
    read: str
    write: str
    about: Callable[[asyncpg.Record], About]


def _key(row: asyncpg.Record) -> About:
    return key_about(row["id"], **{name: row[name] for name in KEY_RIGHTS})


def _account(row: asyncpg.Record) -> About:
    rights = ("merchant_id", "store_id", "channel")
    return account_about(row["id"], **{name: row[name] for name in rights})


def _webhook(row: asyncpg.Record) -> About:
    return webhook_about(row["endpoint_id"], row["number"], merchant_id=row["merchant_id"])


TABLES: Final = (
    _Table(
        "api_key",
        ("id",),
        f"SELECT id, {', '.join(KEY_RIGHTS)}, sealed FROM api_key ORDER BY id",
        "UPDATE api_key SET sealed = $1 WHERE sealed = $2 AND id = $3 RETURNING true",
        _key,
    ),
    _Table(
        "channel_account",
        ("id",),
        "SELECT id, merchant_id, store_id, channel, sealed FROM channel_account ORDER BY id",
        "UPDATE channel_account SET sealed = $1 WHERE sealed = $2 AND id = $3 RETURNING true",
        _account,
    ),
    _Table(
        "webhook_secret",
        ("endpoint_id", "number"),
        "SELECT endpoint_id, number, merchant_id, sealed FROM webhook_secret "
        "ORDER BY endpoint_id, number",
        "UPDATE webhook_secret SET sealed = $1 "
        "WHERE sealed = $2 AND endpoint_id = $3 AND number = $4 RETURNING true",
        _webhook,
    ),
)


@dataclass(slots=True)
class Rekeyed:
    """What came of it. `broken`: why a value does not open, for each that does not."""

    resealed: int = 0
    already: int = 0
    broken: list[str] = field(default_factory=list)


class Rekeying(SealingRegistry):
    """Safe to repeat, and to run beside the service."""

    async def rekey(self) -> Rekeyed:
        """Raises RegistryError while a worker lives that could not open the result."""
        async with self._acting("worker") as connection:
            workers = await read_living(connection)
        if self._vault.agreed(worker.knows for worker in workers) != self._vault.newest:
            raise RegistryError(_too_early(workers, self._vault.knows))
        done = Rekeyed()
        for table in TABLES:
            rows = await self._fetch(table.read)
            for start in range(0, len(rows), REKEY_BATCH_ROWS):
                await self._rekey(table, rows[start : start + REKEY_BATCH_ROWS], done)
        return done

    async def _rekey(self, table: _Table, rows: Sequence[asyncpg.Record], done: Rekeyed) -> None:
        resealed = 0
        async with self._acting(table.name) as connection:
            for row in rows:
                try:
                    fresh = self._vault.resealed(
                        row["sealed"], about=table.about(row), as_=self._vault.newest
                    )
                except SecurityError as error:
                    done.broken.append(str(error))
                    continue
                if fresh == row["sealed"]:
                    done.already += 1
                    continue
                at = (row[name] for name in table.at)
                if await connection.fetchval(table.write, fresh, row["sealed"], *at):
                    resealed += 1
            if resealed:
                made = {"resealed": resealed, "master_key": self._vault.newest.version}
                await self._record(connection, Act.REKEY, table.name, merchant_id=None, after=made)
        done.resealed += resealed


def _too_early(workers: Sequence[LivingWorker], needed: frozenset[str]) -> str:
    lines = [
        f"{worker.id}, started {worker.started_at:%Y-%m-%d %H:%M:%S} UTC, "
        + (
            f"lacks {', '.join(sorted(needed - set(worker.knows)))}"
            if worker.knows is not None
            else "is of an earlier release"
        )
        for worker in workers
        if not worker.knows_all(needed)
    ]
    return (
        f"{len(lines)} of {len(workers)} workers could not open what would be sealed now, and "
        f"would refuse every API key (401 key_unknown):\n"
        + "\n".join(f"- {line}" for line in lines)
        + "\ngive their hosts the key file, restart them (SIGHUP is enough for `tillgate serve`), "
        "and run `tillgate rekey` again"
    )
