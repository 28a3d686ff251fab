"""Rules, drains and health as a person types them, against a real database."""

import json
from pathlib import Path

import pytest

from security.keyring import MasterKeys
from tests.integration.test_command_line import Shell

RULES = {"rules": [{"name": "all", "use": [{"account": "acct_b"}]}]}


@pytest.fixture
async def shell(database: str, tmp_path: Path) -> Shell:
    MasterKeys.generate(tmp_path / "keys")
    opened = Shell(database, tmp_path / "keys")
    await opened.good("merchant create Noodles --id mer_1")
    await opened.good("store create mer_1 East --id sto_1")
    for account in ("acct_a", "acct_b"):
        await opened.good(f"account create mer_1 cash --id {account}")
    return opened


async def test_rules_are_set_shown_and_kept(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    assert "no rules of merchant mer_1" in await shell.good("routing show mer_1")
    file.write_text(json.dumps(RULES))
    assert (await shell.good(f"routing set mer_1 {file} --by mei")).startswith(
        "version 1 of merchant mer_1"
    )
    assert json.loads(await shell.good("routing show mer_1")) == RULES
    assert (await shell.good(f"routing set mer_1 {file} --store sto_1")).startswith(
        "version 1 of store sto_1"
    )
    shadowed = {"rules": [*RULES["rules"], {"name": "never", "use": [{"account": "acct_a"}]}]}
    file.write_text(json.dumps(shadowed))
    code, out, err = await shell.run(f"routing set mer_1 {file}")
    assert (code, out.split(";")[0]) == (0, "version 2 of merchant mer_1")
    assert "warning: rules[1]: 'never' is never reached: 'all' takes all of its payments" in err
    history = (await shell.good("routing history mer_1")).splitlines()
    assert [line.split()[0] for line in history] == ["version", "2", "1"]
    assert "mei" in history[2]


async def test_rules_that_cannot_be_meant_are_refused_whole(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(
        json.dumps({"rules": [{"name": "x", "use": [{"account": "acct_c", "weight": 0}]}]})
    )
    for act in ("set", "try --from 2026-11-01 --to 2026-11-30"):
        word, _, rest = act.partition(" ")
        code, _, err = await shell.run(f"routing {word} mer_1 {file} {rest}")
        assert code != 0
        assert "rules[0].use[0].account: acct_c: the merchant has no such account" in err
        assert "rules[0].use[0].weight: 0 is not within 1" in err
    file.write_text('{"rules": [{"name": "x", "uses": []}]}')
    code, _, err = await shell.run(f"routing set mer_1 {file}")
    assert (code != 0, "unknown field `uses`" in err) == (True, True)
    assert "no rules" in await shell.good("routing show mer_1")
    code, _, err = await shell.run(f"routing set mer_9 {file}")
    assert code != 0


async def test_a_trial_without_payments_says_so(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    assert (
        await shell.good(f"routing try mer_1 {file} --from 2026-11-01 --to 2026-11-30T12:00")
        == "no payments in that time"
    )
    code, _, err = await shell.run(f"routing try mer_1 {file} --from yesterday --to today")
    assert (code, "'yesterday' is no time" in err) == (2, True)


async def test_an_account_is_drained_and_its_health_shown(shell: Shell) -> None:
    said = await shell.good("account drain acct_a --reason settlement-late --by mei")
    assert said == "acct_a is drained; workers know within seconds"
    assert await shell.good("account drain acct_a --reason again") == "acct_a is already drained"
    assert "drained: settlement-late" in await shell.good("account list mer_1")
    assert json.loads(await shell.good("account show acct_a"))["drained"] == "settlement-late"
    assert "serving" in await shell.good("account undrain acct_a --by mei")
    health = await shell.good("account health acct_a")
    assert "every breaker is closed, in every worker that lives" in health
    assert [line.split()[2:7] for line in health.splitlines()[-2:]] == [
        ["*", "drain", "drained", "serving", "mei"],
        ["*", "drain", "serving", "drained", "mei"],
    ]
    code, _, err = await shell.run("account drain acct_z --reason x")
    assert (code != 0, "there is no account acct_z" in err) == (True, True)
