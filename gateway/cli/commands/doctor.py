"""`tillgate doctor`: look at everything the service depends on; one line each, and what to do about
those that are wrong.
"""

import argparse
import asyncio

from gateway.cli.commands.checks import examine
from gateway.cli.commands.finding import Diagnosis, Level
from gateway.cli.surroundings import add_data_argument, environment
from gateway.cli.table import padded, width
from gateway.settings import SERVING, SettingsError, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but where."""
    add_data_argument(parser)


def run(options: argparse.Namespace) -> int:
    """0: nothing is wrong (there may be warnings). 1: something is."""
    findings = asyncio.run(_findings(options))
    columns = max(width(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.level.value:5}  {padded(finding.name, columns)}  {finding.text}")
    wrong = sum(finding.level is Level.WRONG for finding in findings)
    warned = sum(finding.level is Level.WARNING for finding in findings)
    told = f"{wrong} wrong, {warned} warning{'' if warned == 1 else 's'}"
    print(f"\n{told}" if wrong or warned else "\nall well")
    return 1 if wrong else 0


async def _findings(options: argparse.Namespace) -> list[Diagnosis]:
    try:
        settings = read_settings(environment(options.data), required=SERVING)
    except SettingsError as error:
        return [Diagnosis(Level.WRONG, "settings", problem) for problem in error.problems]
    return [Diagnosis(Level.GOOD, "settings", "complete"), *await examine(settings)]
