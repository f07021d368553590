"""Mutual TLS between shards: a certificate's name must be Hello's shard."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
from shardfleet_shard.net.streams import Credentials

from .fleet import Fleet, Node, eventually

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a CA")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=fleet", "-days", "1")
    for name in ("arena-0", "arena-1", "arena-2"):
        openssl(folder, "req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=shard")
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1")
        openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", f"{name}.ext", "-out", f"{name}.crt"
        )
    return folder


def credentials(folder: Path, name: str) -> Credentials:
    root, key, chain = ((folder / file).read_bytes() for file in ("ca.crt", f"{name}.key", f"{name}.crt"))
    return Credentials(
        server=grpc.ssl_server_credentials([(key, chain)], root_certificates=root, require_client_auth=True),
        channel=grpc.ssl_channel_credentials(root, key, chain),
    )


async def test_shards_with_their_own_names_link_up(authority: Path) -> None:
    nodes = [Node(n, credentials=credentials(authority, f"arena-{n}")) for n in range(2)]
    async with Fleet(*nodes) as fleet:
        fleet.observe()
        await eventually(lambda: all(node.up for node in nodes))


async def test_a_caller_with_another_shards_certificate_is_refused(authority: Path) -> None:
    liar = Node(0, credentials=credentials(authority, "arena-2"))
    honest = Node(1, credentials=credentials(authority, "arena-1"))
    async with Fleet(liar, honest):
        liar.manager.set_peers({"arena-1": (honest.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: honest.manager.links_refused)
        assert honest.ups == liar.ups == []


async def test_a_server_with_another_shards_certificate_is_not_talked_to(authority: Path) -> None:
    caller = Node(0, credentials=credentials(authority, "arena-0"))
    liar = Node(1, credentials=credentials(authority, "arena-2"))
    async with Fleet(caller, liar):
        caller.manager.set_peers({"arena-1": (liar.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: caller.manager.dials > 2)
        assert liar.ups == caller.ups == [] and liar.manager.frames_refused == 0


async def test_a_caller_without_a_certificate_gets_no_further(authority: Path) -> None:
    plain = Node(0)
    honest = Node(1, credentials=credentials(authority, "arena-1"))
    async with Fleet(plain, honest):
        plain.manager.set_peers({"arena-1": (honest.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: plain.manager.dials > 2)
        assert plain.ups == honest.ups == []
