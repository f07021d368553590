"""How a shard is asked: with the fleet's certificates on a cluster; on one machine in plain text or by `--tls`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from shardfleet_shard.core.requests import Member
from shardfleet_shard.net.client import DEADLINE_S, ShardClient
from shardfleet_shard.net.streams import Credentials
from shardfleet_shard.net.tls import TlsFiles, TlsFolder


class Dial(Protocol):
    """A client of a member of the fleet; it connects at its first call."""

    def __call__(self, member: Member, *, deadline_s: float = DEADLINE_S) -> ShardClient: ...


def dial_plainly(member: Member, *, deadline_s: float = DEADLINE_S) -> ShardClient:
    return ShardClient(member.address, deadline_s=deadline_s)


def dial_with(files: TlsFiles) -> Dial:
    """Proves who asks by ``files``; the shard must prove its name."""
    credentials = Credentials(channel=files.channel)

    def dial(member: Member, *, deadline_s: float = DEADLINE_S) -> ShardClient:
        return ShardClient(member.address, credentials=credentials, server_name=member.shard, deadline_s=deadline_s)

    return dial


def dial_by(folder: Path | None) -> Dial:
    """With the files of ``local up --tls``, as they are now; plainly for None.

    Raises:
        UsageError: these files are not good.
    """
    return dial_with(TlsFolder(folder).files) if folder is not None else dial_plainly
