"""What a merchant's WeChat Pay account needs, in the form the vault hands over."""

from typing import Annotated, Final, Literal

import msgspec

from adapters.wechat.signing import API_V3_KEY_BYTES, PUBLIC_KEY_ID_PREFIX
from security.secret import Secret

Word = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
Serial = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{40}$")]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]+$", max_length=512)]


# Docs of API v3, "接口规则": two domains.
STANDARD_HOSTS: Final = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")


class Credentials(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One merchant account.

    Keys and certificates are PEM texts. Raises ValueError (a ValidationError while decoding).

    - `mode` says how the platform signs for this merchant; both kinds of key may be listed at once
      while it moves from one to the other.
    - `platform_keys`: id `PUB_KEY_ID_…` → public key; the first one is named in our requests, all
      are accepted in answers.
    - `platform_certificates`: known by their serials, all accepted.
    - `second_base_url` is asked when `base_url` cannot be reached; left out, the second of WeChat
      Pay's two domains when `base_url` is the first of them, and the first when it is the second.
    - `notify_url` is used where a request brings none.
    """

    appid: Word
    mchid: Word
    base_url: Url
    second_base_url: Url | None = None
    mode: Literal["public_key", "platform_certificate"]
    profile: Literal["standard", "short"] = "standard"
    merchant_serial: Serial
    merchant_private_key: Secret
    api_v3_key: Secret
    platform_keys: dict[str, str] = {}
    platform_certificates: list[str] = []
    notify_url: Url | None = None

    def __post_init__(self) -> None:
        """Refuse an account that could not verify an answer or open a callback."""
        api_v3_key = self.api_v3_key.reveal()
        if not (api_v3_key.isascii() and len(api_v3_key) == API_V3_KEY_BYTES):
            raise ValueError(
                f"api_v3_key must be {API_V3_KEY_BYTES} ASCII characters: "
                f"set it in the merchant console under API security"
            )
        if self.mode == "public_key" and not self.platform_keys:
            raise ValueError(
                "mode 'public_key' needs platform_keys: "
                "the console shows the WeChat Pay public key and its PUB_KEY_ID_ id"
            )
        if self.mode == "platform_certificate" and not self.platform_certificates:
            raise ValueError(
                "mode 'platform_certificate' needs platform_certificates: "
                "download them with WeChat Pay's certificate tool"
            )
        if not all(name.startswith(PUBLIC_KEY_ID_PREFIX) for name in self.platform_keys):
            raise ValueError(
                f"platform_keys are named by the id the console shows; "
                f"it starts with {PUBLIC_KEY_ID_PREFIX}"
            )
        main = self.base_url.rstrip("/")
        if self.second_base_url is None and main in STANDARD_HOSTS:
            msgspec.structs.force_setattr(
                self, "second_base_url", STANDARD_HOSTS[1 - STANDARD_HOSTS.index(main)]
            )
        if self.second_base_url is not None and self.second_base_url.rstrip("/") == main:
            raise ValueError(
                "second_base_url is base_url again: leave it out, or name WeChat Pay's other host"
            )

    @property
    def base_urls(self) -> tuple[str, ...]:
        """By host number: the main one, and the second if there is one."""
        return (
            (self.base_url,)
            if self.second_base_url is None
            else (self.base_url, self.second_base_url)
        )
