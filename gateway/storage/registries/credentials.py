"""A channel account's credentials: JSON, validated against the channel's own struct, sealed at
rest, shown without secrets.

The plaintext that is sealed is the JSON text as it was given; local channels (cash) have none, and
seal `{}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from adapters.channel import Certificate, LocalManifest, Manifest, Profile, RemoteManifest
from security.public_address import is_loopback
from security.secret import HIDDEN, Secret, decode_hook
from security.vault import About

KEY_RIGHTS: Final = (
    "merchant_id",
    "store_id",
    "terminal_id",
    "role",
    "environment",
    "refund_max",
    "refund_day_max",
)
PEM_BEGIN: Final = "-----BEGIN "


class CredentialsInvalid(ValueError):
    """The credentials do not fit the channel; the text names the field and never quotes a value."""


def account_about(
    account_id: str, *, merchant_id: str, store_id: str | None, channel: str
) -> About:
    """What a sealed account is bound to: whose it is, where it serves, and over which channel."""
    return _about(
        f"channel_account/{account_id}", merchant=merchant_id, store=store_id, channel=channel
    )


def key_about(
    key_id: str,
    *,
    merchant_id: str,
    store_id: str | None,
    terminal_id: str | None,
    role: str,
    environment: str | None,
    refund_max: int | None,
    refund_day_max: int | None,
) -> About:
    """What a sealed API secret is bound to: everything the key may do.

    By the names of the columns, which are KEY_RIGHTS.
    """
    return _about(
        f"api_key/{key_id}",
        merchant=merchant_id,
        store=store_id,
        terminal=terminal_id,
        role=role,
        environment=environment,
        refund_max=refund_max,
        refund_day_max=refund_day_max,
    )


def webhook_about(endpoint_id: str, number: int, *, merchant_id: str) -> About:
    """What a sealed webhook secret is bound to."""
    return _about(f"webhook_secret/{endpoint_id}/{number}", merchant=merchant_id)


def _about(row: str, **rights: str | int | None) -> About:
    said = (f"{name}={value}" for name, value in rights.items() if value is not None)
    return About(row, tuple(said))


def decoded(manifest: Manifest, text: bytes) -> Any:
    """The channel's credentials struct, None for a local channel. Raises CredentialsInvalid: every
    field that is missing or not known is named at once.
    """
    try:
        given = msgspec.json.decode(text)
        if isinstance(manifest, LocalManifest):
            if given != {}:
                raise CredentialsInvalid(
                    f"channel {manifest.channel} settles here and takes no credentials: "
                    f"leave them out"
                )
            return None
        _refuse_other_fields(manifest, given)
        return msgspec.json.decode(text, type=manifest.credentials, dec_hook=decode_hook)
    except msgspec.DecodeError as error:
        raise CredentialsInvalid(f"credentials of channel {manifest.channel}: {error}") from None


def _refuse_other_fields(manifest: RemoteManifest, given: Any) -> None:
    if not isinstance(given, dict):
        return
    fields = msgspec.structs.fields(manifest.credentials)
    missing = [
        each.encode_name for each in fields if each.required and each.encode_name not in given
    ]
    unknown = sorted(given.keys() - {each.encode_name for each in fields})
    told = [f"missing: {', '.join(missing)}"] if missing else []
    told += [f"not known here: {', '.join(unknown)}"] if unknown else []
    if told:
        raise CredentialsInvalid(f"credentials of channel {manifest.channel}: {'; '.join(told)}")


def refuse_unfit_certificates(certificates: Sequence[Certificate], now: datetime) -> None:
    """One that another root vouches for, or a field whose every certificate is past or not yet
    begun, could not verify a single answer. Raises CredentialsInvalid.
    """
    for each in certificates:
        if each.fault is not None:
            raise CredentialsInvalid(f"{each.name} {each.fault}")
    for name, named in _by_name(certificates).items():
        if all(each.not_after <= now for each in named):
            last = max(each.not_after for each in named)
            raise CredentialsInvalid(f"{name} expired on {last:%Y-%m-%d}: get a new one")
        if all(now < each.not_before or each.not_after <= now for each in named):
            first = min(each.not_before for each in named)
            raise CredentialsInvalid(f"{name} is not valid before {first:%Y-%m-%d %H:%M} UTC")


def usable_until(certificates: Sequence[Certificate]) -> dict[str, datetime]:
    """By field: until when its last certificate is good."""
    return {
        name: max(each.not_after for each in named)
        for name, named in _by_name(certificates).items()
    }


def _by_name(certificates: Sequence[Certificate]) -> dict[str, list[Certificate]]:
    named: dict[str, list[Certificate]] = {}
    for each in certificates:
        named.setdefault(each.name, []).append(each)
    return named


def profile_of(credentials: Any) -> Profile:
    """Which schedules the account's payments follow."""
    return "short" if getattr(credentials, "profile", "standard") == "short" else "standard"


def shown(credentials: Any) -> dict[str, Any]:
    """The fields for people: secrets as `***`, keys and certificates as their kind only."""
    if credentials is None:
        return {}
    plain = msgspec.to_builtins(credentials, enc_hook=_hidden)
    return {name: _shortened(value) for name, value in plain.items()}


def refuse_unsafe_addresses(credentials: Any, *, allow_loopback: bool) -> None:
    """Money orders go over TLS; plain http is for the sandbox, and leads to this machine alone.

    Raises CredentialsInvalid.
    """
    if credentials is None:
        return
    for name, value in shown(credentials).items():
        if not isinstance(value, str) or not value.startswith("http://"):
            continue
        host = urlsplit(value).hostname or ""
        if not is_loopback(f"[{host}]" if ":" in host else host):
            raise CredentialsInvalid(f"{name} is plain http (to {host}): write https://…")
        if not allow_loopback:
            raise CredentialsInvalid(
                f"{name} is plain http (to {host}): "
                f"write https://…, or set TILLGATE_ALLOW_LOOPBACK_CHANNELS=yes to use the sandbox"
            )


def _hidden(value: Any) -> str:
    if isinstance(value, Secret):
        return HIDDEN
    raise NotImplementedError(f"no rule to show {type(value).__name__}")


def _shortened(value: Any) -> Any:
    match value:
        case str() if value.lstrip().startswith(PEM_BEGIN):
            return f"[{value.lstrip().removeprefix(PEM_BEGIN).partition('-----')[0].lower()}]"
        case dict():
            return {name: _shortened(each) for name, each in value.items()}
        case list():
            return [_shortened(each) for each in value]
        case _:
            return value
