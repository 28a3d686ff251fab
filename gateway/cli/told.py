"""Failures that are not bugs, in words for the person at the keyboard."""

import asyncpg

from adapters.discovery import DiscoveryError
from gateway.cli.failures import CommandError
from gateway.domain.case import FindingRefused
from gateway.domain.errors import StoreUnavailable
from gateway.embedded.data_folder import DataFolderError
from gateway.embedded.errors import EmbeddedServerError
from gateway.settings import SettingsError
from gateway.storage.registries.people import RegistryError
from gateway.storage.schema.migrate import MigrationError
from security.errors import SecurityError


def in_words(error: Exception) -> str | None:
    """What to print, or None for a bug, whose traceback is needed."""
    match error:
        case StoreUnavailable():
            return (
                f"PostgreSQL is not reachable ({error.__cause__!r}): "
                f"check that it runs and that TILLGATE_DATABASE_URL is right"
            )
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError():
            return f"the database is not up to date ({error}): run `tillgate migrate`"
        case (
            CommandError()
            | SettingsError()
            | RegistryError()
            | MigrationError()
            | DiscoveryError()
            | EmbeddedServerError()
            | DataFolderError()
            | SecurityError()
            | FindingRefused()
        ):
            return str(error)
        case _:
            return None
