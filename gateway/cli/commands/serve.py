"""`tillgate serve`: bind the sockets, then N workers on them (see `gateway.workers.supervisor`).

Nothing that starts a thread or a loop may be imported into life before the fork; modules are
imported once, here, and shared.
"""

import argparse
import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version

import structlog

from gateway.cli.binding import bound, raise_descriptors, shown
from gateway.cli.dev.parent import add_parent_argument, end_with_parent
from gateway.cli.failures import CommandError
from gateway.limits import WORKERS_MAX
from gateway.settings import Settings, read_settings

log = structlog.get_logger("tillgate.serve")

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything else is settings."""
    parser.add_argument(
        "--workers", type=int, metavar="N", help="worker processes (default: TILLGATE_WORKERS)"
    )
    add_parent_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    end_with_parent(options)
    settings = read_settings()
    if options.workers is not None:
        if not 1 <= options.workers <= WORKERS_MAX:
            raise CommandError(f"--workers {options.workers} is not within 1 … {WORKERS_MAX}")
        settings = replace(settings, workers=options.workers)
    with tempfile.TemporaryDirectory(prefix="tillgate-metrics-") as folder:
        # Read by prometheus_client while it is imported.
        os.environ.setdefault(METRICS_FOLDER, folder)
        return _serve(settings)


def _serve(settings: Settings) -> int:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  see METRICS_FOLDER

    from gateway.cli.start import refuse_unmigrated  # noqa: PLC0415
    from gateway.composition import start_logs  # noqa: PLC0415
    from gateway.service import serve_worker  # noqa: PLC0415
    from gateway.workers.supervisor import supervise  # noqa: PLC0415

    start_logs(settings)
    with ExitStack() as stack:
        listening = stack.enter_context(bound(settings.listen, "TILLGATE_LISTEN"))
        operations = (
            stack.enter_context(bound(settings.operations_listen, "TILLGATE_OPERATIONS_LISTEN"))
            if settings.operations_listen
            else None
        )
        log.info(
            "serving",
            version=version("tillgate"),
            listen=shown(listening),
            operations=shown(operations) if operations else "none",
            workers=settings.workers,
            descriptors=raise_descriptors(),
        )
        refuse_unmigrated(settings)
        return supervise(
            settings.workers,
            listening,
            lambda _index, sock: serve_worker(settings, sock, operations),
            on_exit=mark_process_dead,
            prestop_s=settings.prestop_s,
        )
