"""examples/flights/verify.py on a made-up trace, right and with each fault put in by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from shardfleet_shard.core.trace_events import TraceEvent, TraceTick
from shardfleet_shard.trace import TraceWriter

from examples.flights import verify

ORIGIN = 35_000_000_000
TICK_US = 50_000
SPEEDUP = 300.0
SECONDS_PER_TICK = 15.0

# id, then (milliseconds, x, y): flight 1 crosses x = 0, flight 2 stays, flight 3 ends exactly on a tick.
TRACKS = """id,time,x,y
1,1000000,-30,0
1,1100000,-10,4
1,1200000,20,4
1,1300000,30,-9
2,1007000,-5,5
2,1290000,-9,5
3,1045000,11,1
3,1195000,40,3
"""


@dataclass
class Record:
    tick: int
    entity: int
    shard: str
    position: tuple[float, float]
    epoch: int = 1
    late_us: int = 0


@dataclass
class Recording:
    """What the shards did, in world ticks; ``write`` makes a trace of it."""

    records: list[Record] = field(default_factory=list)
    events: list[tuple[str, int, int, str]] = field(default_factory=list)
    origin: int = ORIGIN

    def at(self, entity, tick):
        [found] = [record for record in self.records if (record.entity, record.tick) == (entity, tick)]
        return found

    def drop(self, entity, *ticks):
        self.records = [record for record in self.records if record.entity != entity or record.tick not in ticks]

    def write(self, folder):
        for shard, epoch in sorted({(record.shard, record.epoch) for record in self.records}):
            writer = TraceWriter(folder, shard, epoch, dimensions=2, dt_us=TICK_US, origin_tick=self.origin)
            if epoch == 1:
                for kind, tick, entity, where in self.events:
                    if where == shard:
                        ids, versions = np.array([entity], np.uint64), np.ones(1, np.uint32)
                        writer.write_events([TraceEvent(kind=kind, tick=ORIGIN + tick, ids=ids, versions=versions)])
            mine = [record for record in self.records if (record.shard, record.epoch) == (shard, epoch)]
            for record in sorted(mine, key=lambda record: record.tick * TICK_US + record.late_us):
                writer.write(
                    TraceTick(
                        tick=ORIGIN + record.tick,
                        unix_us=(ORIGIN + record.tick) * TICK_US + record.late_us,
                        ids=np.array([record.entity], np.uint64),
                        versions=np.ones(1, np.uint32),
                        state_in=np.zeros(1, np.uint64),
                        state_out=np.zeros(1, np.uint64),
                        positions=np.array([record.position]),
                    )
                )
            writer.close(True)


@pytest.fixture
def judge(tmp_path) -> Callable[..., verify.Result]:
    """Records a right run, lets the test spoil it, and verifies the trace."""
    tracks_file = tmp_path / "tracks.csv"
    tracks_file.write_text(TRACKS)
    tracks = verify.read_tracks([tracks_file], time_unit="ms")

    def judged(spoil=None):
        recording = Recording()
        for track in tracks:
            first = int(np.ceil(track.seconds[0] / SECONDS_PER_TICK))
            last = int(np.floor(track.seconds[-1] / SECONDS_PER_TICK))
            # Spawned a tick late, despawned a tick after its end, as a real fleet may.
            for tick in range(first + 1, last + 2):
                [[x, y]] = track.at(np.array([tick * SECONDS_PER_TICK])).tolist()
                recording.records.append(Record(tick, track.entity, "sky-0" if x < 0 else "sky-1", (x, y)))
            recording.events.append(("spawn", first, track.entity, "sky-0"))
            recording.events.append(("despawn", last + 2, track.entity, "sky-1"))
        if spoil:
            spoil(recording)
        recording.write(tmp_path / "trace")
        return verify.verify(verify.read_trace(tmp_path / "trace"), tracks, speedup=SPEEDUP)

    return judged


def test_a_right_run_is_right(judge):
    result = judge()
    assert result.ok and not result.examples, result.examples
    # Flight 1: ticks 0..20 from 2; flight 2: 1..19 from 3; flight 3: 3..13 from 5.
    assert result.counts["judged"] == 19 + 17 + 9
    assert result.counts["after the last point"] == 3
    assert result.counts["flights"] == 3 and result.counts["shards"] == 2
    assert result.largest_error_km < 1e-9
    assert verify.show(result).splitlines()[-1].startswith("verdict: ok")


def check_fault(result, kind, *, count=1):
    assert not result.ok
    assert set(result.examples) == {kind}, result.examples
    assert result.counts[kind] == count
    assert verify.show(result).splitlines()[-1] == "verdict: BAD"


def test_a_tick_that_nobody_simulated(judge):
    check_fault(judge(lambda run: run.drop(1, 9)), "missing")


@pytest.mark.parametrize(("entity", "tick"), [(1, 2), (1, 20), (3, 13)])
def test_the_first_and_the_last_tick_that_are_judged(judge, entity, tick):
    check_fault(judge(lambda run: run.drop(entity, tick)), "missing")


def test_the_grace_before_them_is_not_judged(judge):
    assert judge(lambda run: run.drop(1, 1)).ok


def test_a_tick_that_two_shards_simulated(judge):
    def spoil(run):
        record = run.at(1, 9)
        run.records.append(Record(9, 1, "sky-1" if record.shard == "sky-0" else "sky-0", record.position))

    check_fault(judge(spoil), "doubled")


@pytest.mark.parametrize(("off_m", "right"), [(0.9, True), (1.1, False)])
def test_a_position_more_than_a_metre_off(judge, off_m, right):
    def spoil(run):
        x, y = run.at(2, 10).position
        run.at(2, 10).position = (x, y + off_m / 1000)

    result = judge(spoil)
    if right:
        assert result.ok and result.largest_error_km == pytest.approx(0.0009)
    else:
        check_fault(result, "off the track")
        assert "flight 2: 1.1 m off its track at tick 10" in result.examples["off the track"]


def test_a_position_that_is_no_number(judge):
    def spoil(run):
        run.at(2, 10).position = (float("nan"), 0.0)

    check_fault(judge(spoil), "off the track")


def test_a_whole_tick_too_early(judge):
    def spoil(run):
        run.records.append(Record(2, 3, "sky-1", (11.0, 1.0)))

    check_fault(judge(spoil), "too early")


def test_an_entity_without_a_track(judge):
    check_fault(judge(lambda run: run.records.append(Record(5, 99, "sky-0", (0.0, 0.0)))), "unknown entities")


@pytest.mark.parametrize(("kind", "fault"), [("despawn", "not despawned"), ("spawn", "not spawned")])
def test_a_flight_without_an_end_or_a_beginning(judge, kind, fault):
    def spoil(run):
        run.events = [event for event in run.events if event[0] != kind or event[2] != 2]

    check_fault(judge(spoil), fault)


def test_frozen_ticks_are_counted_apart(judge):
    def spoil(run):
        run.drop(1, 9, 10)
        run.events.append(("freeze", 9, 1, "sky-0"))

    result = judge(spoil)
    assert result.ok and result.counts["frozen"] == 2 and result.counts["missing"] == 0


def test_a_freeze_that_ended_excuses_nothing_after_it(judge):
    def spoil(run):
        run.drop(1, 9, 10, 14)
        run.events += [("freeze", 9, 1, "sky-0"), ("unfreeze", 10, 1, "sky-0")]

    result = judge(spoil)
    assert result.counts["frozen"] == 1
    check_fault(result, "missing", count=2)


def repeat_under_a_new_epoch(run, *, late_us):
    """sky-0 dies after tick 8 and its successor begins again at tick 6."""
    for record in run.records:
        if record.shard == "sky-0" and record.tick > 8:
            record.epoch, record.late_us = 2, 1_000_000
    old = [record for record in run.records if record.shard == "sky-0" and 6 <= record.tick <= 8]
    for record in old:
        run.records.append(Record(record.tick, record.entity, "sky-0", record.position, 2, late_us))


def test_what_a_restarted_shard_repeats_is_no_double(judge):
    result = judge(lambda run: repeat_under_a_new_epoch(run, late_us=500_000))
    assert result.ok, result.examples
    assert result.counts["repeated after a restart"] == 3 * 2


def test_two_processes_of_one_shard_at_one_time_are_a_double(judge):
    check_fault(judge(lambda run: repeat_under_a_new_epoch(run, late_us=60_000)), "doubled", count=3 * 2)


def test_without_an_origin_in_the_headers_the_spawns_say_it(judge):
    def forget(run):
        run.origin = 0

    assert judge(forget).ok


def test_half_a_record_at_the_end_of_a_killed_process(judge, tmp_path):
    judge()
    path = tmp_path / "trace" / "sky-0.1.trace"
    path.write_bytes(path.read_bytes() + b"\x01" * 17)
    events = tmp_path / "trace" / "sky-0.1.events.jsonl"
    events.write_text(events.read_text() + '{"kind":"spaw')
    tracks = verify.read_tracks([tmp_path / "tracks.csv"], time_unit="ms")
    assert verify.verify(verify.read_trace(tmp_path / "trace"), tracks, speedup=SPEEDUP).ok


def test_the_command(judge, tmp_path, capsys):
    judge()
    arguments = [str(tmp_path / "trace"), str(tmp_path / "tracks.csv")]
    assert verify.main(arguments) == 0
    assert "flight ticks judged" in capsys.readouterr().out
    assert verify.main([*arguments, "--speedup", "299"]) == 1
    assert "off the track" in capsys.readouterr().out


def test_what_cannot_be_read_is_said_in_one_line(judge, tmp_path):
    judge()
    with pytest.raises(SystemExit, match="holds no trace"):
        verify.read_trace(tmp_path)
    with pytest.raises(SystemExit, match="no tracks in columns"):
        verify.read_tracks([tmp_path / "none.csv"], time_unit="ms")
    header = tmp_path / "trace" / "sky-1.1.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "origin_tick": ORIGIN + 1}))
    with pytest.raises(SystemExit, match="name 2 origins"):
        verify.read_trace(tmp_path / "trace")
