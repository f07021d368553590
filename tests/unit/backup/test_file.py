"""The file of a backup: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shardfleet_operator.backup import Backup, read_backup, write_backup
from shardfleet_shard.errors import DataFolderError

MADE = Backup(
    fleet="arena",
    unix_us=1_700_000_000_000_000,
    server="valkey 8.1.1",
    entities=3,
    keys=(("epoch", b""), ("chunk:arena-0:7:8:1", bytes(range(256)) * 20), ("meta", b"\n{}")),
    config='{"name": "arena"}',
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_backup(tmp_path / "arena.backup", MADE)
    return tmp_path / "arena.backup"


def test_what_goes_in_comes_out(file: Path) -> None:
    assert read_backup(file) == MADE
    assert file.stat().st_mode & 0o777 == 0o600
    assert write_backup(file, MADE) == file.stat().st_size  # over the former one
    assert [path.name for path in file.parent.iterdir()] == ["arena.backup"]


def test_every_flipped_byte_and_every_cut_is_found(file: Path) -> None:
    whole = file.read_bytes()
    start = whole.index(b"\n") + 1
    for place in [*range(start, start + 60), len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataFolderError, match="damaged, its checksum"):
            read_backup(file)
    for length in (start, start + 1, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(DataFolderError, match=f"cut short, {length - start} of "):
            read_backup(file)
    file.write_bytes(whole[: start - 2])
    with pytest.raises(DataFolderError, match="not a file of 'shardfleet backup'"):
        read_backup(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shardfleet_backup": 2}, "a backup of version 2"),
        ({"format": "9"}, "data of format '9'"),
        ({"keys": 4}, "3 keys, not the 4"),
        ({"fleet": None}, "has no fleet"),
    ],
)
def test_another_first_line(file: Path, change: dict[str, object], words: str) -> None:
    line, _, body = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps({**json.loads(line), **change}).encode() + b"\n" + body)
    with pytest.raises(DataFolderError, match=words):
        read_backup(file)


@pytest.mark.parametrize("content", [b"", b"[]\n", b"7\n", b"\x00\xff" * 100, b"{}\n"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(DataFolderError, match="not a file of 'shardfleet backup'"):
        read_backup(tmp_path / "other")


def test_where_nothing_can_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="cannot be read"):
        read_backup(tmp_path / "none")
    with pytest.raises(DataFolderError, match="choose another file with -o"):
        write_backup(tmp_path / "none" / "file", MADE)
