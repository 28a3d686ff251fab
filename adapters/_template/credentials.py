"""What a merchant's account at Template needs, in the form the vault hands over."""

from typing import Annotated, Literal

import msgspec

from security.secret import Secret

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]+$", max_length=512)]


class Credentials(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One merchant at Template.

    `base_url` and `second_base_url` (another host of the same channel) have no slash at their end.
    """

    merchant_id: Word
    base_url: Url
    second_base_url: Url | None = None
    key: Secret
    profile: Literal["standard", "short"] = "standard"
    notify_url: Url | None = None

    @property
    def base_urls(self) -> tuple[str, ...]:
        """By host number: the main one, and the second if there is one."""
        return (
            (self.base_url,)
            if self.second_base_url is None
            else (self.base_url, self.second_base_url)
        )
