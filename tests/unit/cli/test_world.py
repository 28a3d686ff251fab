"""`tillgate dev` on a machine that lacks something."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

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


def test_a_lost_master_key_is_not_replaced_while_what_it_opens_is_there(tmp_path: Path) -> None:
    made = _master_key_file(tmp_path)
    (tmp_path / "dev.json").write_text("{}")
    assert _master_key_file(tmp_path) == made
    made.unlink()
    with pytest.raises(CommandError, match="put it back, or begin anew"):
        _master_key_file(tmp_path)
    assert not made.exists()
