"""`tillgate migrate`: bring the database schema up to date.

Safe to run from several hosts at once.
"""

import argparse
import asyncio
import logging

from gateway.cli.surroundings import add_data_argument, environment
from gateway.settings import DATABASE_URL, read_settings
from gateway.storage.schema.migrate import migrate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but where."""
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Apply what is missing."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = read_settings(environment(options.data), required={DATABASE_URL})
    applied = asyncio.run(migrate(settings.needed_database_url().reveal()))
    print(f"{len(applied)} applied" if applied else "the schema is up to date")
    return 0
