"""Template's `CHANNEL`: enrolment as the merchant console does it, and the desk of an account."""

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from sandbox._template.desk import TemplateDesk
from sandbox.channel import Account, Narrowed
from sandbox.surroundings import Settings, Surroundings


class Template:
    """JSON over HTTP, HMAC-SHA256 with a key both sides know."""

    name: ClassVar[str] = "_template"
    modes: ClassVar[tuple[str, ...]] = ("key",)
    operations: ClassVar[frozenset[str]] = frozenset(
        {"pay", "precreate", "query", "cancel", "refund", "refund_query", "callback"}
    )
    narrowed_faults: ClassVar[Mapping[str, Narrowed]] = {
        "signtest_probe": Narrowed(frozenset(), "this channel sends no probes"),
        "stale_timestamp": Narrowed(frozenset(), "nothing this channel signs carries a time"),
        "rotate_key": Narrowed(
            frozenset(), "the key is shared: a new one would have to reach the merchant first"
        ),
    }

    settings: ClassVar[type[Settings]] = Settings  # a subclass, when the channel has its own

    async def enrol(self, account: Account, callback_url: str | None) -> dict[str, Any]:
        """A new merchant. The key is shared, so this side keeps it too."""
        merchant_id, key = f"m{secrets.randbelow(10**12):012d}", secrets.token_hex(32)
        account.kept = {"merchant_id": merchant_id, "key": key, "public": ["merchant_id"]}
        return {
            "merchant_id": merchant_id,
            "base_url": account.base_url,
            "second_base_url": account.second_base_url,
            "key": key,
            "profile": account.profile,
            "notify_url": callback_url,
        }

    def open(self, account: Account, surroundings: Surroundings[Settings]) -> TemplateDesk:
        """The account's server."""
        return TemplateDesk(account, surroundings)


CHANNEL = Template()
