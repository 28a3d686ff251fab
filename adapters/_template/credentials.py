"""What a merchant's account at Template needs, in the form the vault hands over."""

from typing import Annotated, Literal

import msgspec

from security.secret import Secret

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]+$", max_length=512)]


class Credentials(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One merchant at Template. `base_url` has no slash at its end."""

    merchant_id: Word
    base_url: Url
    key: Secret
    profile: Literal["standard", "short"] = "standard"
    notify_url: Url | None = None
