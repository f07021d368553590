"""A fleet on one machine whose shards speak mutual TLS, with files made as the page says."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.cli.fleet import locate, opened
from shardfleet_operator.cli.population import living_members
from shardfleet_operator.dialing import dial_by, dial_plainly
from shardfleet_shard.core.requests import Member
from shardfleet_shard.errors import ShardUnavailable

from tests.patience import PATIENCE_S, beside_lateness, kept_up
from tests.tls_files import NEEDS_OPENSSL, make_tls_files

from .place import SHARDFLEET, wait_for_status

pytestmark = NEEDS_OPENSSL

ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"
ENTITIES = 50


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With the files in ``tls``; its path is short, for the socket in ``data``."""
    with tempfile.TemporaryDirectory(prefix="sf-tls-", dir="/tmp") as name:
        make_tls_files(Path(name))
        yield Path(name)


@pytest.fixture
def fleet(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [*SHARDFLEET, "local", "up", "-f", str(ORBIT), "--data", "data", "--tls", "tls", "--no-map"]
    command += ["--report", "json", "--trace", "trace"]
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(folder: Path, *arguments: str) -> str:
    """What the command prints; it must do well."""
    done = subprocess.run(
        [*SHARDFLEET, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_handing_over(status: dict[str, Any]) -> bool:
    shards = status.get("shards", [])
    return sum(shard["entities"] for shard in shards) >= ENTITIES and status["handoffs"] > 0


async def members_of(data: Path) -> list[Member]:
    async with opened(locate(data, None, None)) as store:
        return await living_members(store)


async def asked(folder: Path) -> None:
    """Each shard answers whoever has the files, and in plain text nobody."""
    members = await members_of(folder / "data")
    assert len(members) == 4
    for member in members:
        async with dial_by(folder / "tls")(member, deadline_s=PATIENCE_S) as client:
            assert (await client.inspect("config"))["tick_rate"] == 20
        async with dial_plainly(member, deadline_s=PATIENCE_S) as stranger:
            with pytest.raises(ShardUnavailable, match="failed to connect"):  # it is refused, and does not wait in vain
                await stranger.inspect("config")


def test_handoffs_go_over_tls_and_every_command_can_ask(fleet: subprocess.Popen[str], folder: Path) -> None:
    wait_for_status(folder / "data", "handoffs", is_handing_over)
    asyncio.run(asked(folder))
    run(folder, "spawn", "--data", "data", "--id", "4711", "--position", "10,-20")
    rows = run(folder, "watch", "--data", "data", "--json", "--duration", "3s").splitlines()
    assert len({json.loads(row)["shard"] for row in rows}) == 4
    found = json.loads(run(folder, "entity", "4711", "--data", "data", "--json"))
    assert found["alive"] and found["since_exact"]
    assert run(folder, "despawn", "4711", "--data", "data") == "despawned 4711\n"
    shutil.rmtree(folder / "tls")  # shards that run keep what they have
    fleet.send_signal(signal.SIGINT)
    report = json.loads(fleet.communicate(timeout=PATIENCE_S)[0])
    faults = json.loads((folder / "data" / "outcome.json").read_text())["faults"]
    assert (faults if kept_up(report) else beside_lateness(faults)) == [], (folder / "stderr").read_text()
    assert report["handoffs"]["completed"] > 0
    assert [report["entities"][name] for name in ("expected", "owned", "missing", "doubled")] == [50, 50, 0, 0]
    run(folder, "check", "trace", "--bound", str(PATIENCE_S))
