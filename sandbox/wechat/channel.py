"""WeChat Pay's `CHANNEL`: enrolment as the merchant platform does it, and a merchant's desk."""

import secrets
import string
from collections.abc import Mapping
from typing import Any, ClassVar

from sandbox import certificates, keys
from sandbox.channel import Account, Narrowed
from sandbox.faults import CALLBACK_FAULTS
from sandbox.wechat.desk import WeChatDesk
from sandbox.wechat.settings import WeChatSettings, World


class WeChat:
    """API v3, in public-key or platform-certificate mode."""

    name: ClassVar[str] = "wechat"
    modes: ClassVar[tuple[str, ...]] = ("public_key", "platform_certificate")
    operations: ClassVar[frozenset[str]] = frozenset(
        {"pay", "precreate", "query", "reverse", "close", "refund", "refund_query", "callback"}
    )
    narrowed_faults: ClassVar[Mapping[str, Narrowed]] = {
        name: Narrowed(where - {"pay"}, "a barcode payment (pay) has no callback here")
        for name, where in CALLBACK_FAULTS.items()
    }

    settings: ClassVar[type[WeChatSettings]] = WeChatSettings

    async def enrol(self, account: Account, callback_url: str | None) -> dict[str, Any]:
        """A new merchant: its key pair is made here because the sandbox plays the platform's
        console; only its public half is kept.
        """
        merchant = await keys.new_key()
        alphabet = string.ascii_letters + string.digits
        facts = {
            "appid": f"wx{secrets.token_hex(8)}",
            "mchid": f"16{secrets.randbelow(10**8):08d}",
            "merchant_serial": f"{secrets.randbits(159):040X}",
            "api_v3_key": "".join(secrets.choice(alphabet) for _ in range(32)),
        }
        account.kept = facts | {
            "merchant_public_key": keys.public_pem(merchant.public_key()),
            "platform_private_keys": {},
            "platform_keys": {},
            "platform_certificates": {},
            "public": [
                "appid",
                "mchid",
                "merchant_serial",
                "platform_keys",
                "platform_certificates",
                "platform_serial",
            ],
        }
        await add_platform_key(account)
        if account.mode == "platform_certificate":
            # A merchant from before the public keys may have one beside its certificates.
            await add_public_key(account)
        return facts | {
            "base_url": account.base_url,
            "second_base_url": account.second_base_url,
            "mode": account.mode,
            "profile": account.profile,
            "merchant_private_key": keys.private_pem(merchant),
            "platform_keys": dict(account.kept["platform_keys"]),
            "platform_certificates": list(account.kept["platform_certificates"].values()),
            "notify_url": callback_url,
        }

    def open(self, account: Account, surroundings: World) -> WeChatDesk:
        """The merchant's server."""
        return WeChatDesk(account, surroundings, lambda: add_platform_key(account))


async def add_platform_key(account: Account) -> None:
    """A new platform key of the account's kind, published beside the old ones; from now on it signs
    what no request chose a key for.
    """
    kept = account.kept
    if account.mode == "public_key":
        kept["platform_serial"] = await add_public_key(account)
        return
    key = await keys.new_key()
    issuer = certificates.name("Tenpay.com Root CA", "Sandbox CA Center", "Tenpay.com")
    subject = certificates.name("Tenpay.com sign", "Sandbox R&D", "Tenpay.com")
    certificate = certificates.issue(subject, key.public_key(), issuer, await keys.foreign_key())
    serial = certificates.serial_hex(certificate)
    kept["platform_certificates"][serial] = certificates.pem(certificate)
    kept["platform_private_keys"][serial] = keys.private_pem(key)
    kept["platform_serial"] = serial


async def add_public_key(account: Account) -> str:
    """A new WeChat Pay public key; its id, by which a request asks for it."""
    key, kept = await keys.new_key(), account.kept
    serial = f"PUB_KEY_ID_01{kept['mchid']}{secrets.randbelow(10**20):020d}"
    kept["platform_keys"][serial] = keys.public_pem(key.public_key())
    kept["platform_private_keys"][serial] = keys.private_pem(key)
    kept["public_key_id"] = serial
    return serial


CHANNEL = WeChat()
