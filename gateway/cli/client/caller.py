"""How `pay`, `refund` and `query` get their address and key: from dev.json, or from flags.

And how they show an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from gateway.cli.client.client import Answer, Client
from gateway.cli.failures import CommandError
from gateway.cli.surroundings import DEV_JSON, add_data_argument, data_folder, read_private
from security.secret import Secret


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
    """Run `ask` with a client, print the answer; 0 for 2xx, 1 for a refusal.

    Raises CommandError when nobody answers.
    """
    answer = asyncio.run(_asked(client_of(options), ask))
    show(answer)
    return 0 if answer.ok else 1


def client_of(options: argparse.Namespace) -> Client:
    """The client the flags ask for. Raises CommandError."""
    flags = (options.url, options.key, options.secret_file)
    if all(flags):
        return Client(options.url, options.key, read_secret(options.secret_file))
    if any(flags):
        raise CommandError(
            "--url, --key and --secret-file belong together: "
            "give all three, or none to use dev.json"
        )
    folder = data_folder(options.data)
    if folder is None:
        raise CommandError(
            "no dev.json found: run `tillgate dev` here first, name its folder with --data, "
            "or give --url, --key, --secret-file"
        )
    dev = read_private(folder / DEV_JSON)
    key = dev["merchant_key" if options.as_merchant else "terminal_key"]
    return Client(dev["base_url"], key["id"], Secret(key["secret"]))


def show(answer: Answer) -> None:
    """One line for people on stderr, the whole document on stdout for programs."""
    print(f"{answer.status} {summary(answer.document)}", file=sys.stderr)
    print(json.dumps(answer.document, ensure_ascii=False, indent=2))


def summary(document: Any) -> str:
    """What a cashier would read; of a refusal, why: the verdict of the payment it carries is not
    what was asked for.
    """
    if "detail" in document:
        return _joined(
            document.get("code"),
            document.get("detail_zh"),
            document.get("field"),
            document["detail"],
        )
    if "data" in document:
        return "nothing found" if not document["data"] else f"{len(document['data'])} found"
    verdict = document.get("verdict") or {}
    return _joined(
        document.get("status"), verdict.get("code"), verdict.get("zh"), verdict.get("en")
    )


def _joined(*words: str | None) -> str:
    return " · ".join(word for word in words if word)


async def _asked(client: Client, ask: Callable[[Client], Awaitable[Answer]]) -> Answer:
    try:
        async with client:
            return await ask(client)
    except aiohttp.ClientConnectorError as error:
        raise CommandError(
            f"{client.base_url} cannot be reached, nothing was sent: "
            f"is `tillgate dev` (or the service) running?"
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandError(
            f"{client.base_url} gave no answer ({type(error).__name__}). "
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
