"""Children of `tillgate dev` end with it, however it ends."""

import argparse


def add_parent_argument(parser: argparse.ArgumentParser) -> None:
    """`--end-with-parent PID`, not for people."""
    parser.add_argument("--end-with-parent", type=int, metavar="PID", help=argparse.SUPPRESS)


def end_with_parent(options: argparse.Namespace) -> None:
    """Ask the kernel for a SIGTERM when that process dies (Linux only)."""
    if options.end_with_parent is not None:
        from gateway.workers.forked import die_with_parent  # noqa: PLC0415  start-up time of everybody else

        die_with_parent(options.end_with_parent)
