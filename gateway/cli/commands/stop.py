"""`tillgate stop`: stop the embedded servers that a killed `tillgate dev` left running.

A living one keeps its own.
"""

import argparse
from pathlib import Path

from gateway.cli.failures import CommandError
from gateway.cli.surroundings import add_data_argument, data_folder
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Only where."""
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Attach to what runs, become its owner, stop it.

    Raises CommandError when somebody else owns it.
    """
    folder = data_folder(options.data)
    if folder is None:
        print("nothing to stop: `tillgate dev` was not used from here")
        return 0
    stopped = [name for name, server in _servers(folder) if _stopped(name, server)]
    print(
        f"stopped {' and '.join(stopped)} in {folder}"
        if stopped
        else f"nothing was running in {folder}"
    )
    return 0


def _servers(folder: Path) -> list[tuple[str, EmbeddedPostgres | EmbeddedRedis]]:
    """Those that were ever started there: looking must not make folders."""
    found: list[tuple[str, EmbeddedPostgres | EmbeddedRedis]] = []
    if (folder / "postgres").is_dir():
        found.append(("PostgreSQL", EmbeddedPostgres(folder / "postgres")))
    if (folder / "redis").is_dir():
        found.append(("Redis", EmbeddedRedis(folder / "redis")))
    return found


def _stopped(name: str, server: EmbeddedPostgres | EmbeddedRedis) -> bool:
    if not server.is_running:
        return False
    server.start()  # attaches, and takes over what a dead owner left
    if not server.is_owner:
        raise CommandError(
            f"{name} belongs to a `tillgate dev` that is still running: "
            f"press Ctrl-C there, or end that process"
        )
    server.stop()
    return True
