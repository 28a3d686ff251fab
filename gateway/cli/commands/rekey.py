"""`tillgate rekey`: after a rotation of the master key, or an upgrade that seals in another form,
seal every stored secret anew.

Runs beside the service. It refuses while a worker is alive that could not open the result: each
says in its sign of life which master keys and which forms it knows.
"""

import argparse

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where."""
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Safe to repeat. Raises CommandError when values were left that do not open."""

    async def work(opened: Registries) -> None:
        done = await opened.rekeying.rekey()
        print(
            f"{done.resealed} secrets sealed under the current master key, "
            f"{done.already} were already"
        )
        if done.broken:
            raise CommandError(
                f"{len(done.broken)} secrets do not open and stay as they are:\n"
                + "\n".join(f"- {each}" for each in done.broken)
            )

    return act(options, work)
