"""Each fault put into a right trace by hand; the checker names it, and nothing but its consequences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from shardfleet_operator.checker import CheckReport, check_directory
from shardfleet_shard.errors import UsageError

from .world import File, Record, World, moved, small_world

BOUND = 10


def check(world: World, directory: Path, bound_ticks: int = BOUND) -> CheckReport:
    return check_directory(world.write(directory), bound_ticks=bound_ticks)


def of(file: File, entity: int, tick: int) -> Record:
    return next(r for r in file.records if (r.entity, r.tick) == (entity, tick))


def files(world: World) -> tuple[File, File]:
    return world.files["a", 11], world.files["b", 12]


def run_on(record: Record, file: File, first_tick: int, last_tick: int) -> None:
    """``record`` simulated further by ``file``, rightly but for who does it."""
    state = record.state_out
    for tick in range(first_tick, last_tick + 1):
        after = moved(record.entity, state, tick)
        unix_us = tick * 50_000 + 7_000 + file.late_us
        file.records.append(Record(tick, record.entity, record.version, unix_us, state, after))
        state = after


def test_a_right_trace_passes_with_its_figures(tmp_path: Path) -> None:
    report = check(small_world(), tmp_path)
    assert report.ok, report.to_text()
    assert (report.records, report.ticks, report.entities_expected, report.entities_seen) == (180, 60, 3, 3)
    assert (report.handoffs, report.overlap_ticks, report.continuity_failures) == (2, 0, 0)
    assert (report.gap_ms["samples"], report.gap_ms["min"], report.gap_ms["max"]) == (2, -0.9, 0.9)
    assert [(e.shard, e.epoch, e.records, e.first_tick, e.last_tick, e.ended) for e in report.epochs] == [
        ("a", 11, 100, 100, 159, True),
        ("b", 12, 80, 100, 159, True),
    ]
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True
    assert "A1, A2, A4 and A5 hold" in report.to_text()


# --- A1 --------------------------------------------------------------------------------------------------------------


def two_owners_at_one_tick(world: World) -> None:
    a, b = files(world)
    run_on(of(a, 2, 129), b, 130, 130)


def released_late(world: World) -> None:
    a, _ = files(world)
    run_on(of(a, 1, 119), a, 120, 122)


def released_late_without_overlap(world: World) -> None:
    a, b = files(world)
    run_on(of(a, 1, 119), a, 120, 120)
    b.records.remove(of(b, 1, 120))


def adopted_early(world: World) -> None:
    a, b = files(world)
    early = of(a, 1, 119)
    a.records.remove(early)
    b.records.append(Record(119, 1, 2, 119 * 50_000 + 7_900, early.state_in, early.state_out))


def simulated_while_frozen(world: World) -> None:
    a, _ = files(world)
    a.event("freeze", 125, 2, 1)
    a.event("unfreeze", 130, 2, 1)


def interleaved_epochs(world: World) -> None:
    """A successor begins while its predecessor still runs; no tick is simulated twice."""
    a, _ = files(world)
    successor = world.start("a", 21, 150, previous=11)
    for tick in range(150, 160, 2):
        record = of(a, 2, tick)
        a.records.remove(record)
        successor.records.append(record)


# --- A2 --------------------------------------------------------------------------------------------------------------


def lost(world: World) -> None:
    a, _ = files(world)
    a.records = [r for r in a.records if r.entity != 2 or r.tick < 140]


def lost_after_release(world: World) -> None:
    a, b = files(world)
    a.records = [r for r in a.records if r.entity != 1 or r.tick < 140]
    b.records = [r for r in b.records if r.entity != 1]
    for file in (a, b):
        file.events = [e for e in file.events if e["tick"] < 120 or e.get("entity") != 1 or e["kind"] == "release"]


def long_hole(world: World) -> None:
    a, _ = files(world)
    a.records = [r for r in a.records if r.entity != 2 or not 120 <= r.tick < 135]


def never_spawned(world: World) -> None:
    files(world)[0].events.remove(files(world)[0].named("spawn", 2)[0])


def spawned_later_than_simulated(world: World) -> None:
    files(world)[0].named("spawn", 2)[0]["tick"] = 103


def simulated_after_despawn(world: World) -> None:
    files(world)[0].event("despawn", 150, 2, 1)


def despawned_by_another(world: World) -> None:
    files(world)[1].event("despawn", 150, 2, 1)


# --- A4 --------------------------------------------------------------------------------------------------------------


def wrong_state_after_handoff(world: World) -> None:
    of(files(world)[1], 1, 120).state_in += 1


def wrong_state_from_offer(world: World) -> None:
    of(files(world)[0], 1, 140).state_in += 1


def state_changed_between_ticks(world: World) -> None:
    of(files(world)[0], 2, 130).state_in += 1


def tick_left_out_of_the_states(world: World) -> None:
    files(world)[0].records.remove(of(files(world)[0], 2, 130))


def final_used_before_it_was_there(world: World) -> None:
    """The target's clock stands 3 ticks before the source's last one."""
    a, _ = files(world)
    for record in a.records:
        record.unix_us += 150_000


# --- A5 --------------------------------------------------------------------------------------------------------------


def version_not_raised(world: World) -> None:
    _, b = files(world)
    for record in b.records:
        record.version = 1
    b.named("adopt", 1)[0]["version"] = 1


def version_raised_twice(world: World) -> None:
    a, b = files(world)
    for record in [r for r in a.records + b.records if r.entity == 1 and r.tick >= 120]:
        record.version += 1
    for event in [*b.named("adopt", 1), *b.named("release", 1), *a.named("adopt", 1)]:
        event["version"] += 1


def version_raised_without_a_handoff(world: World) -> None:
    for record in files(world)[0].records:
        record.version += record.entity == 2 and record.tick >= 130


def version_falls(world: World) -> None:
    for record in files(world)[0].records:
        record.version += record.entity == 2 and record.tick < 130


def one_version_at_two_shards(world: World) -> None:
    a, _ = files(world)
    for record in [r for r in a.records if r.entity == 1 and r.tick >= 140]:
        record.version = 2
    a.named("adopt", 1)[0]["version"] = 2


def born_twice(world: World) -> None:
    files(world)[1].event("spawn", 100, 2, 1)


# --- the files -------------------------------------------------------------------------------------------------------


def handoff_without_adopt(world: World) -> None:
    files(world)[1].events.remove(files(world)[1].named("adopt", 1)[0])


def unknown_event(world: World) -> None:
    files(world)[0].event("explode", 120, 1, 1)


def unknown_origin(world: World) -> None:
    files(world)[1].named("adopt", 1)[0]["from"] = "memory"


def event_without_entity(world: World) -> None:
    del files(world)[0].named("spawn", 2)[0]["entity"]


def event_after_the_end(world: World) -> None:
    files(world)[0].events.append({"kind": "freeze", "tick": 170, "entity": 2, "version": 1})


def other_dtype(world: World) -> None:
    files(world)[0].header["dtype"] = [*files(world)[0].header["dtype"][:-1], ["position", "<f4", [2]]]


def other_epoch_in_header(world: World) -> None:
    files(world)[0].header["epoch"] = 12


def no_header_field(world: World) -> None:
    del files(world)[0].header["dt_us"]


def two_worlds(world: World) -> None:
    files(world)[0].header["origin_tick"] = 999


def predecessor_missing(world: World) -> None:
    files(world)[0].named("epoch_start")[0]["previous_epoch"] = 7


def predecessor_of_header_missing(world: World) -> None:
    files(world)[0].header["previous_epoch"] = 7


def source_of_a_transfer_missing(world: World) -> None:
    files(world)[1].named("adopt", 1)[0]["transfer"] = "a/10/4"


def ticks_out_of_order(world: World) -> None:
    a, _ = files(world)
    one, other = of(a, 2, 130), of(a, 2, 131)
    one.tick, other.tick = other.tick, one.tick


FAULTS: list[tuple[Callable[[World], None], str]] = [
    (two_owners_at_one_tick, "A1 two-simulators"),
    (released_late, "A1 two-simulators"),
    (released_late, "A1 late-release"),
    (released_late_without_overlap, "A1 late-release"),
    (adopted_early, "A1 before-switch"),
    (simulated_while_frozen, "A1 while-frozen"),
    (interleaved_epochs, "A1 interleaved"),
    (lost, "A2 lost"),
    (lost_after_release, "A2 lost"),
    (long_hole, "A2 hole"),
    (never_spawned, "A2 never-spawned"),
    (spawned_later_than_simulated, "A2 before-spawn"),
    (simulated_after_despawn, "A2 after-despawn"),
    (despawned_by_another, "A2 after-despawn"),
    (wrong_state_after_handoff, "A4 handoff-state"),
    (wrong_state_from_offer, "A4 handoff-state"),
    (state_changed_between_ticks, "A4 state-changed"),
    (tick_left_out_of_the_states, "A4 state-changed"),
    (final_used_before_it_was_there, "A4 final-too-early"),
    (version_not_raised, "A5 same-version"),
    (version_raised_twice, "A5 version-jump"),
    (version_raised_without_a_handoff, "A5 raised-in-place"),
    (version_falls, "A5 version-fell"),
    (one_version_at_two_shards, "A5 same-version"),
    (born_twice, "A5 same-version"),
    (handoff_without_adopt, "trace unannounced"),
    (unknown_event, "trace event"),
    (unknown_origin, "trace event"),
    (event_without_entity, "trace event"),
    (event_after_the_end, "trace event"),
    (other_dtype, "trace dtype"),
    (other_epoch_in_header, "trace header"),
    (no_header_field, "trace header"),
    (two_worlds, "trace worlds"),
    (predecessor_missing, "trace missing-epoch"),
    (predecessor_of_header_missing, "trace missing-epoch"),
    (source_of_a_transfer_missing, "trace missing-epoch"),
    (ticks_out_of_order, "trace tick-order"),
]


@pytest.mark.parametrize(("fault", "named"), FAULTS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_a_fault_is_named(fault: Callable[[World], None], named: str, tmp_path: Path) -> None:
    world = small_world()
    fault(world)
    report = check(world, tmp_path)
    assert not report.ok
    assert named in report.counts, report.to_text()
    first = next(v for v in report.violations if str(v).startswith(named))
    assert first.message in report.to_text()


@pytest.mark.parametrize(
    ("fault", "only"),
    [
        (two_owners_at_one_tick, {"A1"}),
        (lost, {"A2"}),
        (wrong_state_after_handoff, {"A4"}),
        (version_raised_twice, {"A5"}),
        (never_spawned, {"A2"}),
    ],
)
def test_a_fault_breaks_its_own_rule_only(fault: Callable[[World], None], only: set[str], tmp_path: Path) -> None:
    world = small_world()
    fault(world)
    broken = {name.split()[0] for name in check(world, tmp_path).counts}
    if fault is two_owners_at_one_tick:
        broken -= {"A4", "A5"}  # a second simulator of the same version breaks these as well
    assert broken == only


def test_a_violation_says_who_when_and_where(tmp_path: Path) -> None:
    world = small_world()
    wrong_state_after_handoff(world)
    (violation, *_) = check(world, tmp_path).violations
    assert (violation.rule, violation.entity, violation.tick) == ("A4", 1, 120)
    assert violation.shards == ("a", "b")


def test_violations_are_all_counted_and_the_first_kept(tmp_path: Path) -> None:
    world = small_world()
    for record in files(world)[0].records:
        record.state_in += 1
    report = check(world, tmp_path)
    assert report.counts["A4 state-changed"] == report.continuity_failures - 1 == 100 - 3
    assert len([v for v in report.violations if v.kind == "state-changed"]) == 20


# --- the files on the disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["trace", "json", "events.jsonl"])
def test_each_of_the_three_files_is_needed(kind: str, tmp_path: Path) -> None:
    small_world().write(tmp_path)
    (tmp_path / f"a.11.{kind}").unlink()
    report = check_directory(tmp_path)
    assert report.counts["trace missing-file"] == 1
    assert f"a.11.{kind} is missing" in report.to_text()


def test_an_epoch_without_any_file_is_missed(tmp_path: Path) -> None:
    small_world().write(tmp_path)
    for path in tmp_path.glob("a.11.*"):
        path.unlink()
    assert check_directory(tmp_path).counts["trace missing-epoch"] >= 1


def test_a_last_tick_cut_short_is_what_a_kill_leaves(tmp_path: Path) -> None:
    world = small_world()
    for file in world.files.values():
        file.events = [event for event in file.events if event["kind"] != "epoch_end"]
    world.write(tmp_path)
    trace, events = tmp_path / "a.11.trace", tmp_path / "a.11.events.jsonl"
    trace.write_bytes(trace.read_bytes()[:-17])
    events.write_bytes(events.read_bytes() + b'{"kind":"free')
    assert check_directory(tmp_path, bound_ticks=BOUND).ok


def test_a_file_that_ended_in_order_is_whole(tmp_path: Path) -> None:
    small_world().write(tmp_path)
    trace = tmp_path / "a.11.trace"
    trace.write_bytes(trace.read_bytes()[:-17])
    assert "trace truncated" in check_directory(tmp_path, bound_ticks=BOUND).counts


@pytest.mark.parametrize("cut", [17, 60, 600])
def test_bytes_cut_out_of_the_middle_are_found(cut: int, tmp_path: Path) -> None:
    world = small_world()
    for file in world.files.values():
        file.events = [event for event in file.events if event["kind"] != "epoch_end"]
    world.write(tmp_path)
    trace = tmp_path / "a.11.trace"
    data = trace.read_bytes()
    trace.write_bytes(data[:3000] + data[3000 + cut :])
    assert not check_directory(tmp_path, bound_ticks=BOUND).ok


def test_a_clock_that_runs_backwards_is_found(tmp_path: Path) -> None:
    small_world().write(tmp_path)
    trace = tmp_path / "a.11.trace"
    data = trace.read_bytes()
    trace.write_bytes(data[: 60 * 40] + data[60 * 44 : 60 * 48] + data[60 * 40 : 60 * 44] + data[60 * 48 :])
    report = check_directory(tmp_path, bound_ticks=BOUND)
    assert "trace time-backwards" in report.counts


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        check_directory(tmp_path / "nowhere")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UsageError, match="holds no trace"):
        check_directory(tmp_path)
    small_world().write(tmp_path)
    with pytest.raises(UsageError, match="at least 1"):
        check_directory(tmp_path, bound_ticks=0)


def test_nothing_readable_is_a_report_and_no_crash(tmp_path: Path) -> None:
    small_world().write(tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_text("[]")
    report = check_directory(tmp_path)
    assert report.counts == {"trace header": 2}


def test_a_row_that_was_upgraded_has_another_hash_and_no_proof(tmp_path: Path) -> None:
    world = small_world()
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before = check(world, tmp_path / "before").continuity_unproven
    wrong_state_after_handoff(world)
    files(world)[1].named("adopt", 1)[0]["upgraded"] = True
    report = check(world, tmp_path / "after")
    assert not report.counts.get("A4 handoff-state") and report.continuity_unproven == before + 1


@pytest.mark.parametrize("records", [b"", b"\xff" * 600], ids=["none", "all alike and impossible"])
def test_files_without_one_good_record_are_judged(tmp_path: Path, records: bytes) -> None:
    folder = small_world().write(tmp_path)
    for stem in ("a.11", "b.12"):
        (folder / f"{stem}.trace").write_bytes(records)
    report = check_directory(folder, bound_ticks=BOUND)
    assert not report.ok and report.records == 0
    assert ("trace time-backwards" in report.counts) == bool(records)
