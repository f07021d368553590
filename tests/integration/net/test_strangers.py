"""Who is no shard of the fleet, or not the one that it says, against links and service with mutual TLS.

Certificates are made as the operator makes them, and then not quite so.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from shardfleet_operator.cluster.certificates import Pair, bundle, next_authorities, next_certificate
from shardfleet_shard.core.frames import Nudge
from shardfleet_shard.errors import ShardfleetError, ShardUnavailable
from shardfleet_shard.net.client import ShardClient
from shardfleet_shard.net.packets import HandoffPacketManager
from shardfleet_shard.net.streams import METHOD, Credentials, DialedStream, StreamEnded
from shardfleet_shard.net.tls import TlsFiles
from shardfleet_shard.system_clock import SystemClock

from .fleet import GRID, SCHEMA, Fleet, Node, answer, eventually, offer
from .test_shard_service import Api

NOW = SystemClock().now_unix_us()
PACKETS = HandoffPacketManager(SCHEMA, GRID)
DAY_US = 86_400_000_000
(OURS,) = next_authorities([], fleet="arena", now_us=NOW)
(THEIRS,) = next_authorities([], fleet="arena", now_us=NOW)
"""Of another fleet of the same name, in another namespace say."""


def of(shard: str, issuer: Pair = OURS, *, at_us: int = NOW) -> Pair:
    return next_certificate(None, issuer, shard=shard, now_us=at_us)


def odd(*, common_name: str, names: list[str], issuer: Pair | None = OURS, days: int = 1) -> Pair:
    """Signed by ``issuer``, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    begins = OURS.parsed.not_valid_before_utc
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.parsed.subject if issuer else subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .public_key(key.public_key())
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    certificate = builder.sign(issuer.private_key if issuer else key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


def files(pair: Pair, *, trusts: list[Pair] | None = None) -> TlsFiles:
    return TlsFiles(authorities=bundle(trusts or [OURS]), certificate=pair.certificate, key=pair.key)


def credentials(pair: Pair, *, trusts: list[Pair] | None = None) -> Credentials:
    mine = files(pair, trusts=trusts)
    server = grpc.ssl_server_credentials([(mine.key, mine.certificate)], mine.authorities, require_client_auth=True)
    return Credentials(server=server, channel=mine.channel)


# Each says that it is arena-0. Those of another authority trust ours: they would talk to us.
STRANGERS = {
    "another shard of the fleet": lambda: of("arena-2"),
    "the same shard of another fleet": lambda: of("arena-0", THEIRS),
    "signed by itself": lambda: odd(common_name="arena-0", names=["arena-0"], issuer=None),
    "over since yesterday": lambda: of("arena-0", at_us=NOW - 31 * DAY_US),
    "its name as a common name alone": lambda: odd(common_name="arena-0", names=["arena-2"]),
    "no name but a common name": lambda: odd(common_name="arena-0", names=[]),
    "a wildcard": lambda: odd(common_name="x", names=["*.arena-0", "*"]),
    "its name and more": lambda: odd(common_name="x", names=["arena-0.evil", "arena-00", "ARENA-0 "]),
    "signed by a shard": lambda: odd(common_name="arena-0", names=["arena-0"], issuer=of("arena-2")),
}
KNOWN = {
    "another shard of the fleet", "its name as a common name alone", "no name but a common name", "a wildcard",
    "its name and more",
}  # fmt: skip
"""Those whom the fleet's authority signed: TLS takes them, and their names are looked at then."""


@pytest.mark.parametrize("who", STRANGERS)
async def test_a_stranger_gets_no_link_by_calling(who: str) -> None:
    """Who has another name is counted. The others end in gRPC's handshake, of which it tells a server nothing."""
    liar = Node(0, credentials=credentials(STRANGERS[who]()))
    honest = Node(1, credentials=credentials(of("arena-1")))
    async with Fleet(liar, honest):
        liar.manager.set_peers({"arena-1": (honest.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: liar.manager.dials > 3)
        if who in KNOWN:
            await eventually(lambda: honest.manager.links_refused >= 3)
        else:
            assert honest.manager.links_refused == 0
        assert honest.ups == [] and honest.frames == [] and not honest.up


# gRPC's client takes a common name where there is no other name; no certificate of the operator is without one.
@pytest.mark.parametrize("who", [who for who in STRANGERS if who != "no name but a common name"])
async def test_a_stranger_gets_no_link_by_being_called(who: str) -> None:
    caller = Node(1, credentials=credentials(of("arena-1")))
    liar = Node(0, credentials=credentials(STRANGERS[who]()))
    async with Fleet(caller, liar):
        caller.manager.set_peers({"arena-0": (liar.address, 0, 1)}, {"arena-0"})
        await eventually(lambda: caller.manager.dials > 3)
        assert caller.ups == liar.ups == [] and liar.frames == []


@pytest.mark.parametrize("who", [who for who in STRANGERS if who != "another shard of the fleet"])
async def test_a_stranger_is_not_served(who: str) -> None:
    """The service takes whoever the fleet's authority knows; what its name is matters on links alone."""
    pair = STRANGERS[who]()
    node = Node(1, credentials=credentials(of("arena-1")))
    await node.start(Api())
    try:
        asker = Credentials(channel=files(pair).channel)
        async with ShardClient(node.address, credentials=asker, server_name="arena-1") as client:
            if who in KNOWN:
                assert (await client.inspect("stats"))["section"] == "stats"
            else:
                with pytest.raises(ShardUnavailable):
                    await client.inspect("stats")
    finally:
        await node.stop()


@pytest.mark.parametrize("plain", [True, False])
async def test_without_a_certificate_nothing_is_served(plain: bool) -> None:
    node = Node(1, credentials=credentials(of("arena-1")))
    await node.start(Api())
    authorities_alone = Credentials(channel=grpc.ssl_channel_credentials(bundle([OURS])))
    asker = Credentials() if plain else authorities_alone
    try:
        async with ShardClient(node.address, credentials=asker, server_name="arena-1") as client:
            with pytest.raises(ShardUnavailable):
                await client.inspect("stats")
        stream = DialedStream(node.address, credentials=asker, server_name="arena-1")
        with pytest.raises(StreamEnded):
            await stream.write(PACKETS.to_bytes(Node(0).hello))  # type: ignore[arg-type]
            await stream.read()
        await stream.close()
        assert node.manager.frames_refused == 0, "it never came so far"
    finally:
        await node.stop()


async def test_a_client_does_not_ask_another_shard_than_it_means() -> None:
    node = Node(2, credentials=credentials(of("arena-2")))
    await node.start(Api())
    try:
        asker = Credentials(channel=files(of("arena-0")).channel)
        async with ShardClient(node.address, credentials=asker, server_name="arena-1") as client:
            with pytest.raises(ShardUnavailable):
                await client.inspect("stats")
    finally:
        await node.stop()


@pytest.mark.parametrize(
    ("version", "taken"),
    [(ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_protocols_of_tls_are_refused(version: ssl.TLSVersion, taken: bool, tmp_path: Path) -> None:
    node, mine = Node(1, credentials=credentials(of("arena-1"))), of("arena-0")
    await node.start(Api())
    for name, content in (("ca", bundle([OURS])), ("crt", mine.certificate), ("key", mine.key)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca"))
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    host, _, port = node.address.rpartition(":")
    try:
        if taken:
            _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="arena-1")
            writer.close()
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(host, int(port), ssl=context, server_hostname="arena-1")
    finally:
        await node.stop()


# --- frames of those who have a certificate ----------------------------------------------------------------------

HELLO = Node(0).hello


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b"\xff\xff"], "malformed"),
        ([PACKETS.to_bytes(Nudge())], "before Hello"),
        ([PACKETS.to_bytes(HELLO), PACKETS.to_bytes(HELLO)], "second Hello"),  # type: ignore[arg-type]
        ([PACKETS.to_bytes(HELLO), PACKETS.to_bytes(offer("arena-2"))], "wrong sender"),  # type: ignore[arg-type]
        ([PACKETS.to_bytes(HELLO), PACKETS.to_bytes(offer(epoch=9))], "wrong sender"),  # type: ignore[arg-type]
        ([PACKETS.to_bytes(HELLO), PACKETS.to_bytes(answer())], "wrong sender"),  # type: ignore[arg-type]
        ([PACKETS.to_bytes(HELLO), b""], "malformed"),  # type: ignore[arg-type]
    ],
)
async def test_frames_that_break_a_rule_are_counted_by_it_and_reach_nobody(messages: list[bytes], reason: str) -> None:
    node = Node(1, credentials=credentials(of("arena-1")))
    await node.start()
    stream = DialedStream(
        node.address, credentials=Credentials(channel=files(of("arena-0")).channel), server_name="arena-1"
    )
    try:
        with pytest.raises(StreamEnded):
            for message in messages:
                await stream.write(message)
            while True:
                await stream.read()
        await eventually(lambda: node.manager.refused_by_reason == {reason: 1})
        assert node.frames == []
    finally:
        await stream.close()
        await node.stop()


async def test_a_recorded_link_played_again_is_an_old_epochs(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody who has a shard's key and a recording: once the shard has begun anew, both are worth nothing."""
    node = Node(1, credentials=credentials(of("arena-1")))
    await node.start()
    node.manager.set_peers({"arena-0": ("127.0.0.1:9", 0, 2)}, set())  # the fleet knows epoch 2
    stream = DialedStream(
        node.address, credentials=Credentials(channel=files(of("arena-0")).channel), server_name="arena-1"
    )
    try:
        with pytest.raises(StreamEnded):
            for message in (PACKETS.to_bytes(HELLO), PACKETS.to_bytes(offer())):  # type: ignore[arg-type]
                await stream.write(message)
            while True:
                await stream.read()
        await eventually(lambda: node.manager.links_refused == 1)
        # The caller may have been told no more than that its second message came to nothing.
        assert "epoch 1 of arena-0 was superseded by 2" in caplog.text
        assert node.frames == []
    finally:
        await stream.close()
        await node.stop()


async def test_many_links_at_once_of_one_shard_leave_one() -> None:
    node = Node(1, credentials=credentials(of("arena-1")))
    await node.start()
    channel = Credentials(channel=files(of("arena-0")).channel)
    streams = [DialedStream(node.address, credentials=channel, server_name="arena-1") for _ in range(20)]
    try:
        for stream in streams:
            await stream.write(PACKETS.to_bytes(HELLO))  # type: ignore[arg-type]
        await eventually(lambda: node.up == ["arena-0"] and node.ups == [("arena-0", 1)])
        assert len(node.manager.describe()) == 1
    finally:
        for stream in streams:
            await stream.close()
        await node.stop()


async def test_a_message_that_is_too_large_is_not_read() -> None:
    node = Node(1, credentials=credentials(of("arena-1")))
    await node.start(Api())
    options = [("grpc.ssl_target_name_override", "arena-1"), ("grpc.max_send_message_length", -1)]
    try:
        async with grpc.aio.secure_channel(node.address, files(of("arena-0")).channel, options=options) as channel:
            for method in ("Spawn", "Inspect"):
                call = channel.unary_unary(f"/shardfleet.v1.Shard/{method}")(bytes(9_000_000))
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call
                assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            link = channel.stream_stream(METHOD)()
            await link.write(bytes(9_000_000))
            assert await link.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with ShardClient(
            node.address, credentials=Credentials(channel=files(of("arena-0")).channel), server_name="arena-1"
        ) as client:
            assert (await client.inspect("stats"))["section"] == "stats"
    except ShardfleetError as error:
        raise AssertionError("the shard serves no longer") from error
    finally:
        await node.stop()
