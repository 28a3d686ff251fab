"""No packet to a private range: lying names, rebinding, literals, a peer that is not who was asked
for, proxies, certificates.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.webhooks.line import NoReply, Reply, WebhookLine
from sandbox import certificates
from security.egress import AddressRefused, GuardedConnector
from tests.unit.security.test_public_address import ADDRESSES, BAD
from tests.webhook_receiver import answering, webhook_receiver

REFUSED = [
    line.split()[0] for line in ADDRESSES.strip().splitlines() if not line.endswith("public")
]


class LyingResolver(AbstractResolver):
    """Answers with the next list each time it is asked; the last one for ever.

    What a rebinding name server does.
    """

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.askings = list(answers), 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers[min(self.askings, len(self.answers) - 1)]
        self.askings += 1
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Sockets:
    """Every socket that is asked for, by its address.

    None is made: a public address is as far away as a private one.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, address: Any) -> socket.socket:
        self.asked.append(address[4][0])
        raise ConnectionRefusedError("no packet leaves this test")


def guarded(
    *, resolver: AbstractResolver | None = None, sockets: Any = None, allow_loopback: bool = False
) -> GuardedConnector:
    return GuardedConnector(
        allow_loopback=allow_loopback, connections_max=8, resolver=resolver, socket_factory=sockets
    )


async def posted(
    connector: GuardedConnector, url: str, *, allow_loopback: bool = False
) -> Reply | str:
    """The reply, or the reason for none."""
    line = WebhookLine(allow_loopback=allow_loopback, connector=connector, timeout_ms=5_000)
    try:
        return await line.post(url, {}, b"{}")
    except NoReply as silence:
        return silence.reason
    finally:
        await line.aclose()


async def test_no_hostile_url_makes_a_socket():
    sockets = Sockets()
    for url in [
        *BAD.split(),
        *(
            f"https://[{address}]/" if ":" in address else f"https://{address}/"
            for address in REFUSED
        ),
    ]:
        reason = await posted(guarded(sockets=sockets, resolver=LyingResolver(["127.0.0.1"])), url)
        assert isinstance(reason, str), url
    assert sockets.asked == []


@pytest.mark.parametrize("address", REFUSED)
async def test_a_name_that_leads_inwards(address: str):
    """Alone, and hidden among public addresses."""
    for answer in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        sockets, resolver = Sockets(), LyingResolver(answer)
        reason = await posted(
            guarded(sockets=sockets, resolver=resolver), "https://merchant.example/"
        )
        assert (reason, sockets.asked) == (
            "address refused: the host does not lead to a public address",
            [],
        )
        assert address not in str(reason)


async def test_a_name_that_is_rebound():
    """Public when it was looked at, private when it is used:
    asked anew for each try, and each answer judged.
    """
    sockets, resolver = (
        Sockets(),
        LyingResolver(["8.8.8.8"], ["127.0.0.1"], ["::1"], ["169.254.169.254"], ["1.1.1.1"]),
    )
    connector = guarded(sockets=sockets, resolver=resolver)
    line = WebhookLine(allow_loopback=False, connector=connector)
    reasons = []
    for _ in range(5):
        with pytest.raises(NoReply) as silence:
            await line.post("https://merchant.example/", {}, b"{}")
        reasons.append(silence.value.reason.partition(":")[0])
    await line.aclose()
    assert reasons == ["connection refused", *["address refused"] * 3, "connection refused"]
    assert (sockets.asked, resolver.askings) == (["8.8.8.8", "1.1.1.1"], 5)


async def test_a_literal_past_the_url_check():
    """aiohttp asks no resolver about literals; the socket's own address is judged."""
    sockets = Sockets()
    async with (
        webhook_receiver() as receiver,
        aiohttp.ClientSession(connector=guarded(sockets=sockets)) as session,
    ):
        port = receiver.base_url.rpartition(":")[2]
        for host in (
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[fd00:ec2::254]",
            "169.254.169.254",
            "10.0.0.1",
        ):
            with pytest.raises(aiohttp.ClientConnectorError) as failure:
                await session.post(f"http://{host}:{port}/")
            assert isinstance(failure.value.os_error, AddressRefused), host
        assert (sockets.asked, receiver.received) == ([], [])


class _Blind(GuardedConnector):
    """A connector whose socket check is broken."""

    def _guarded_socket(self, address: Any) -> socket.socket:
        return socket.socket(address[0], address[1], address[2])


async def test_a_peer_that_may_not_be_one_is_told_nothing():
    async with webhook_receiver() as receiver:
        async with aiohttp.ClientSession(
            connector=_Blind(allow_loopback=False, connections_max=8)
        ) as session:
            with pytest.raises(aiohttp.ClientConnectorError) as failure:
                await session.post(receiver.url, data=b"{}")
        assert isinstance(failure.value.os_error, AddressRefused)
        assert receiver.received == []


async def test_loopback_is_all_that_the_setting_allows():
    async with webhook_receiver() as receiver:
        reply = await posted(guarded(allow_loopback=True), receiver.url, allow_loopback=True)
        assert isinstance(reply, Reply)
        assert reply.status == 200
        local = receiver.url.replace("127.0.0.1", "localhost")
        assert isinstance(
            await posted(guarded(allow_loopback=True), local, allow_loopback=True), Reply
        )
        for answer in (["10.0.0.1"], ["127.0.0.1", "192.168.0.1"], ["::ffff:127.0.0.1"]):
            sockets = Sockets()
            connector = guarded(
                allow_loopback=True, resolver=LyingResolver(answer), sockets=sockets
            )
            reason = await posted(connector, "https://merchant.example/", allow_loopback=True)
            assert (str(reason).partition(":")[0], sockets.asked) == ("address refused", [])
    assert len(receiver.received) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_nothing_more(status: int):
    async with webhook_receiver() as receiver, webhook_receiver() as inside:
        for target in (inside.url, "http://169.254.169.254/latest/meta-data/", "//127.0.0.1/"):
            receiver.behaviour = answering(status, Location=target)
            reply = await posted(guarded(allow_loopback=True), receiver.url, allow_loopback=True)
            assert isinstance(reply, Reply)
            assert reply.status == status
        assert inside.received == []


async def test_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    async with webhook_receiver() as receiver, webhook_receiver() as proxy:
        for name in (
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ):
            monkeypatch.setenv(name, proxy.base_url)
        monkeypatch.setenv("NO_PROXY", "")
        assert isinstance(
            await posted(guarded(allow_loopback=True), receiver.url, allow_loopback=True), Reply
        )
        assert await posted(guarded(sockets=Sockets()), "https://1.1.1.1/") == "connection refused"
        assert (len(receiver.received), proxy.received) == (1, [])


async def test_a_certificate_nobody_vouches_for(tmp_path: Path):
    async with webhook_receiver(tls=self_signed(tmp_path / "localhost.pem")) as receiver:
        reason = await posted(guarded(allow_loopback=True), receiver.url, allow_loopback=True)
        assert (reason, receiver.received) == ("the certificate or the TLS handshake failed", [])


def self_signed(path: Path) -> ssl.SSLContext:
    """A server's side with a certificate that only says so itself."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    certificate = certificates.issue(
        certificates.name("127.0.0.1"), key.public_key(), certificates.name("127.0.0.1"), key
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path.write_text(private + certificates.pem(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
