"""`tillgate dev` on a machine that lacks something."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.cli.dev.children import STEADY_S, Deaths
from gateway.cli.dev.voice import Voice
from gateway.cli.dev.world import World, _master_key_file
from gateway.cli.failures import CommandError
from gateway.embedded import binaries


def test_without_any_redis_it_says_so_in_one_line_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(binaries, "REDIS_WHEELS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    world = World(tmp_path, Voice(), AsyncExitStack(), port=0, workers=1)
    assert world._redis() == {}
    (said,) = capsys.readouterr().out.splitlines()
    assert "redis        none: no Redis is installed" in said
    assert said.endswith("all works without it")


@pytest.mark.parametrize(
    ("lived_s", "tried_again"),
    [
        ([9_000.0], [True]),
        ([9_000.0, 0.1, 0.1], [True, True, False]),
        ([0.1, 0.1, 0.1], [True, True, False]),
        ([0.1, 0.1, STEADY_S, 0.1, 0.1], [True, True, True, True, False]),
        ([STEADY_S] * 5, [True] * 5),
    ],
)
def test_a_part_that_dies_in_a_row_is_given_up(
    lived_s: list[float], tried_again: list[bool]
) -> None:
    deaths = Deaths()
    assert [deaths.note(each) for each in lived_s] == tried_again


def test_a_lost_master_key_is_not_replaced_while_what_it_opens_is_there(tmp_path: Path) -> None:
    made = _master_key_file(tmp_path)
    (tmp_path / "dev.json").write_text("{}")
    assert _master_key_file(tmp_path) == made
    made.unlink()
    with pytest.raises(CommandError, match="put it back, or begin anew"):
        _master_key_file(tmp_path)
    assert not made.exists()
