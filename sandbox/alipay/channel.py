"""Alipay's `CHANNEL`: enrolment as the merchant console does it, and the desk of an account."""

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from sandbox import certificates, keys
from sandbox.alipay import wire
from sandbox.alipay.desk import AlipayDesk
from sandbox.alipay.settings import AlipaySettings, World
from sandbox.channel import Account, Narrowed

_ISSUER: Final = "Sandbox Financial Certification Authority Class 2 R1"


class Alipay:
    """OpenAPI v2 with RSA2, in public-key or certificate mode."""

    name: ClassVar[str] = "alipay"
    modes: ClassVar[tuple[str, ...]] = ("public_key", "certificate")
    operations: ClassVar[frozenset[str]] = frozenset(
        {"pay", "precreate", "query", "cancel", "close", "refund", "refund_query", "callback"}
    )
    narrowed_faults: ClassVar[Mapping[str, Narrowed]] = {
        "signtest_probe": Narrowed(frozenset(), "the probe is WeChat Pay's; Alipay sends none"),
        "stale_timestamp": Narrowed(
            frozenset({"callback"}), "Alipay's answers carry no time, only its notify does"
        ),
    }

    settings: ClassVar[type[AlipaySettings]] = AlipaySettings

    async def enrol(self, account: Account, callback_url: str | None) -> dict[str, Any]:
        """A new app: the merchant's key pair is made here because the sandbox plays the console
        too; only its public half is kept.
        """
        merchant, platform = await keys.new_key(), await keys.new_key()
        app_id, seller_id = (
            f"2021{secrets.randbelow(10**12):012d}",
            f"2088{secrets.randbelow(10**12):012d}",
        )
        account.kept = {
            "app_id": app_id,
            "seller_id": seller_id,
            "merchant_public_key": keys.public_pem(merchant.public_key()),
            "platform_private_key": keys.private_pem(platform),
            "alipay_public_key": keys.bare(keys.public_pem(platform.public_key())),
            "public": ["app_id", "seller_id", "alipay_public_key", "alipay_certificate"],
        }
        credentials = {
            "app_id": app_id,
            "seller_id": seller_id,
            "gateway_url": f"{account.base_url}/gateway.do",
            "second_gateway_url": f"{account.second_base_url}/gateway.do",
            "mode": account.mode,
            "profile": account.profile,
            "app_private_key": keys.bare(keys.private_pem(merchant)),
            "alipay_public_key": account.kept["alipay_public_key"],
            "app_certificate": None,
            "alipay_certificate": None,
            "alipay_root_certificate": None,
            "notify_url": callback_url,
        }
        if account.mode == "certificate":
            credentials |= await _certify(account, merchant.public_key(), platform.public_key())
        return credentials

    def open(self, account: Account, surroundings: World) -> AlipayDesk:
        """The account's server."""
        return AlipayDesk(account, surroundings)


async def _certify(account: Account, merchant: Any, platform: Any) -> dict[str, Any]:
    """Certificates by one made-up authority; the root bundle also holds an elliptic-curve root, as
    the real one does.
    """
    authority = await keys.new_key()
    issuer = certificates.name(_ISSUER)
    root = certificates.issue(issuer, authority.public_key(), issuer, authority, is_ca=True)
    bundle = [root, certificates.elliptic_root(certificates.name("Sandbox ECC Root CA"))]
    app = certificates.issue(
        certificates.name(account.kept["app_id"], "Merchant"), merchant, issuer, authority
    )
    alipay = certificates.issue(
        certificates.name("Alipay Sandbox", "Alipay"), platform, issuer, authority
    )
    number = wire.certificate_number(alipay)
    account.kept |= {
        "authority_private_key": keys.private_pem(authority),
        "issuer_certificate": certificates.pem(root),
        "app_cert_sn": wire.certificate_number(app),
        "root_cert_sn": wire.root_number(bundle),
        "alipay_cert_sn": number,
        "alipay_certificate": certificates.pem(alipay),
        "alipay_certificates": {number: certificates.pem(alipay)},
    }
    return {
        "alipay_public_key": None,
        "app_certificate": certificates.pem(app),
        "alipay_certificate": certificates.pem(alipay),
        "alipay_root_certificate": "\n".join(certificates.pem(one) for one in bundle),
    }


CHANNEL = Alipay()
