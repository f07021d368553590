"""``shardfleet backup`` and ``restore`` with a fleet on this machine, running and not."""

from __future__ import annotations

import json
from pathlib import Path

from tests.patience import PATIENCE_S

from .place import WHOLE, Place, is_whole


def test_a_running_world_is_copied_and_goes_on_elsewhere(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write()
    running = place.start()
    try:
        place.wait("all there", is_whole)
        done = place.run("backup", "--data", "data", "-o", "ward.backup", "--json")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        assert (made["fleet"], made["entities"], made["bytes"]) == (
            "ward", 10, (tmp_path / "ward.backup").stat().st_size
        )  # fmt: skip
        over = place.run("restore", "ward.backup", "--data", "data", "--replace")
        assert over.returncode == 2 and "its fleet runs already" in over.stderr
    finally:
        running.terminate()
        running.communicate(timeout=PATIENCE_S)

    there = place.run("restore", "ward.backup", "--data", "data")
    assert there.returncode == 2 and "--replace gives it up" in there.stderr
    fresh = place.run("restore", "ward.backup", "--data", "elsewhere")
    assert fresh.returncode == 0, fresh.stderr
    assert "10 of 10 entities have an owner" in fresh.stdout
    again = place.run("restore", "ward.backup", "--data", "data", "--replace", "--json")
    assert again.returncode == 0, again.stderr
    assert {name: json.loads(again.stdout)[name] for name in WHOLE} == WHOLE
    assert place.entities() == WHOLE  # one more run, on the restored world

    resting = place.run("backup", "--data", "data", "-o", "again.backup")
    assert resting.returncode == 0 and "10 entities" in resting.stdout, resting.stderr


def test_wrong_use_is_named(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "other").write_text("not a backup\n")
    for arguments, words in [
        (("restore", "other", "--data", "data"), "not a file of 'shardfleet backup'"),
        (("restore", "none", "--data", "data"), "cannot be read"),
        (("backup", "-o", "file", "--data", "data"), "not a fleet's data folder"),
        (("backup", "-o", "file", "--fleet", "ward"), "in which Redis?"),
    ]:
        done = place.run(*arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)
    assert not (tmp_path / "data").exists()
