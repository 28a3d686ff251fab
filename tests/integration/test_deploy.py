"""The Compose example: who is given which address, and the script that makes the database's roles.
And what the READMEs say to paste on a bare host.

There is no container engine here, and no second user: scripts and lines run against a PostgreSQL of
the test's own.
"""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from gateway.cli.surroundings import without_settings
from gateway.embedded.binaries import postgres_programs
from gateway.embedded.postgres import USER, EmbeddedPostgres
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import app_role, misplaced_rights
from tests.servers import APP, OWNER, temporary_root

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANY = 12
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


def pasted(readme: str) -> str:
    """The lines of the production part, without what a package manager and systemd do."""
    part = re.split(r"^## ", (ROOT / readme).read_text(), flags=re.MULTILINE)
    (production,) = [each for each in part if each.startswith(("Production", "生产环境"))]
    blocks = re.findall(r"^```\n(.*?)^```$", production, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    elsewhere = ("sudo apt-get", "sudo python3", "sudo /opt", "sudo ln", "sudo useradd", "sudo cp")
    return "\n".join(line for line in lines if not line.startswith(elsewhere))


# One person runs all lines: the addresses name the roles. The paths are those of the test.
STAND_INS = r"""set -euo pipefail
sudo() { if [ "$1" = -u ]; then shift 2; fi; "$@"; }
createuser() { command createuser -h "$SOCKET" -U "$SUPERUSER" "$@"; }
createdb() { command createdb -h "$SOCKET" -U "$SUPERUSER" "$@"; }
install() {
  if [ "$1" = -d ]; then mkdir "${@: -1}"; return; fi
  sed "s#/etc/tillgate#$ETC#; s#/var/run/postgresql#$SOCKET#" "${@: -2:1}" > "${@: -1}/tillgate.env"
}
tillgate() { "$PYTHON" -m gateway "$@"; }
env() { (export "${@:1:$# - 2}"; "${@: -2}"); }
"""


def test_both_readmes_say_the_same_lines_to_paste() -> None:
    """But for the words after a # and the names between quotes."""
    english, chinese = (
        re.sub(r'"[^"]*"| *#.*', "", pasted(readme)) for readme in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese
    assert len(english.splitlines()) > MANY


async def test_what_the_readme_says_to_paste_makes_a_shop_that_is_well(tmp_path: Path) -> None:
    with temporary_root() as root:
        server = EmbeddedPostgres(root / "pg")  # or doctor says that it is not durable
        await admit(server, "tillgate")
        try:
            paths = {"SOCKET": str(server.data), "ETC": str(tmp_path / "etc")}
            lines = pasted("README.md").replace("/etc/tillgate", paths["ETC"])
            programs = postgres_programs(None, root / "programs")
            done = subprocess.run(  # noqa: ASYNC221
                ["bash", "-c", STAND_INS + lines.replace("/var/run/postgresql", paths["SOCKET"])],
                cwd=ROOT,
                env=without_settings(os.environ)
                | paths
                | {
                    "PATH": f"{programs}:{os.environ['PATH']}",
                    "PYTHON": sys.executable,
                    "SUPERUSER": USER,
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "tillgate owns nothing and changes no history" in done.stdout
            assert "0 wrong" in done.stdout
        finally:
            server.stop()


async def admit(server: EmbeddedPostgres, role: str) -> None:
    """Started, and we are this role, too, by the word of the kernel."""
    owner = await asyncpg.connect(server.start())
    for name, line in (
        ("pg_hba.conf", f"local all {role} peer map=owner\n"),
        ("pg_ident.conf", f'owner "{pwd.getpwuid(os.geteuid()).pw_name}" {role}\n'),
    ):
        with (server.data / name).open("a") as file:
            file.write(line)
    await owner.execute("SELECT pg_reload_conf()")
    await owner.close()
