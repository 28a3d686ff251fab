"""A channel account, tried: one signed, harmless call, and what the channel said, in words.

Nothing else shows that a key belongs to an account: a wrong one is as well formed as the right one.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, Final, NamedTuple

from adapters.channel import Channel, Means, RemoteManifest
from adapters.transport import InlineExecutor
from gateway.cli.failures import CommandError
from gateway.clock import SystemClock
from gateway.domain.identifiers import Numbers
from gateway.domain.outcomes import NotSent, Unknown
from gateway.flow.call.probe import unused_trade
from gateway.limits import PROBE_TIMEOUT_MS
from gateway.storage.registries.credentials import CredentialsInvalid, refuse_unsafe_addresses

WORDS_MAX: Final = 200  # of the channel's answer that are shown


class Result(Enum):
    """How the channel took the call."""

    WORKS = "works"
    REFUSED = "refused"
    SILENT = "silent"


class Trial(NamedTuple):
    """`text`: what the channel said, and what to do."""

    result: Result
    text: str


async def try_channel(
    channel: Channel, manifest: RemoteManifest, merchant_id: str, environment: str
) -> Trial:
    """One query, bounded in time."""
    asked = unused_trade(Numbers(environment), merchant_id, manifest, SystemClock())
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_MS / 1000):
            outcome = await channel.query(asked)
    except TimeoutError:
        return Trial(Result.SILENT, "the channel did not answer in time: check network and proxy")
    match outcome:
        case NotSent(reason=reason):
            return Trial(
                Result.SILENT,
                f"the channel cannot be reached ({reason}): check the address, network and proxy",
            )
        case Unknown():
            return Trial(Result.REFUSED, in_words(outcome, manifest))
        case _:
            return Trial(Result.WORKS, "the channel believes its signature")


def in_words(outcome: Unknown, manifest: RemoteManifest) -> str:
    """What to do where the channel's word is known, and the word itself."""
    said = f"{outcome.channel_code} {outcome.evidence}"
    advice = [text for word, text in manifest.advice if word in said]
    shown = outcome.channel_code or " ".join(outcome.evidence.split())[:WORDS_MAX]
    told = f"{outcome.reason}: {shown}" if shown else outcome.reason
    return f"{advice[0]} ({told})" if advice else f"its answer cannot be used ({told})"


async def refuse_untried(
    manifest: RemoteManifest, credentials: Any, *, environment: str, allow_loopback: bool
) -> str:
    """What the channel said of good credentials. Raises CommandError for others: nothing is to be
    stored that no payment can work with.
    """
    try:
        refuse_unsafe_addresses(credentials, allow_loopback=allow_loopback)
    except CredentialsInvalid as error:
        raise CommandError(f"the credentials cannot be used: {error}") from None
    means = Means(clock=SystemClock(), signing_executor=InlineExecutor())
    transport = manifest.transport(credentials, means)
    try:
        channel = manifest.build(credentials, transport, means.clock)
        trial = await try_channel(channel, manifest, "~trial", environment)
    finally:
        await transport.aclose()
    if trial.result is not Result.WORKS:
        raise CommandError(f"tried and not stored: {trial.text}. If you know better, add --untried")
    return trial.text
