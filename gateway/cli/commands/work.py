"""`tillgate work`: what must happen without anybody asking:
queries, cancels and refunds of undecided payments.
"""

import argparse
from contextlib import ExitStack
from importlib.metadata import version

import structlog

from gateway.cli.binding import bound, raise_descriptors, shown
from gateway.cli.dev.parent import add_parent_argument, end_with_parent
from gateway.settings import read_settings

log = structlog.get_logger("tillgate.work")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything is settings."""
    add_parent_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    end_with_parent(options)
    settings = read_settings()
    from gateway.cli.start import refuse_unmigrated  # noqa: PLC0415
    from gateway.composition import start_logs  # noqa: PLC0415
    from gateway.service import run_work  # noqa: PLC0415  uvloop and the drivers, only once the settings are right

    start_logs(settings)
    with ExitStack() as stack:
        operations = (
            stack.enter_context(
                bound(settings.work_operations_listen, "TILLGATE_WORK_OPERATIONS_LISTEN")
            )
            if settings.work_operations_listen
            else None
        )
        log.info(
            "working",
            version=version("tillgate"),
            operations=shown(operations) if operations else "none",
            descriptors=raise_descriptors(),
        )
        refuse_unmigrated(settings)
        return run_work(settings, operations)
