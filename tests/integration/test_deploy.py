"""The Compose example: who is given which address, and the script that makes the database's roles.

There is no container engine here: the script runs against a PostgreSQL of the test's own.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from gateway.embedded.binaries import postgres_programs
from gateway.embedded.postgres import USER, EmbeddedPostgres
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import app_role, misplaced_rights
from tests.servers import APP, OWNER, temporary_root

DEPLOY = Path(__file__).parents[2] / "deploy"
OWNERS_ADDRESS = "TILLGATE_MIGRATE_DATABASE_URL"


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_owners_address_is_migrates_alone(compose: Any) -> None:
    given = {
        name: service["environment"]
        for name, service in compose["services"].items()
        if "TILLGATE_DATABASE_URL" in service.get("environment", {})
    }
    assert set(given) == {"migrate", "serve", "work"}
    assert [name for name, each in given.items() if OWNERS_ADDRESS in each] == ["migrate"]
    assert all(f"//{APP}:" in each["TILLGATE_DATABASE_URL"] for each in given.values())
    assert f"//{OWNER}:" in given["migrate"][OWNERS_ADDRESS]


def test_the_databases_reach_nothing_and_have_passwords(compose: Any) -> None:
    services = compose["services"]
    assert compose["networks"]["books"]["internal"] is True
    for name in ("postgres", "redis", "migrate"):
        assert services[name]["networks"] == ["books"], name
        assert "ports" not in services[name], name
    assert "--requirepass" in services["redis"]["command"]
    assert "://:${REDIS_PASSWORD" in services["serve"]["environment"]["TILLGATE_REDIS_URL"]


async def test_the_script_makes_roles_that_migrate_can_work_with() -> None:
    with temporary_root() as root:
        server = EmbeddedPostgres(root / "pg", durable=False)
        server.start()
        try:
            programs = postgres_programs(None, root / "programs")
            done = subprocess.run(  # noqa: ASYNC221
                [DEPLOY / "roles.sh"],
                env=os.environ
                | {
                    "PATH": f"{programs}:{os.environ['PATH']}",
                    "PGHOST": str(server.data),
                    "POSTGRES_USER": USER,
                    "OWNER_PASSWORD": "it's",
                    "APP_PASSWORD": 'a "quoted" one',
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            owner, app = (server.dsn_of("tillgate", role) for role in (OWNER, APP))
            await migrate(owner, app=app_role(owner, app))
            connection = await asyncpg.connect(app)
            try:
                assert await misplaced_rights(connection, APP) == []
            finally:
                await connection.close()
        finally:
            server.stop()
