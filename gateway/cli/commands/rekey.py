"""`tillgate rekey`: after a rotation of the master key, seal every stored secret under the new one.

Runs beside the service.

A process reads its master keys once, when it starts. One that started before the file was changed
cannot open what is sealed under the new key and refuses every API key until it is restarted, so
`rekey` looks at the workers' signs of life first.
"""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, environment
from security.keyring import FILE_VARIABLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where, and whether to believe the person rather than the file's time."""
    parser.add_argument(
        "--all-restarted",
        action="store_true",
        help="every serve and work was restarted with the new key, whatever the file's time says",
    )
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Safe to repeat.

    Raises CommandError while a worker is alive that started before the file with the keys was
    changed.
    """
    changed_at = None if options.all_restarted else _changed_at(environment(options.data))

    async def work(opened: Registries) -> None:
        if changed_at is not None and (
            older := await opened.accounts.workers_started_before(changed_at)
        ):
            raise CommandError(_too_early(older, changed_at))
        resealed, already = await opened.accounts.reseal_all()
        print(f"{resealed} secrets sealed under the current master key, {already} were already")

    return act(options, work)


def _changed_at(variables: Mapping[str, str]) -> datetime | None:
    """When the file with the master keys was written; None when they come in a variable or the file
    cannot be looked at.
    """
    try:
        return datetime.fromtimestamp(Path(variables[FILE_VARIABLE]).stat().st_mtime, UTC)
    except (KeyError, OSError):
        return None


def _too_early(older: int, changed_at: datetime) -> str:
    return (
        f"{older} workers started before the master keys were changed "
        f"({changed_at:%Y-%m-%d %H:%M:%S} UTC) and would refuse every API key (401 key_unknown): "
        f"restart every `tillgate serve` and `tillgate work` first (SIGHUP is not enough), "
        f"wait a few seconds, and run `tillgate rekey` again. "
        f"If all of them have the new key already, add --all-restarted"
    )
