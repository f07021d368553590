from __future__ import annotations

import sys

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.simulation import World
from shardfleet_shard.errors import SpecError
from shardfleet_shard.simulations import check, registry

TWO_TRACKS = "id,time,x,y\n7,100,0,0\n7,110,10,20\n7,130,10,0\n9,105,5,5\n9,106,6,5\n"


def replay(folder, text, *, dimensions=2, tick_rate=1, name="tracks.csv", **parameters):
    if text is not None:
        (folder / name).write_text(text)
    world = World((-120.0,) * dimensions, (120.0,) * dimensions, tick_rate, str(folder))
    return registry.load("replay", world, {"tracks": name, **parameters})


def refused(folder, text, **arguments):
    with pytest.raises(SpecError) as caught:
        replay(folder, text, **arguments)
    [(path, message)] = caught.value.faults
    assert path == "spec.simulation.parameters.tracks"
    assert "\n" not in message and str(folder / arguments.get("name", "tracks.csv")) in message
    return message


def play(simulation, schema, ticks):
    """tick -> {id: position} after each step, until nobody is left to come."""
    rows, seen = schema.empty(), {}
    for tick in range(ticks):
        arrived = simulation.arrivals(tick)
        if arrived is not None:
            rows = Columns.concat(schema, [rows, arrived])
        leaving = simulation.step(rows, tick, 1.0)
        if leaving is not None:
            rows = rows.take(~np.isin(rows.id, leaving))
        seen[tick] = {int(entity): tuple(place) for entity, place in zip(rows.id, rows.position.tolist(), strict=True)}
    return seen


def test_tracks_arrive_move_and_leave(tmp_path):
    seen = play(replay(tmp_path, TWO_TRACKS), registry.schema_for("replay", 2), 33)
    assert seen[0] == {7: (0, 0)}
    assert seen[4] == {7: (4, 8)}
    assert seen[5] == {7: (5, 10), 9: (5, 5)}
    assert seen[6] == {7: (6, 12), 9: (6, 5)}
    assert seen[7] == {7: (7, 14)}
    assert seen[20] == {7: (10, 10)}
    assert seen[30] == {7: (10, 0)}
    assert seen[31] == {}


def test_velocity_is_in_units_a_second_of_the_fleet(tmp_path):
    simulation = replay(tmp_path, TWO_TRACKS, speedup=2)
    rows = simulation.arrivals(0)
    assert rows.velocity.tolist() == [[2.0, 4.0]]
    simulation.step(rows, 3, 1.0)
    assert (rows.position.tolist(), rows.velocity.tolist()) == ([[6.0, 12.0]], [[2.0, 4.0]])
    simulation.step(rows, 6, 1.0)
    assert (rows.position.tolist(), rows.velocity.tolist()) == ([[10.0, 18.0]], [[0.0, -2.0]])


def test_rows_are_as_of_the_tick_before_they_arrive(tmp_path):
    simulation = replay(tmp_path, "id,time,x,y\n1,0,0,0\n2,2.5,8,8\n2,4,9,8\n")
    assert [simulation.arrivals(tick) is None for tick in range(-2, 6)] == [True, True, False, True, True, False] + [
        True
    ] * 2
    assert simulation.arrivals(3).position.tolist() == [[8.0, 8.0]]
    assert simulation.arrivals(3).version.tolist() == [1]


def test_the_seed_is_empty_whatever_is_asked_for(tmp_path):
    assert len(replay(tmp_path, TWO_TRACKS).seed(np.random.default_rng(1), 50)) == 0


def test_a_row_that_no_track_has_stays_and_one_that_is_over_waits_at_its_end(tmp_path):
    simulation = replay(tmp_path, TWO_TRACKS)
    schema = registry.schema_for("replay", 2)
    rows = schema.rows(id=[1, 9, 10], position=[[1, 1], [0, 0], [3, 3]], velocity=1.0)
    assert simulation.step(rows, 100, 1.0).tolist() == [9]
    assert rows.position.tolist() == [[1, 1], [6, 5], [3, 3]]
    assert simulation.step(rows.take([0, 2]), 101, 1.0) is None


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("s", ["1533099600.25", "1533099610.25"]),
        ("ms", ["1533099600250", "1533099610250"]),
        ("iso", ["2018-08-01T05:00:00.25Z", "2018-08-01T07:00:10.25+02:00"]),
        ("iso", ["2018-08-01 05:00:00.250", "2018-08-01 05:00:10.250"]),
    ],
)
def test_units_of_time(tmp_path, unit, times):
    text = "y, x ,id,time,who\n" + "".join(f"{index},{index * 10},1,{time},me\n" for index, time in enumerate(times))
    simulation = replay(tmp_path, text, timeUnit=unit, tick_rate=4)
    rows = simulation.arrivals(0)
    simulation.step(rows, 20, 0.25)
    assert rows.position.tolist() == [[5.0, 0.5]]
    assert simulation.step(rows, 40, 0.25) is None
    assert simulation.step(rows, 41, 0.25).tolist() == [1]


def test_three_dimensions(tmp_path):
    simulation = replay(tmp_path, "id,time,x,y,z\n1,0,0,0,0\n1,10,10,20,-30\n", dimensions=3)
    rows = simulation.arrivals(0)
    simulation.step(rows, 5, 1.0)
    assert rows.position.tolist() == [[5, 10, -15]]
    assert "no column z" in refused(tmp_path, TWO_TRACKS, dimensions=3)


def test_tracks_may_stand_in_one_stream_of_time(tmp_path):
    text = "id,time,x,y\n1,0,0,0\n2,0,5,5\n1,1,1,0\n2,1,6,5\n2,2,7,5\n1,2,2,0\n"
    seen = play(replay(tmp_path, text), registry.schema_for("replay", 2), 4)
    assert seen == {0: {1: (0, 0), 2: (5, 5)}, 1: {1: (1, 0), 2: (6, 5)}, 2: {1: (2, 0), 2: (7, 5)}, 3: {}}


def test_a_relative_path_counts_from_the_fleets_file_and_an_absolute_one_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    replay(tmp_path, TWO_TRACKS, name="here.csv")
    world = World((0.0, 0.0), (1.0, 1.0), 20, "/nowhere")
    registry.load("replay", world, {"tracks": str(tmp_path / "here.csv")})


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "", "has no column id, time, x, y (there are: none)"),
        ("id,time,x\n1,0,0\n", "", "has no column y (there are: id, time, x)"),
        ("id,time,x,y\n", "", "holds no points"),
        ("id,time,x,y\n1,0,0,0\n\n1,1,nan,0\n", "line 4 (id 1)", "finite"),
        ("id,time,x,y\n1,0,0,-inf\n", "line 2 (id 1)", "finite"),
        ("id,time,x,y\n1,inf,0,0\n", "line 2 (id 1)", "finite"),
        ("id,time,x,y\n1,0,0,zero\n", "line 2", "y must be a number, not 'zero'"),
        ("id,time,x,y\n1,0,0\n", "line 2", "y must be a number, not nothing"),
        ("id,time,x,y\n1.5,0,0,0\n", "line 2", "id must be a whole number"),
        ("id,time,x,y\n-1,0,0,0\n", "line 2", "id must be a whole number"),
        ("id,time,x,y\n18446744073709551616,0,0,0\n", "line 2", "id must be a whole number"),
        ("id,time,x,y\n1,5,0,0\n1,4,0,0\n", "line 3 (id 1)", "before that of the id's row above"),
        ("id,time,x,y\n2,9,0,0\n1,5,0,0\n1,4,0,0\n2,1,0,0\n", "line 4 (id 1)", "before that of the id's row above"),
        ("id,time,x,y\n1,5,0,0\n1,5,1,1\n", "line 3 (id 1)", "two points of one id at one time"),
        (
            "id,time,x,y\n1,0,0,0\n1,1,0,0\n2,0,0,0\n1,7,0,0\n",
            "line 5 (id 1)",
            "comes again after another track's rows",
        ),
    ],
)
def test_bad_files_are_refused_with_the_place(tmp_path, text, place, message):
    said = refused(tmp_path, text)
    assert f"tracks.csv {place}".strip() in said and message in said


def test_other_files_that_cannot_be(tmp_path):
    assert "no such file" in refused(tmp_path, None, name="absent.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "Is a directory" in refused(tmp_path, None, name="folder.csv")
    (tmp_path / "binary.csv").write_bytes(b"id,time,x,y\n\xff\xfe,1,2,3\n")
    assert "is no CSV text" in refused(tmp_path, None, name="binary.csv")
    assert "2018-08-01T05:00:00Z (timeUnit is iso), not '5'" in refused(
        tmp_path, "id,time,x,y\n1,5,0,0\n", timeUnit="iso"
    )


# --- Parquet ---------------------------------------------------------------------------------------------------


def write_parquet(path, **columns):
    parquet.write_table(arrow.table(columns), path)


def test_parquet_gives_what_csv_gives(tmp_path):
    write_parquet(
        tmp_path / "tracks.parquet",
        id=[7, 7, 7, 9, 9],
        time=[100, 110, 130, 105, 106],
        x=[0, 10, 10, 5, 6],
        y=[0.0, 20.0, 0.0, 5.0, 5.0],
        other=["a"] * 5,
    )
    schema = registry.schema_for("replay", 2)
    from_csv = play(replay(tmp_path, TWO_TRACKS), schema, 33)
    assert play(replay(tmp_path, None, name="tracks.parquet"), schema, 33) == from_csv


@pytest.mark.parametrize("kind", ["timestamp", "string", "large_string"])
def test_times_of_day_in_parquet(tmp_path, kind):
    times = arrow.array([1533099600_000, 1533099610_000], arrow.timestamp("ms", tz="UTC"))
    if kind != "timestamp":
        times = arrow.array(["2018-08-01T05:00:00Z", "2018-08-01T05:00:10Z"], kind)
    write_parquet(tmp_path / "t.parquet", id=arrow.array([1, 1], arrow.uint32()), time=times, x=[0, 10], y=[0, 0])
    simulation = replay(tmp_path, None, name="t.parquet", timeUnit="iso")
    rows = simulation.arrivals(0)
    simulation.step(rows, 5, 1.0)
    assert rows.position.tolist() == [[5, 0]]
    assert "which timeUnit s does not fit" in refused(tmp_path, None, name="t.parquet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [1], "time": [0], "x": [0.0]}, "has no column y"),
        ({"id": [1.5], "time": [0], "x": [0.0], "y": [0.0]}, "id must be a column of whole numbers, not double"),
        ({"id": [1, -1], "time": [0, 0], "x": [0.0, 0.0], "y": [0.0, 0.0]}, "row 2: id must not be below 0"),
        ({"id": [1, 1], "time": [0, 1], "x": [0.0, None], "y": [0.0, 0.0]}, "row 2: x is missing"),
        ({"id": [1, 1], "time": [0, 1], "x": [0.0, np.nan], "y": [0.0, 0.0]}, "row 2 (id 1)"),
        ({"id": [1], "time": [0], "x": ["east"], "y": [0.0]}, "a column is not of the right kind"),
        ({"id": np.zeros(0, int), "time": np.zeros(0), "x": np.zeros(0), "y": np.zeros(0)}, "holds no points"),
    ],
)
def test_bad_parquet_is_refused(tmp_path, columns, message):
    write_parquet(tmp_path / "t.parquet", **columns)
    assert message in refused(tmp_path, None, name="t.parquet")


def test_text_called_parquet_is_refused(tmp_path):
    assert "is no Parquet file" in refused(tmp_path, TWO_TRACKS, name="t.parquet")


def test_without_pyarrow_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = refused(tmp_path, TWO_TRACKS, name="t.parquet")
    assert "pip install shardfleet[parquet]" in message


# --- against a plain oracle --------------------------------------------------------------------------------------

TRACKS = st.dictionaries(
    st.integers(0, 2**64 - 1),
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(-100, 100), st.integers(-100, 100)),
        min_size=1,
        max_size=6,
        unique_by=lambda point: point[0],
    ).map(sorted),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60)
@given(tracks=TRACKS, speedup=st.sampled_from([1, 3, 0.7, 12.5]))
def test_every_tick_against_numpy_interp(tmp_path_factory, tracks, speedup):
    """Who is there, and where, for tracks of any shape; times in tenths of a second, ten ticks a second."""
    lines = [f"{name},{time / 10},{x},{y}" for name, points in tracks.items() for time, x, y in points]
    folder = tmp_path_factory.mktemp("oracle")
    simulation = replay(folder, "\n".join(["id,time,x,y", *lines]), tick_rate=10, speedup=speedup)
    start = min(points[0][0] for points in tracks.values()) / 10
    ticks = int(42 * 10 / speedup) + 2
    seen = play(simulation, registry.schema_for("replay", 2), ticks)
    for tick, there in seen.items():
        now = tick * (speedup / 10)
        for name, points in tracks.items():
            times = np.array([time / 10 - start for time, _, _ in points])
            if min(abs(now - times[0]), abs(now - times[-1])) < 1e-9 and times[0] != 0:
                continue  # on the edge to a bit: either is right
            assert (name in there) == (times[0] <= now <= times[-1])
            if name in there:
                where = [np.interp(now, times, [point[axis] for point in points]) for axis in (1, 2)]
                assert there[name] == pytest.approx(where, abs=1e-6)


def test_replay_keeps_its_promises(tmp_path):
    rng = np.random.default_rng(3)
    lines = ["id,time,x,y"]
    for entity in range(60):
        times = np.sort(rng.uniform(0, 30, 8))
        lines += [f"{entity},{time:.6f},{rng.uniform(-99, 99)},{rng.uniform(-99, 99)}" for time in times]
    (tmp_path / "tracks.csv").write_text("\n".join(lines))
    result = check.run("replay", {"tracks": "tracks.csv", "speedup": "7.3"}, base_dir=str(tmp_path))
    assert result.ok, result.lines
