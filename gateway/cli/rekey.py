"""`tillgate rekey`: after a rotation of the master key, seal every stored secret under the new one. Runs beside the service."""

import argparse

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but where."""
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Safe to repeat."""

    async def work(opened: Registries) -> None:
        resealed, already = await opened.accounts.reseal_all()
        print(f"{resealed} secrets sealed under the current master key, {already} were already")

    return act(options, work)
