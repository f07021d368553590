"""Who else is at Redis: ``rediss://`` against right certificates and others, and a user for one fleet alone.

Of the two servers, Debian's redis-server speaks TLS.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from shardfleet_shard.core.requests import Observe
from shardfleet_shard.errors import StoreError, StoreUnavailable
from shardfleet_shard.store.acl import acl_rule
from shardfleet_shard.store.redis_store import RedisStore

from ..servers import RedisServer, free_port, missing_reason

SECRET = "pass-of-the-tests"
needs_redis = pytest.mark.skipif(bool(missing_reason("redis")), reason=missing_reason("redis"))


@dataclass(frozen=True, slots=True)
class Signed:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def make(folder: Path, name: str, *, address: str, issuer: Signed | None = None, days: int = 1) -> Signed:
    """For ``address``; without an issuer an authority. Less than no days: it is over."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above, above_key = subject, key
    if issuer is not None:
        above = x509.load_pem_x509_certificate(issuer.certificate.read_bytes()).subject
        loaded = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        above_key = loaded
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(above_key, hashes.SHA256())
    )
    made = Signed(folder / f"{name}.crt", folder / f"{name}.key")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Signed:
    return make(tmp_path, "authority", address="127.0.0.1")


@contextmanager
def serving(authority: Signed, own: Signed, *, clients: str = "no") -> Iterator[int]:
    """A server on a port with TLS alone; yields the port."""
    port = free_port()
    options = [
        *("--tls-port", str(port), "--tls-cert-file", str(own.certificate), "--tls-key-file", str(own.key)),
        *("--tls-ca-cert-file", str(authority.certificate), "--tls-auth-clients", clients),
    ]
    with RedisServer("redis", password=SECRET, options=options):
        yield port


def store(port: int, *, trusts: Signed, host: str = "127.0.0.1", more: str = "", scheme: str = "rediss") -> RedisStore:
    url = f"{scheme}://:{SECRET}@{host}:{port}/0?ssl_ca_certs={quote(str(trusts.certificate), safe='')}{more}"
    return RedisStore(url, "fleet", timeout_s=10.0)


@needs_redis
async def test_a_server_that_proves_its_name_is_used(authority: Signed, tmp_path: Path) -> None:
    with serving(authority, make(tmp_path, "redis", address="127.0.0.1", issuer=authority)) as port:
        one = store(port, trusts=authority)
        try:
            assert (await one.connect()).durable
            assert await one.call([("SET", "sf:fleet:x", b"1"), ("GET", "sf:fleet:x")]) == [b"OK", b"1"]
        finally:
            await one.close()


@needs_redis
@pytest.mark.parametrize("wrong", ["authority", "name", "time"])
async def test_any_other_server_gets_nothing(authority: Signed, tmp_path: Path, wrong: str) -> None:
    own = make(
        tmp_path,
        "redis",
        address="192.0.2.1" if wrong == "name" else "127.0.0.1",
        issuer=authority,
        days=-1 if wrong == "time" else 1,
    )
    trusted = make(tmp_path, "other", address="127.0.0.1") if wrong == "authority" else authority
    with serving(authority, own) as port:
        one = store(port, trusts=trusted)
        try:
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate") as refused:
                await one.connect()
            assert SECRET not in str(refused.value)
        finally:
            await one.close()


@needs_redis
async def test_a_server_that_asks_for_a_certificate_gets_it(authority: Signed, tmp_path: Path) -> None:
    own = make(tmp_path, "redis", address="127.0.0.1", issuer=authority)
    mine = make(tmp_path, "shard", address="127.0.0.1", issuer=authority)
    with serving(authority, own, clients="yes") as port:
        proof = f"&ssl_certfile={quote(str(mine.certificate), safe='')}&ssl_keyfile={quote(str(mine.key), safe='')}"
        one, without = store(port, trusts=authority, more=proof), store(port, trusts=authority)
        try:
            await one.connect()
            with pytest.raises(StoreUnavailable):
                await without.connect()
        finally:
            await one.close()
            await without.close()


async def test_the_password_is_never_said_to_who_speaks_no_tls(authority: Signed) -> None:
    """Somebody who has taken the server's place, or a URL with the wrong port."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65_536))
                connection.sendall(b"-NOAUTH Authentication required.\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        one = store(listener.getsockname()[1], trusts=authority)
        try:
            with pytest.raises(StoreUnavailable):
                await one.connect()
        finally:
            await one.close()
            thread.join(10)
    assert heard and heard[0][:1] == b"\x16" and SECRET.encode() not in b"".join(heard)


async def test_a_user_of_one_fleet_reaches_no_other() -> None:
    rule = acl_rule().replace("~sf:*", "~sf:play.arena:*")
    assert rule != acl_rule()
    with RedisServer(tcp=True, options=["--user", "narrow", "on", f">{SECRET}", *rule.split()]) as server:
        url = f"redis://narrow:{SECRET}@127.0.0.1:{server.port}/0"
        own, other = RedisStore(url, "play.arena", timeout_s=10.0), RedisStore(url, "play.other", timeout_s=10.0)
        try:
            await own.connect()
            joined = await own.join()
            assert joined.generation and await own.execute([Observe()])
            with pytest.raises(StoreError, match=r"NOPERM|No permissions"):
                await other.join()
            for command in (("CONFIG", "SET", "maxmemory", "1"), ("FLUSHALL",), ("KEYS", "*"), ("ACL", "LIST")):
                with pytest.raises(StoreError, match=r"NOPERM|no permissions"):
                    await own.call([command])
            script = (await own.call([("SCRIPT", "LOAD", "return redis.call('get', 'sf:play.other:meta')")]))[0]
            with pytest.raises(StoreError, match=r"(?i)permission"):
                await own.call([("EVALSHA", script, "0")])
        finally:
            await own.close()
            await other.close()
