"""How the commands of a till get their address and key (from dev.json, or from flags), send one
request, and say how it went.

The HTTP client is imported once a request is sent: `--help` is quick.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.cli.client.exit_codes import exit_code
from gateway.cli.client.shown import lines, summary
from gateway.cli.failures import CommandError, NoAnswer
from gateway.cli.surroundings import DEV_JSON, add_data_argument, data_folder, read_private
from security.secret import Secret

if TYPE_CHECKING:
    from gateway.cli.client.client import Answer, Client

T = TypeVar("T")


def add_caller_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that say where to and as whom."""
    add_data_argument(parser)
    parser.add_argument(
        "--url",
        help="base address of the gateway; with --key and --secret-file instead of dev.json",
    )
    parser.add_argument("--key", metavar="ID", help="id of the API key")
    parser.add_argument(
        "--secret-file", metavar="FILE", help="file with the key's secret, - for standard input"
    )
    parser.add_argument(
        "--as-merchant",
        action="store_true",
        help="use dev.json's merchant key instead of its terminal key",
    )


def send(options: argparse.Namespace, ask: Callable[[Client], Awaitable[Answer]]) -> int:
    """Run `ask` with a client and print the answer; the exit code tells the verdict.

    Raises CommandError when the gateway cannot be reached.
    """
    client = client_of(options)

    async def asked() -> Answer:
        async with client:
            return await ask(client)

    answer = asyncio.run(reached(client.base_url, asked()))
    if options.json:
        print(json.dumps(answer.document, ensure_ascii=False, indent=2))
    else:
        print("\n".join(lines(answer.document)) or summary(answer.document))
    if not answer.ok:
        print(f"{answer.status} {summary(answer.document)}", file=sys.stderr)
    return exit_code(answer.document, ok=answer.ok)


def client_of(options: argparse.Namespace) -> Client:
    """The client the flags ask for. Raises CommandError."""
    from gateway.cli.client.client import Client  # noqa: PLC0415  the HTTP library takes most of a second

    flags = (options.url, options.key, options.secret_file)
    if all(flags):
        return Client(options.url, options.key, read_secret(options.secret_file))
    if any(flags):
        raise CommandError(
            "--url, --key and --secret-file belong together: "
            "give all three, or none to use dev.json"
        )
    dev = dev_json(options)
    key = dev["merchant_key" if options.as_merchant else "terminal_key"]
    return Client(dev["base_url"], key["id"], Secret(key["secret"]))


def dev_json(options: argparse.Namespace) -> dict[str, Any]:
    """What the `tillgate dev` of this folder wrote for clients. Raises CommandError."""
    folder = data_folder(options.data)
    if folder is None:
        raise CommandError(
            "no dev.json found: run `tillgate dev` here first, name its folder with --data, "
            "or give --url, --key, --secret-file"
        )
    return read_private(folder / DEV_JSON)


async def reached(base_url: str, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, with failures of the network in words."""
    import aiohttp  # noqa: PLC0415  as above

    try:
        return await work
    except aiohttp.ClientConnectorError as error:
        raise CommandError(
            f"{base_url} cannot be reached, nothing was sent: "
            f"is `tillgate dev` (or the service) running?"
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NoAnswer(
            f"{base_url} gave no answer ({type(error).__name__}). "
            f"Whether it was done is not known: send the same again "
            f"with the same --idempotency-key (or --refund-no), that never moves money twice"
        ) from error


def read_secret(path: str) -> Secret:
    """The text of a file, - for standard input. Raises CommandError."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except OSError as error:
        raise CommandError(f"the secret file {path} cannot be read: {error.strerror}") from error
    if not text.strip():
        raise CommandError(f"the secret file {path} is empty")
    return Secret(text.strip())
