"""What one program removes gives its space back in steps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from shardfleet_operator.local import removed_files
from shardfleet_operator.local.removed_files import RemovedFiles


@pytest.fixture
def step_bytes(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(removed_files, "STEP_BYTES", 10)
    return 10


@pytest.fixture
def files(tmp_path: Path) -> RemovedFiles:
    (tmp_path / "log").mkdir()
    return RemovedFiles(tmp_path / "log", tmp_path / "removed")


def test_a_removed_file_is_shortened_step_by_step(tmp_path: Path, files: RemovedFiles, step_bytes: int) -> None:
    old, new = tmp_path / "log" / "1", tmp_path / "log" / "2"
    old.write_bytes(b"x" * (2 * step_bytes + 1))
    new.write_bytes(b"y" * (5 * step_bytes))
    assert not files.step()
    old.unlink()
    assert files.step()
    assert (tmp_path / "removed" / "1").stat().st_size == step_bytes + 1
    assert files.step() and (tmp_path / "removed" / "1").stat().st_size == 1
    assert files.step() and not (tmp_path / "removed" / "1").exists()
    assert not files.step()
    assert new.read_bytes() == b"y" * (5 * step_bytes), "what is still there is nobody else's business"


def test_a_file_that_is_replaced_under_its_name_goes_too(tmp_path: Path, files: RemovedFiles, step_bytes: int) -> None:
    manifest = tmp_path / "log" / "manifest"
    for text in ("one", "two", "three"):
        (tmp_path / "log" / "temporary").write_text(text)
        (tmp_path / "log" / "temporary").rename(manifest)
        while files.step():
            pass
        assert manifest.read_text() == text
    assert [path.name for path in (tmp_path / "removed").iterdir()] == ["manifest"]


async def test_it_leaves_nothing_behind(tmp_path: Path, files: RemovedFiles) -> None:
    (tmp_path / "removed").mkdir()
    (tmp_path / "removed" / "left behind").touch()
    (tmp_path / "log" / "1").write_text("kept")
    task = asyncio.create_task(files.run())
    while not (tmp_path / "removed" / "1").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not (tmp_path / "removed" / "left behind").exists()
    task.cancel()
    await asyncio.wait({task})
    assert not (tmp_path / "removed").exists()
    assert (tmp_path / "log" / "1").read_text() == "kept"
