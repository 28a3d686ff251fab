"""The migration runner against a real PostgreSQL."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from gateway.storage.schema import migrate as runner
from gateway.storage.schema.migrate import (
    Migration,
    MigrationError,
    migrate,
    pending,
    split_statements,
)
from tests.servers import DatabaseServer

FIRST = """
CREATE TABLE payment (id bigint PRIMARY KEY, store text NOT NULL);
INSERT INTO payment SELECT g, 's' FROM generate_series(1, 1000) g;
"""
SECOND = """-- no-transaction
CREATE INDEX CONCURRENTLY payment_store ON payment (store);
CREATE INDEX CONCURRENTLY payment_both ON payment (store, id);
"""
THIRD = "ALTER TABLE payment ADD COLUMN amount bigint NOT NULL DEFAULT 0;\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, sql in (("0001_payment", FIRST), ("0002_indexes", SECOND), ("0003_amount", THIRD)):
        (tmp_path / f"{name}.sql").write_text(sql)
    return tmp_path


async def test_each_file_is_applied_once_and_in_order(empty_database: str, folder: Path) -> None:
    everything = ["0001_payment", "0002_indexes", "0003_amount"]
    assert await pending(empty_database, folder) == everything
    assert await migrate(empty_database, folder) == everything
    assert await pending(empty_database, folder) == []
    assert await migrate(empty_database, folder) == []


async def test_four_starters_at_once_apply_everything_once_and_leave_no_invalid_index(
    empty_database: str, folder: Path
) -> None:
    results = await asyncio.gather(*(migrate(empty_database, folder) for _ in range(4)))
    assert sorted(map(len, results)) == [0, 0, 0, 3]
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    assert await connection.fetchval("SELECT count(*) FROM payment") == 1000
    await connection.close()


async def test_an_edited_file_is_refused(empty_database: str, folder: Path) -> None:
    await migrate(empty_database, folder)
    (folder / "0003_amount.sql").write_text(THIRD + "-- later thought\n")
    for call in (migrate, pending):
        with pytest.raises(MigrationError, match=r"0003_amount.sql was edited .* new one"):
            await call(empty_database, folder)


async def test_a_failing_file_leaves_nothing_of_itself(empty_database: str, folder: Path) -> None:
    (folder / "0003_amount.sql").write_text("CREATE TABLE half (id int);\nSELECT 1/0;\n")
    with pytest.raises(
        MigrationError, match=r"0003_amount.sql failed: division by zero. Nothing of this file"
    ):
        await migrate(empty_database, folder)
    assert await pending(empty_database, folder) == ["0003_amount"]
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    await connection.close()


async def test_a_held_table_is_not_waited_for_without_end(
    empty_database: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "0003_amount.sql").rename(folder / "late.sql")
    await migrate(empty_database, folder)
    (folder / "late.sql").rename(folder / "0003_amount.sql")
    monkeypatch.setattr(runner, "MIGRATION_TABLE_LOCK_WAIT_MS", 50)
    holder = await asyncpg.connect(empty_database)
    async with holder.transaction():
        await holder.execute("SELECT * FROM payment LIMIT 1")
        with pytest.raises(MigrationError, match="A long query holds the table"):
            await migrate(empty_database, folder)
    await holder.close()
    assert await migrate(empty_database, folder) == ["0003_amount"]


async def test_a_hanging_migration_elsewhere_is_reported(
    empty_database: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MIGRATION_LOCK_WAIT_S", 0.0)
    holder = await asyncpg.connect(empty_database)
    await holder.execute("SELECT pg_advisory_lock($1)", runner.LOCK_KEY)
    with pytest.raises(MigrationError, match="pg_stat_activity"):
        await migrate(empty_database, folder)
    await holder.close()


async def test_no_server_is_an_error_that_says_what_to_do(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(MigrationError, match="TILLGATE_DATABASE_URL"):
        await migrate(f"postgresql://gateway@/postgres?host={tmp_path}&port=1", folder)


def test_two_files_with_one_number_are_refused(folder: Path) -> None:
    (folder / "0003_other.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="same number"):
        runner.read_folder(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="incomplete"):
        runner.read_folder(tmp_path)


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("-- no-transaction\nA;\nB;\n", ["-- no-transaction\nA", "B"]),
        ("-- no-transaction\nA\n  b;\n", ["-- no-transaction\nA\n  b"]),
        ("-- no-transaction\nA ';' b;", ["-- no-transaction\nA ';' b;"]),
    ],
)
def test_splitting(sql: str, statements: list[str]) -> None:
    assert split_statements(Migration("0001_x", sql)) == statements


def test_function_bodies_are_not_split() -> None:
    with pytest.raises(MigrationError, match="file of its own"):
        split_statements(Migration("0001_x", "-- no-transaction\nDO $$ BEGIN; END $$;\n"))


async def test_the_shipped_migrations_apply_to_an_empty_database(postgres: DatabaseServer) -> None:
    dsn = await postgres.fresh_database()
    assert await pending(dsn) == []
    await postgres.give_back(dsn)
