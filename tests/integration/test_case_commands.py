"""`tillgate case` as two persons type it: one login, and a key where there is no second one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.surroundings import person
from tests.integration.test_case_closing import frozen, open_case
from tests.integration.test_command_line import Shell
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.world import MASTER, Shop, shop


@pytest.fixture
async def market(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        yield opened
    await postgres.give_back(dsn)


@pytest.fixture
def shell(market: Shop, tmp_path: Path) -> Shell:
    """Of an operator of the running shop; `secret` in its folder is the office's."""
    opened = Shell(market.books.dsn, tmp_path / "keys")
    del opened.environment["TILLGATE_MASTER_KEY_FILE"]
    opened.environment["TILLGATE_MASTER_KEY"] = MASTER
    opened.environment["TILLGATE_ALLOW_LOOPBACK_CHANNELS"] = "yes"
    (tmp_path / "secret").write_text(market.books.merchant[1].reveal())
    (tmp_path / "wrong").write_text("sk_test_wrong")
    return opened


async def test_one_login_proposes_and_a_key_confirms(market: Shop, shell: Shell, tmp_path: Path):
    payment = await frozen(market)
    case = await open_case(market, payment["id"])
    told = await shell.good(f"case close {case} --as paid --reason seen")
    assert f"paid is proposed by {person()}" in told
    code, _, err = await shell.run(f"case confirm {case} --reason seen")
    assert (code, "another person" in err) == (2, True)
    key = market.books.merchant[0]
    code, _, err = await shell.run(
        f"case confirm {case} --reason seen --key {key} --secret-file {tmp_path / 'wrong'}"
    )
    assert (code, "no live merchant or finance key" in err) == (2, True)
    assert "paid by" in await shell.good("case list")
    told = await shell.good(
        f"case confirm {case} --reason seen --key {key} --secret-file {tmp_path / 'secret'}"
    )
    assert "closed as paid; payment" in told
    assert (await market.settled(payment["id"]))["status"] == "succeeded"
    assert await shell.good("case list") == "no open cases"


async def test_a_finding_that_cannot_be_applied_is_refused_and_the_case_stays(
    market: Shop, shell: Shell
):
    payment = await frozen(market)
    case = await open_case(market, payment["id"])
    code, out, err = await shell.run(f"case close {case} --as refunded --reason seen")
    assert (code, out) == (2, "")
    assert "the case shows no refund" in err
    assert case in await shell.good("case list")


async def test_a_variable_does_not_make_another_person(monkeypatch: pytest.MonkeyPatch):
    before = person()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert person() == before
