"""The failover drill as people start it: one account goes dark under load, and the money is right
whatever darkness is.

A run of a few seconds; `make proof` plays each darkness and each Redis for longer. What was
measured is docs/failover-drill.md's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.drill.darkness import Clock, Phase
from loadtests.drill.findings import Breakers, Doubt, Failovers, Findings, Part
from loadtests.drill.report import aims, is_money_right
from tests.adversity.house import SCALE
from tests.sandbox_process import ROOT
from tests.servers import owner_of

LONG = [
    ["--how", "refuse"],
    ["--how", "hang"],
    ["--how", "500"],
    ["--how", "sick"],
    ["--how", "refuse", "--channel", "wechat"],
    ["--how", "500", "--redis", "killed"],
    ["--how", "500", "--redis", "evil"],
]


BENT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("all is well", {}, []),
    (
        "charged twice",
        {"violations": ["INV1 order X tender 1: charged 2 times"]},
        ["nobody charged twice"],
    ),
    (
        "charged, and not known here",
        {"violations": ["INV2 X: the channel took 5 fen"]},
        ["nothing lost"],
    ),
    (
        "paid, and not known there",
        {"violations": ["INV3 X: the channel took nothing"]},
        ["nothing lost"],
    ),
    (
        "sent again without proof",
        {"violations": ["INV9 order X: sent"]},
        ["no failover without evidence"],
    ),
    (
        "still open",
        {"violations": ["INV8 X: still in_doubt"]},
        ["the books agree in everything else"],
    ),
    (
        "an attempt whose predecessor has no proof",
        {"failovers": Failovers(unproven=1)},
        ["no failover without evidence"],
    ),
    (
        "two of a thousand not served",
        {"parts": {Phase.DARK: Part(customers=1_000, first_tap=998)}},
        ["approval"],
    ),
    (
        "one of a thousand after a fresh scan",
        {"parts": {Phase.DARK: Part(customers=1_000, first_tap=999, rescanned=1)}},
        [],
    ),
    (
        "everybody, but of the first two seconds",
        {"parts": {Phase.ONSET: Part(customers=1_000)}},
        [],
    ),
    ("never back", {"first_paid_at_a_s": float("inf")}, ["A is used again"]),
]


@pytest.mark.parametrize(
    ("bent", "missed"), [line[1:] for line in BENT], ids=[line[0] for line in BENT]
)
def test_each_aim_can_be_missed(bent: dict[str, Any], missed: list[str]):
    plain: dict[str, Any] = {
        "parts": {},
        "failovers": Failovers(),
        "doubt": Doubt(),
        "breakers": Breakers(),
    }
    findings = Findings(**({**plain, "last_paid_at_a_s": 0.0, "first_paid_at_a_s": 1.0} | bent))
    found = [aim.name for aim in aims(findings, checked=1) if not aim.met]
    assert [name[: len(wanted)] for name, wanted in zip(found, missed, strict=True)] == missed
    assert is_money_right(findings) == ("violations" not in bent and "failovers" not in bent)


@pytest.mark.parametrize(
    ("arrived_s", "answered_s", "phase"),
    [
        (1.0, 2.0, Phase.BEFORE),
        (9.9, 10.1, Phase.ONSET),  # on the way when it became dark
        (11.9, 12.0, Phase.ONSET),
        (12.0, 12.1, Phase.DARK),
        (69.9, 75.0, Phase.DARK),
        (70.0, 70.1, Phase.AFTER),
    ],
)
def test_when_a_customer_came(arrived_s: float, answered_s: float, phase: Phase):
    assert Clock(dark_s=10.0, light_s=70.0).phase(arrived_s, answered_s) is phase


async def drilled(tmp_path: Path, *words: str, within_s: float) -> dict[str, Any]:
    """The findings of a run that ended by itself, with 0: money is right."""
    out = tmp_path / "drill.json"
    command = [sys.executable, "-m", "loadtests.failover", "--short", "--out", str(out), *words]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(within_s):
            said = (await process.stdout.read()).decode()
            code = await process.wait()
    except BaseException:
        process.terminate()  # it ends what it started
        await process.wait()
        raise
    assert code == 0, said
    findings: dict[str, Any] = json.loads(out.read_text())
    return findings


def proven(findings: dict[str, Any]) -> None:
    """Both books agree, and every further attempt had its proof."""
    assert findings["violations"] == []
    assert findings["failovers"]["unproven"] == 0
    assert findings["doubt"]["open"] == 0
    assert findings["parts"]["dark"]["customers"] > 0


async def test_a_dark_account_costs_no_money(tmp_path: Path, database: str, redis_url: str):
    findings = await drilled(
        tmp_path, "--database", owner_of(database), "--redis-url", redis_url, within_s=60
    )
    proven(findings)
    assert findings["failovers"]["before"] > 0, (
        "nobody was sent to a backup because A was known to be dark"
    )
    assert findings["failovers"]["after"].get("P0 connect_refused", 0) > 0, (
        "nobody found A dark and went on elsewhere"
    )


@pytest.mark.skipif(SCALE == 1, reason="`make proof` plays them: each takes about a minute")
@pytest.mark.parametrize("words", LONG, ids=" ".join)
async def test_no_darkness_and_no_redis_costs_money(tmp_path: Path, words: list[str]):
    findings = await drilled(
        tmp_path,
        "--rate",
        "15",
        "--dark-seconds",
        "15",
        "--after-seconds",
        "5",
        *words,
        within_s=400,
    )
    proven(findings)
    assert findings["failovers"]["before"] > 0
