"""A pooler in front of PostgreSQL breaks payments, so the doctor finds it and `migrate` refuses."""

import asyncpg
import pytest

from gateway.cli.commands.checks import examine
from gateway.cli.commands.finding import Diagnosis, Level
from gateway.storage.connections import connect
from gateway.storage.schema.migrate import MigrationError, pending
from tests.pooler import pooled
from tests.world import settings_for


async def found(dsn: str) -> list[Diagnosis]:
    return await examine(settings_for(dsn, None, None))


async def test_without_a_pooler_every_setting_is_ours(database: str) -> None:
    (finding,) = [each for each in await found(database) if each.name == "pooler"]
    assert (finding.level, finding.text[:4]) == (Level.GOOD, "none")


async def test_a_pooler_that_refuses_our_settings_is_named(database: str) -> None:
    async with pooled(database, drops=False) as address:
        last = (await found(address))[-1]
        with pytest.raises(MigrationError, match="a pooler in front") as refusal:
            await pending(address)
    assert (last.name, last.level) == ("pooler", Level.WRONG)
    for text in (last.text, str(refusal.value)):
        assert "unsupported startup parameter" in text
        assert "docs/settings.md" in text


async def test_a_pooler_in_transaction_mode_is_named(database: str) -> None:
    async with pooled(database, drops=True) as address:
        for _ in range(3):  # however many sessions it has to give
            last = (await found(address))[-1]
            assert (last.name, last.level) == ("pooler", Level.WRONG)
            assert "transaction or statement mode" in last.text


async def test_a_pooler_in_session_mode_still_drops_the_settings(database: str) -> None:
    async with pooled(database, drops=True, keeps_sessions=True) as address:
        last = (await found(address))[-1]
    assert (last.name, last.level) == ("pooler", Level.WRONG)
    assert "drops our session settings" in last.text
    assert "statement_timeout" in last.text


async def test_what_the_doctor_warns_of_is_so(database: str) -> None:
    async with pooled(database, drops=True) as address:
        first, second = await connect(address), await connect(address)
        try:
            assert await first.fetchval("SHOW statement_timeout") == "0"
            await first.fetchval("SELECT 1")  # prepared where `second` is next
            async with second.transaction():
                with pytest.raises(asyncpg.InvalidSQLStatementNameError):
                    await first.fetchval("SELECT 1")
        finally:
            first.terminate()
            second.terminate()
