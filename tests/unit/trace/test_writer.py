"""The three files of a shard's trace, byte for byte."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.trace_events import KINDS, TraceEvent, TraceTick
from shardfleet_shard.errors import InvariantError, TraceError
from shardfleet_shard.trace import TraceWriter, record_dtype


def writer(directory: Path, epoch: int = 5, **options: Any) -> TraceWriter:
    return TraceWriter(directory, "arena-0", epoch, dimensions=2, dt_us=50_000, origin_tick=77, **options)


def rows(count: int, *, first: int = 1, dimensions: int = 2) -> dict[str, Any]:
    ids = np.arange(first, first + count, dtype="<u8")
    return {
        "ids": ids,
        "versions": np.full(count, 3, "<u4"),
        "state_in": ids * np.uint64(1 << 58),
        "state_out": ~ids,
        "positions": np.arange(count * dimensions, dtype="<f8").reshape(count, dimensions) / 7,
    }


def lines(directory: Path, epoch: int = 5) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"arena-0.{epoch}.events.jsonl").read_text().splitlines()]


def test_records_are_packed_little_endian_in_the_stated_order(tmp_path: Path) -> None:
    trace = writer(tmp_path)
    trace.write_tick(9, 1_234_567, **rows(2))
    trace.close(True)
    expected = b"".join(
        struct.pack(
            "<qQLqQQdd", 9, i, 3, 1_234_567, (i << 58) % (1 << 64), (1 << 64) - 1 - i, (2 * i - 2) / 7, (2 * i - 1) / 7
        )
        for i in (1, 2)
    )
    assert (tmp_path / "arena-0.5.trace").read_bytes() == expected


def test_the_header_tells_how_to_read_the_records(tmp_path: Path) -> None:
    trace = writer(tmp_path, extra={"simulation": "orbit"})
    trace.write_tick(9, 10, **rows(3))
    header = json.loads((tmp_path / "arena-0.5.json").read_text())
    dtype = np.dtype([tuple(part) for part in header["dtype"]])
    assert dtype == record_dtype(2) and dtype.itemsize == 60
    records = np.fromfile(tmp_path / "arena-0.5.trace", dtype)
    assert records["entity"].tolist() == [1, 2, 3]
    assert records["position"].tolist() == rows(3)["positions"].tolist()
    del header["dtype"]
    assert header == {
        "format": 1,
        "shard": "arena-0",
        "epoch": 5,
        "previous_epoch": 0,
        "dimensions": 2,
        "dt_us": 50_000,
        "tick_rate": 20,
        "origin_tick": 77,
        "simulation": "orbit",
    }
    trace.close(False)


def test_three_dimensions(tmp_path: Path) -> None:
    trace = TraceWriter(tmp_path, "cube-1", 2, dimensions=3, dt_us=1_000_000 / 60, origin_tick=0, tick_rate=60)
    trace.write_tick(1, 1, **rows(2, dimensions=3))
    trace.close(True)
    assert (tmp_path / "cube-1.2.trace").stat().st_size == 2 * 68


def test_the_hashes_are_those_of_the_columns(tmp_path: Path) -> None:
    trace, world = writer(tmp_path), Schema(2).rows(id=[4, 5], position=[[1, 2], [3, 4]])
    before = world.hashes()
    world.position[:] += 1
    trace.write(
        TraceTick(
            tick=1,
            unix_us=2,
            ids=world.id,
            versions=world.version,
            state_in=before,
            state_out=world.hashes(),
            positions=world.position,
        )
    )
    records = np.fromfile(tmp_path / "arena-0.5.trace", record_dtype(2))
    assert (records["state_in"] == before).all() and (records["state_out"] == world.hashes()).all()
    trace.close(True)


def test_a_tick_is_one_write_and_so_are_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = writer(tmp_path)
    trace.write_events([TraceEvent(kind="epoch_start", tick=1)])
    sizes: list[int] = []
    real = os.write

    def count(fd: int, data: Any) -> int:
        sizes.append(len(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", count)
    trace.write_tick(1, 1, **rows(5000))
    trace.write_tick(2, 2, **rows(7))
    trace.write_tick(3, 3, **rows(0))
    batch = rows(300)
    trace.write_events(
        [
            TraceEvent(kind=kind, tick=3, ids=batch["ids"], versions=batch["versions"])
            for kind in ("release", "adopt", "freeze")
        ]
    )
    monkeypatch.undo()
    assert sizes[:2] == [5000 * 60, 7 * 60] and len(sizes) == 3
    assert trace.last_tick == 3
    trace.close(True)


def test_a_batch_is_one_line_an_entity(tmp_path: Path) -> None:
    trace = writer(tmp_path)
    ids, versions = np.array([7, (1 << 64) - 1], "<u8"), np.array([2, (1 << 32) - 1], "<u4")
    detail = {"transfer": "arena-1/9/4", "origin": "offer", "switch_tick": 12, "offer_tick": 9, "reason": '100%d "x"\n'}
    trace.write_events([TraceEvent(kind="adopt", tick=12, ids=ids, versions=versions, detail=detail)])
    trace.write_events([TraceEvent(kind="freeze", tick=13, ids=ids[:1], versions=versions[:1])])
    trace.close(True, reason="settled")
    detail["from"] = detail.pop("origin")
    assert lines(tmp_path) == [
        {"kind": "epoch_start", "tick": 12, "shard": "arena-0", "epoch": 5, "previous_epoch": 0},
        {"kind": "adopt", "tick": 12, "entity": 7, "version": 2, **detail},
        {"kind": "adopt", "tick": 12, "entity": (1 << 64) - 1, "version": (1 << 32) - 1, **detail},
        {"kind": "freeze", "tick": 13, "entity": 7, "version": 2},
        {"kind": "epoch_end", "tick": -1, "shard": "arena-0", "epoch": 5, "reason": "settled"},
    ]


@pytest.mark.parametrize("end", [True, False])
def test_only_an_orderly_end_is_written(end: bool, tmp_path: Path) -> None:
    trace = writer(tmp_path)
    trace.write_tick(40, 1, **rows(1))
    trace.close(end)
    trace.close(end)
    assert [line["kind"] for line in lines(tmp_path)] == ["epoch_start", "epoch_end"][: 1 + end]
    assert lines(tmp_path)[-1]["tick"] == 40
    with pytest.raises(InvariantError, match="closed"):
        trace.write_tick(41, 2, **rows(1))


def test_the_runtime_may_say_start_and_end_itself(tmp_path: Path) -> None:
    trace = writer(tmp_path)
    trace.write_events(
        [
            TraceEvent(kind="epoch_start", tick=1, detail={"previous_epoch": 4, "manifest_tick": 0}),
            TraceEvent(kind="epoch_end", tick=9, detail={"reason": "resigned"}),
        ]
    )
    trace.close(True)
    assert lines(tmp_path) == [
        {"kind": "epoch_start", "tick": 1, "shard": "arena-0", "epoch": 5, "previous_epoch": 4, "manifest_tick": 0},
        {"kind": "epoch_end", "tick": 9, "shard": "arena-0", "epoch": 5, "reason": "resigned"},
    ]


def test_a_successor_names_the_newest_trace_before_it(tmp_path: Path) -> None:
    for epoch in (3, 12, 40):
        writer(tmp_path, epoch).close(False)
    (tmp_path / "arena-0.30.txt").touch()
    (tmp_path / "arena-00.31.json").touch()
    trace = writer(tmp_path, 32)
    trace.close(True)
    assert trace.previous_epoch == 12
    assert json.loads((tmp_path / "arena-0.32.json").read_text())["previous_epoch"] == 12
    assert lines(tmp_path, 32)[0]["previous_epoch"] == 12
    assert writer(tmp_path, 33, previous_epoch=31).previous_epoch == 31


def test_the_clock_must_not_run_backwards(tmp_path: Path) -> None:
    trace = writer(tmp_path)
    trace.write_tick(1, 100, **rows(1))
    trace.write_tick(1, 100, **rows(1, first=2))
    with pytest.raises(InvariantError, match="99 us"):
        trace.write_tick(2, 99, **rows(1))
    trace.close(False)


def test_an_epoch_is_traced_once(tmp_path: Path) -> None:
    writer(tmp_path).close(True)
    with pytest.raises(TraceError, match=r"arena-0\.5\.json"):
        writer(tmp_path)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TraceError, match="file"):
        writer(tmp_path / "file")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = writer(tmp_path)
    trace.write_tick(1, 1, **rows(1))
    room = [70]
    real = os.write

    def full(fd: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(fd, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(TraceError, match=r"arena-0\.5\.trace: No space left on device"):
        trace.write_tick(2, 2, **rows(5))
    monkeypatch.undo()
    assert (tmp_path / "arena-0.5.trace").stat().st_size == 60 + 70
    trace.close(False)


def test_a_header_keeps_its_own_fields(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="epoch"):
        writer(tmp_path, extra={"epoch": 9})


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"kind": "explode"}, "no trace event of kind 'explode'"),
        ({"kind": "adopt", "ids": np.zeros(2, "<u8")}, "2 ids and 0 versions"),
        ({"kind": "epoch_start", "ids": np.zeros(1, "<u8"), "versions": np.zeros(1, "<u4")}, "about no entity"),
        ({"kind": "adopt", "detail": {"entity": 4}}, "must not be called"),
    ],
)
def test_an_event_that_cannot_be(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TraceEvent(tick=1, **fields)


def test_every_kind_of_event_can_be_written_and_checked(tmp_path: Path) -> None:
    trace = writer(tmp_path)
    ids, versions = np.array([7], "<u8"), np.array([2], "<u4")
    for kind in KINDS:
        batch = {} if kind.startswith("epoch") else {"ids": ids, "versions": versions}
        trace.write_events([TraceEvent(kind=kind, tick=5, **batch)])
    trace.close(True)
    assert sorted(line["kind"] for line in lines(tmp_path)) == sorted(KINDS)
