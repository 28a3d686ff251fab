"""`python -m gateway` and the `tillgate` command."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from gateway import __version__
from gateway.cli.catalogue import COMMANDS

INTERRUPTED = 130  # what a shell reports after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    2: it was asked or configured wrongly, and the text says what to do.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except KeyboardInterrupt:  # while the drivers are imported, too
        return INTERRUPTED


def _run(given: Sequence[str]) -> int:
    options = _parser(given).parse_args(given)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # `tillgate … | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        from gateway.cli.told import in_words  # noqa: PLC0415  importing the drivers takes longer than most commands

        text = in_words(error)
        if text is None:
            raise
        print(f"tillgate {options.command}: {text}", file=sys.stderr)  # noqa: T201  a command line prints
        return getattr(error, "exit_code", 2)


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """Every command's name and line; arguments (and imports) of the one that is asked for."""
    parser = argparse.ArgumentParser(
        prog="tillgate", description="A payment gateway for restaurants and shops."
    )
    parser.add_argument(
        "--version", action="version", version=f"tillgate {__version__}", help="its version"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in given if not word.startswith("-")), None)
    for command in COMMANDS:
        below = commands.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        )
        if command.name == wanted:
            module = import_module(f"gateway.cli.commands.{command.module}")
            module.add_arguments(below)
            below.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
