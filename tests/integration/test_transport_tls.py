"""TLS is always verified, and a handshake that fails has sent nothing."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.transport import AiohttpTransport, InlineExecutor, NotSentError
from gateway.clock import SystemClock
from tests.integration.test_transport import (
    assert_not_sent,
    call,
    failure_of,
    peer_that,
    say,
    say_nothing,
    say_ok,
    transport,
)


async def test_a_certificate_nobody_vouches_for_is_not_sent(self_signed: ssl.SSLContext) -> None:
    async with peer_that(say_ok, self_signed) as peer, transport() as sender:
        assert_not_sent(await failure_of(sender, call(peer.url.replace("http", "https"))), "tls")
        assert peer.requests == 0


async def test_a_server_without_tls_is_not_sent() -> None:
    async with peer_that(say(b"what?")) as peer, transport(connect_timeout_ms=200) as sender:
        assert isinstance(
            await failure_of(sender, call(peer.url.replace("http", "https"))), NotSentError
        )
        assert peer.requests == 0


async def test_a_handshake_that_never_ends_is_not_sent() -> None:
    async with peer_that(say_nothing) as peer, transport(connect_timeout_ms=50) as sender:
        assert_not_sent(
            await failure_of(sender, call(peer.url.replace("http", "https"))), "connect_timeout"
        )


async def test_a_private_authority_can_be_trusted(
    certificate: Path, self_signed: ssl.SSLContext
) -> None:
    async with (
        peer_that(say_ok, self_signed) as peer,
        transport(tls=ssl.create_default_context(cafile=certificate)) as sender,
    ):
        answer = await sender.send(
            call(peer.url.replace("http", "https").replace("127.0.0.1", "localhost"))
        )
        assert answer.status == 200


async def test_a_right_certificate_for_another_name_is_not_sent(
    certificate: Path, self_signed: ssl.SSLContext
) -> None:
    async with (
        peer_that(say_ok, self_signed) as peer,
        transport(tls=ssl.create_default_context(cafile=certificate)) as sender,
    ):
        assert_not_sent(await failure_of(sender, call(peer.url.replace("http", "https"))), "tls")


@pytest.mark.parametrize(
    ("check_hostname", "verify_mode"),
    [
        (False, ssl.CERT_NONE),
        (False, ssl.CERT_OPTIONAL),
        (False, ssl.CERT_REQUIRED),  # any certificate of the authority would do, of any name
        (True, ssl.CERT_OPTIONAL),
    ],
)
def test_a_context_that_does_not_verify_is_refused(
    check_hostname: bool, verify_mode: ssl.VerifyMode
) -> None:
    context = ssl.create_default_context()
    context.check_hostname = check_hostname
    context.verify_mode = verify_mode
    with pytest.raises(ValueError, match="does not verify"):
        AiohttpTransport(clock=SystemClock(), signing_executor=InlineExecutor(), tls=context)


@pytest.fixture(name="certificate", scope="module")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, beside its key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(name="self_signed", scope="module")
def make_server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
