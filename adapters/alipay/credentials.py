"""What a merchant's Alipay account needs, in the form the vault hands over."""

from typing import Annotated, Final, Literal

import msgspec

from security.secret import Secret

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]+$", max_length=512)]


NEEDED: Final = {
    "public_key": ("alipay_public_key",),
    "certificate": ("app_certificate", "alipay_certificate", "alipay_root_certificate"),
}


class Credentials(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One application at Alipay's open platform,
    bound to the seller `seller_id` (the 2088... number).

    Keys and certificates are texts: PEM, or for keys the bare base64 that the console shows. Mode
    `public_key` needs `alipay_public_key`; mode `certificate` needs the three certificates. Raises
    ValueError (a ValidationError while decoding). `second_gateway_url` is asked when `gateway_url`
    cannot be reached. Alipay documents one host only, so there is none by default: name one only if
    Alipay gave it to you as another door of the same gateway.
    """

    app_id: Word
    seller_id: Word
    gateway_url: Url
    second_gateway_url: Url | None = None
    mode: Literal["public_key", "certificate"]
    profile: Literal["standard", "short"] = "standard"
    app_private_key: Secret
    alipay_public_key: str | None = None
    app_certificate: str | None = None
    alipay_certificate: str | None = None
    alipay_root_certificate: str | None = None
    notify_url: Url | None = None

    def __post_init__(self) -> None:
        """Refuse an account that could not verify a single answer."""
        missing = [name for name in NEEDED[self.mode] if not getattr(self, name)]
        if missing:
            raise ValueError(
                f"mode {self.mode!r} needs {', '.join(missing)}: "
                f"copy them from the application's page at Alipay"
            )
        if self.second_gateway_url == self.gateway_url:
            raise ValueError(
                "second_gateway_url is gateway_url again: "
                "leave it out, or name another host of the same gateway"
            )

    @property
    def gateway_urls(self) -> tuple[str, ...]:
        """By host number: the main one, and the second if there is one."""
        return (
            (self.gateway_url,)
            if self.second_gateway_url is None
            else (self.gateway_url, self.second_gateway_url)
        )
