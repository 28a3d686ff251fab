"""RSA keys and signatures (RSASSA-PKCS1-v1_5 with SHA-256), as both wallet channels use them."""

import asyncio
import base64
import binascii
from concurrent.futures import ThreadPoolExecutor

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox import limits

_POOL = ThreadPoolExecutor(limits.SIGNING_THREADS, thread_name_prefix="rsa")


async def new_key() -> rsa.RSAPrivateKey:
    """A fresh key pair; made off the event loop, because it takes tens of milliseconds."""
    return await asyncio.get_running_loop().run_in_executor(
        _POOL, rsa.generate_private_key, 65_537, limits.KEY_BITS
    )


async def sign(key: rsa.RSAPrivateKey, message: bytes) -> str:
    """Base64 signature; made off the event loop:
    signing is the dear half of RSA (verifying is not).
    """
    signature = await asyncio.get_running_loop().run_in_executor(
        _POOL, key.sign, message, padding.PKCS1v15(), hashes.SHA256()
    )
    return base64.b64encode(signature).decode()


def is_signed_by(key: rsa.RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether `signature` (base64, strictly) is the key's over exactly these bytes."""
    try:
        key.verify(
            base64.b64decode(signature, validate=True), message, padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS#8 PEM, unencrypted."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    ).decode()


def public_pem(key: rsa.RSAPublicKey) -> str:
    """SubjectPublicKeyInfo PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def bare(pem: str) -> str:
    """The base64 of a PEM, in one line and without its armour."""
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


def load_private(pem: str) -> rsa.RSAPrivateKey:
    """The key of a PEM that `private_pem` made."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def load_public(pem: str) -> rsa.RSAPublicKey:
    """The key of a PEM that `public_pem` made."""
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    return key


_FOREIGN: list[rsa.RSAPrivateKey] = []


async def foreign_key() -> rsa.RSAPrivateKey:
    """A key that belongs to nobody, for forged signatures; made once."""
    if not _FOREIGN:
        _FOREIGN.append(await new_key())
    return _FOREIGN[0]
