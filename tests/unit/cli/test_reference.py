"""docs/reference/cli.md is what the commands say."""

from __future__ import annotations

from pathlib import Path

import pytest
from shardfleet_operator.cli import reference

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert reference.PAGE.main(["--check"]) == 0, f"run {reference.COMMAND}"


def test_a_stale_page_is_noticed_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reference.PAGE.main(["--check"]) == 1
    assert reference.COMMAND in capsys.readouterr().err
    assert reference.PAGE.main([]) == 0 and reference.PAGE.main(["--check"]) == 0
    (tmp_path / reference.PAGE.file).write_text("old")
    assert reference.PAGE.main(["--check"]) == 1


def test_every_command_is_in_the_page() -> None:
    page = reference.render()
    for command in ("local up", "local status", "local down", "shard", "transfers", "entity", "spawn", "despawn",
                    "watch", "check", "report", "config", "validate", "simulation check",
                    "simulation list"):  # fmt: skip
        assert f"## `shardfleet {command}`\n" in page
    for command in ("status", "transfers", "entity", "watch", "logs"):
        assert f"## `kubectl shardfleet {command}`\n" in page
