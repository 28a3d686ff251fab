"""`tillgate work`: what must happen without anybody asking:
queries, cancels and refunds of undecided payments.
"""

import argparse

from gateway.cli.dev.parent import add_parent_argument, end_with_parent
from gateway.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything is settings."""
    add_parent_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    end_with_parent(options)
    settings = read_settings()
    from gateway.service import run_work  # noqa: PLC0415  uvloop and the drivers, only once the settings are right

    return run_work(settings)
