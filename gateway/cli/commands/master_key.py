"""`tillgate master-key`: the file that opens every stored secret.

Keep a copy of it where the database's backups are not.
"""

import argparse
from pathlib import Path

from gateway.cli.failures import CommandError
from security.keyring import FILE_VARIABLE, MasterKeys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, rotate."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new file with one key, mode 0600")
    rotate = acts.add_parser(
        "rotate",
        help="add a new current key to the file; old ones stay until `tillgate rekey` has run",
    )
    for each in (create, rotate):
        each.add_argument("file", type=Path)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    if options.act == "create":
        try:
            MasterKeys.generate(options.file)
        except FileExistsError:
            raise CommandError(
                f"{options.file} exists: keys in use are never overwritten"
            ) from None
        except OSError as error:
            raise CommandError(f"{options.file} cannot be written: {error.strerror}") from error
        print(f"{options.file} is made: set {FILE_VARIABLE} to its path")
        return 0
    try:
        keys = MasterKeys.from_file(options.file).rotate(options.file)
    except FileExistsError:
        raise CommandError(
            f"{options.file}.new exists: another rotation is under way, or one was cut off; "
            f"then remove that file"
        ) from None
    print(
        f"v{keys.current_version} is the current key: "
        f"put the file on every host, restart the services, then run `tillgate rekey`"
    )
    return 0
