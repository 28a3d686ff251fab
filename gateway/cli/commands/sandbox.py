"""`tillgate sandbox`: the channel sandbox alone; this process becomes `python -m sandbox`."""

import argparse
import os
import sys
from importlib.util import find_spec

from gateway.cli.failures import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sandbox's own, for people."""
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="folder of the ledger and the enrolled accounts",
    )
    parser.add_argument(
        "--control-port", default="0", metavar="N", help="port of /_control (default 0: a free one)"
    )
    parser.add_argument(
        "--ready-file", metavar="FILE", help="written when ready, with the control address"
    )


def run(options: argparse.Namespace) -> int:
    """Never returns. Raises CommandError where there is no sandbox."""
    if find_spec("sandbox") is None:
        raise CommandError("the image carries no sandbox: run it from the source tree")
    arguments = ["--data", options.data, "--control-port", options.control_port]
    if options.ready_file:
        arguments += ["--ready-file", options.ready_file]
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *arguments])  # noqa: S606  our own interpreter, our own module
