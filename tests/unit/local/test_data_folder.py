"""The data folder: who may use it, and what --fresh removes."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest
from shardfleet_operator.local.folder import EMBEDDED, DataFolder, RunningFleet, trace_folder, without_password
from shardfleet_operator.plan import Process, ProcessState
from shardfleet_operator.platforms.local import LocalProcess
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import DataFolderError, UsageError

ARENA = FleetConfig(name="arena")


def _made(path: Path, config: FleetConfig = ARENA) -> DataFolder:
    folder = DataFolder(path)
    folder.lock()
    assert folder.check_world(config, EMBEDDED, fresh=False) is False
    folder.begin_world(config, EMBEDDED, fresh=False)
    folder.unlock()
    return folder


def _fleet(folder: DataFolder) -> RunningFleet:
    folder.write_fleet("arena", "redis://:secret@h/0", Path("/f.yaml"), started_unix_us=1)
    return RunningFleet(
        fleet="arena", pid=os.getpid(), redis_url="redis://:secret@h/0", file="/f.yaml", started_unix_us=1
    )


def test_a_new_folder_is_private_and_the_same_world_goes_on(tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.check_world(ARENA, EMBEDDED, fresh=False) is False, "it was refused before it began"
    folder.write_config(ARENA)
    assert folder.check_world(ARENA, EMBEDDED, fresh=False) is True
    assert folder.check_world(ARENA, EMBEDDED, fresh=True) is False


def test_fleet_file_is_for_its_user_alone(tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
    fleet = _fleet(folder)
    assert stat.S_IMODE((folder.path / "fleet.json").stat().st_mode) == 0o600
    assert folder.last_fleet() == fleet
    folder.write_fleet("arena", "redis://h", Path("/f.yaml"), started_unix_us=1, tls=Path("/tls"))
    last = folder.last_fleet()
    assert last is not None and (last.tls, fleet.tls) == ("/tls", "")


def test_a_second_supervisor_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.lock()
    pid = (tmp_path / "data" / "lock").read_text()
    with pytest.raises(DataFolderError, match=f"runs already \\(pid {pid}\\)"):
        second.lock()
    assert second.is_running()
    first.unlock()
    assert not second.is_running()
    second.lock()
    second.unlock()


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataFolderError, match="holds other files"):
        DataFolder(tmp_path).lock()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_version_is_refused_by_number(tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
    (folder.path / "shardfleet.json").write_text(json.dumps({"version": 99, "fleet": "arena"}))
    folder.lock()
    with pytest.raises(DataFolderError, match="version 99, this program writes 1"):
        folder.check_world(ARENA, EMBEDDED, fresh=False)
    assert folder.check_world(ARENA, EMBEDDED, fresh=True) is False
    folder.unlock()


@pytest.mark.parametrize("fresh", [False, True])
def test_another_fleets_folder_is_refused_even_with_fresh(tmp_path: Path, fresh: bool) -> None:
    folder = _made(tmp_path / "data")
    folder.lock()
    with pytest.raises(DataFolderError, match="holds fleet 'arena', not 'other'"):
        folder.check_world(dataclasses.replace(ARENA, name="other"), EMBEDDED, fresh=fresh)
    folder.unlock()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tick_rate": 30}, "spec.tickRate"),
        ({"world_high": (120.0, 99.0)}, "spec.world.max"),
        ({"simulation": "linear"}, "spec.simulation.name"),
    ],
)
def test_what_can_not_change_is_named(tmp_path: Path, change: dict[str, object], field: str) -> None:
    folder = _made(tmp_path / "data")
    folder.lock()
    with pytest.raises(DataFolderError, match=f"^{field}: "):
        folder.check_world(dataclasses.replace(ARENA, **change), EMBEDDED, fresh=False)  # type: ignore[arg-type]
    folder.unlock()


def test_another_redis_is_refused(tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
    folder.lock()
    with pytest.raises(DataFolderError, match="lives in another Redis; run it without --redis"):
        folder.check_world(ARENA, "redis://elsewhere", fresh=False)
    folder.unlock()


def test_fresh_removes_only_its_own(tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
    _fleet(folder)
    (folder.redis / "appendonlydir").mkdir()
    (folder.redis / "appendonlydir" / "appendonly.aof.1.incr.aof").write_text("old world")
    (folder.logs / "arena-0.log").write_text("old")
    (folder.logs / "notes.txt").write_text("mine")
    (folder.path / "mine").mkdir()
    folder.lock()
    before = sorted(folder.path.rglob("*"))
    assert folder.check_world(ARENA, EMBEDDED, fresh=True) is False
    folder.begin_world(ARENA, "redis://elsewhere", fresh=False)
    assert sorted(folder.path.rglob("*")) == before
    folder.begin_world(ARENA, EMBEDDED, fresh=True)
    folder.unlock()
    left = sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*"))
    assert left == ["lock", "logs", "logs/notes.txt", "mine", "redis", "shardfleet.json"]


def test_discover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no fleet under"):
        DataFolder.discover()
    with pytest.raises(DataFolderError, match="not a fleet's data folder"):
        DataFolder.discover(tmp_path / "nothing")
    one = _made(DataFolder.default_for("one").path)
    assert DataFolder.discover().path == one.path
    with pytest.raises(DataFolderError, match="does not run"):
        DataFolder.discover().running_fleet()
    two = _made(DataFolder.default_for("two").path)
    with pytest.raises(UsageError, match=r"several fleets.*one.*two"):
        DataFolder.discover()
    two.lock()
    fleet = _fleet(two)
    assert DataFolder.discover().running_fleet() == fleet, "the running one is meant"
    two.unlock()


def test_a_run_begins_without_the_last_ones_results(tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
    _fleet(folder)
    folder.write_report({"shards": 4}, {"exit_code": 0})
    process = LocalProcess(
        process=Process(shard="arena-0", ordinal=0, state=ProcessState.ENDED, exit_code=-9), pid=1, starts=2
    )
    folder.write_processes([process])
    assert folder.read_processes() == [process]
    assert folder.read_report() == ({"shards": 4}, {"exit_code": 0})
    assert folder.stored_config() is None
    folder.begin_run()
    assert folder.read_report() is not None, "the run may yet be refused"
    folder.forget_report()
    folder.write_config(ARENA)
    assert folder.read_report() is None
    assert folder.read_processes() == []
    assert folder.last_fleet() is None
    assert folder.stored_config() == ARENA
    folder.config.write_text("{}")
    assert folder.stored_config() is None


def test_traces_of_two_worlds_are_kept_apart(tmp_path: Path) -> None:
    assert trace_folder(None, resumed=False) is None
    assert trace_folder(tmp_path / "new" / "trace", resumed=False) == tmp_path / "new" / "trace"
    (tmp_path / "new" / "trace" / "arena-0.5.trace").write_bytes(b"")
    assert trace_folder(tmp_path / "new" / "trace", resumed=True)
    with pytest.raises(UsageError, match="traces of another world"):
        trace_folder(tmp_path / "new" / "trace", resumed=False)
    with pytest.raises(UsageError, match="cannot be made"):
        trace_folder(tmp_path / "new" / "trace" / "arena-0.5.trace" / "deeper", resumed=False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:secret@host:6379/0", "redis://host:6379/0"),
        ("rediss://:secret@[::1]:6379/1?protocol=3", "rediss://[::1]:6379/1?protocol=3"),
        ("unix:///run/redis.sock?password=secret&db=0", "unix:///run/redis.sock?db=0"),
        ("redis://host", "redis://host"),
    ],
)
def test_passwords_are_not_stored_in_the_worlds_name(url: str, shown: str) -> None:
    assert without_password(url) == shown
