"""How a service begins: it refuses a database that is not migrated."""

import asyncio
import logging

from gateway.cli.failures import CommandError
from gateway.settings import Settings
from gateway.storage.schema.migrate import MigrationError, pending

log = logging.getLogger("tillgate.start")


def refuse_unmigrated(settings: Settings) -> None:
    """Raises CommandError where migrations are missing.

    A database that cannot be reached yet is no reason to end: the workers wait for it.
    """
    try:
        missing = asyncio.run(pending(settings.needed_database_url().reveal()))
    except MigrationError as error:
        log.warning("the schema could not be looked at: %s", error)
        return
    if missing:
        raise CommandError(
            f"the database lacks {len(missing)} migrations ({missing[0]} …): run `tillgate migrate`"
        )
