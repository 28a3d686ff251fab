"""`tillgate migrate`: bring the database schema up to date, and the rights of the services' role.

Safe to run from several hosts at once.
"""

import argparse
import asyncio
import logging

from gateway.cli.surroundings import add_data_argument, environment
from gateway.settings import DATABASE_URL, read_settings
from gateway.storage.schema.migrate import migrate
from gateway.storage.schema.roles import app_role


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but where."""
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Apply what is missing."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = read_settings(environment(options.data), required={DATABASE_URL})
    owner, app = settings.migrating_url().reveal(), settings.needed_database_url().reveal()
    applied = asyncio.run(migrate(owner, app=app_role(owner, app)))
    print(f"{len(applied)} applied" if applied else "the schema is up to date")
    return 0
