"""Links over certificates that are replaced while they stand."""

from __future__ import annotations

from pathlib import Path

from shardfleet_operator.cluster.certificates import Pair, bundle, next_authorities, next_certificate
from shardfleet_shard.net.tls import TlsFolder
from shardfleet_shard.system_clock import SystemClock

from .fleet import Fleet, Node, eventually

NOW = SystemClock().now_unix_us()


def write(folder: Path, authorities: list[Pair], issuer: Pair, shard: str) -> None:
    folder.mkdir(exist_ok=True)
    pair = next_certificate(None, issuer, shard=shard, now_us=NOW)
    for name, content in (("ca.crt", bundle(authorities)), ("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (folder / name).write_bytes(content)


async def test_links_are_made_anew_with_the_new_authority(tmp_path: Path) -> None:
    (old,) = next_authorities([], fleet="arena", now_us=NOW)
    (new,) = next_authorities([], fleet="arena", now_us=NOW)
    folders = [tmp_path / "arena-0", tmp_path / "arena-1"]
    for folder in folders:
        write(folder, [old, new], old, folder.name)
    tls = [TlsFolder(folder) for folder in folders]
    nodes = [Node(n, credentials=tls[n].credentials) for n in range(2)]
    async with Fleet(*nodes) as fleet:
        fleet.observe()
        await eventually(lambda: all(node.up for node in nodes))
        # Both get certificates of the new authority and then forget the old one: a link can only come up if server
        # and client both took the new files.
        for issuer, trusted in ((new, [old, new]), (new, [new])):
            dials = [node.manager.dials for node in nodes]
            for folder, files, node in zip(folders, tls, nodes, strict=True):
                write(folder, trusted, issuer, folder.name)
                assert files.reload()
                node.manager.renew_credentials(files.credentials)
            await eventually(lambda before=dials: [node.manager.dials for node in nodes] != before)
            await eventually(lambda: all(node.up for node in nodes))
        assert all(node.manager.links_refused == 0 for node in nodes)
