"""`tillgate serve`: bind one socket, then N workers on it (see `gateway.workers.supervisor`).

Nothing that starts a thread or a loop may be imported into life before the fork; modules are
imported once, here, and shared.
"""

import argparse
import os
import socket
import tempfile
from dataclasses import replace

from gateway.cli.dev.parent import add_parent_argument, end_with_parent
from gateway.cli.failures import CommandError
from gateway.limits import LISTEN_BACKLOG, WORKERS_MAX
from gateway.settings import Settings, read_settings

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

    from gateway.composition import start_logs  # noqa: PLC0415
    from gateway.service import serve_worker  # noqa: PLC0415
    from gateway.workers.supervisor import supervise  # noqa: PLC0415

    start_logs(settings)
    with _bound(settings) as listening:
        return supervise(
            settings.workers,
            listening,
            lambda _index, sock: serve_worker(settings, sock),
            on_exit=mark_process_dead,
        )


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.listen
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=LISTEN_BACKLOG,
            reuse_port=False,
        )
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror}): "
            f"set TILLGATE_LISTEN to a free address"
        ) from error
