"""examples/flights/prepare.py on a made-up data set of the same shape as the real one."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile

import numpy as np
import pyproj
import pytest
import yaml
from shardfleet_shard.core.simulation import World
from shardfleet_shard.simulations import registry

from examples.flights import prepare

START = 1_533_099_600_000


def record(callsign, seconds, *, icao24="3003ae", latitude=46.8, longitude=8.2, **other):
    return {
        "timestamp": START + int(seconds * 1000),
        "altitude": 34975.0,
        "callsign": callsign,
        "groundspeed": 443.5,
        "icao24": icao24,
        "latitude": latitude,
        "longitude": longitude,
        "track": 324.3,
        "vertical_rate": 960.0,
        **other,
    }


def names_and_times(flights):
    return [
        (name, ((flights.time_ms[flights.id == number] - START) // 1000).tolist())
        for number, name in enumerate(flights.names, start=1)
    ]


def test_flights_are_cut_by_name_address_and_holes_of_more_than_ten_minutes():
    records = [
        record("B", 5),
        record("A", 600),
        record("A", 0),
        record("A", 1201),  # 601 s after
        record("A", 10, icao24="4b1800"),
        record("A", 1801),  # 600 s after
        record("B", 3),
    ]
    flights = prepare.cut_flights(records)
    assert names_and_times(flights) == [
        (("A", "3003ae"), [0, 600]),
        (("B", "3003ae"), [3, 5]),
        (("A", "4b1800"), [10]),
        (("A", "3003ae"), [1201, 1801]),
    ]
    assert flights.span_s == 1801


def test_doubled_times_keep_the_first_and_points_without_a_position_are_left_out():
    records = [
        record("A", 0, longitude=8.0),
        record("A", 0, longitude=9.0),
        record("A", 10, latitude=None),
        record("A", 20, longitude=float("nan")),
        record("", 25),
        record(None, 25),
        record("A", 30),
    ]
    flights = prepare.cut_flights(records)
    assert names_and_times(flights) == [(("A", "3003ae"), [0, 30])]
    assert (flights.left_out, flights.doubled) == (4, 1)
    assert flights.position_km[0, 0] < -10 and (flights.position_km[1] == 0).all()


def test_a_missing_position_does_not_bridge_a_hole():
    records = [record("A", 0), record("A", 400, latitude=None), record("A", 800)]
    assert len(prepare.cut_flights(records).names) == 2


def test_nothing_usable_is_said_in_one_line():
    with pytest.raises(SystemExit, match="no point has"):
        prepare.cut_flights([record("A", 0, latitude=None)])


def test_the_projection_is_the_one_it_says():
    rng = np.random.default_rng(4)
    latitude, longitude = rng.uniform(45.8, 47.9, 500), rng.uniform(5.9, 10.5, 500)
    plane = pyproj.Proj(proj="aeqd", lat_0=46.8, lon_0=8.2, R=6371008.8)
    expected = np.column_stack(plane(longitude, latitude)) / 1000
    assert prepare.project(latitude, longitude) == pytest.approx(expected, abs=1e-6)
    assert prepare.project(np.array([46.8]), np.array([8.2])).tolist() == [[0.0, 0.0]]


def test_the_files_load_as_a_fleet(tmp_path):
    records = [record("A", second, longitude=7.9 + second / 1000) for second in range(0, 600, 10)]
    records += [record("B", second, latitude=46.9 - second / 9000) for second in range(100, 500, 7)]
    flights = prepare.cut_flights(records)
    prepare.write_all(flights, tmp_path)
    spec = yaml.safe_load((tmp_path / "flights.yaml").read_text())["spec"]
    assert (spec["replicas"], spec["tickRate"], spec["simulation"]["seedEntities"]) == (6, 20, 0)
    low, high = np.array(spec["world"]["min"]), np.array(spec["world"]["max"])
    assert low.dtype.kind == high.dtype.kind == "i"
    assert (flights.position_km >= low).all() and (flights.position_km < high).all()
    assert (flights.position_km.min(axis=0) - low < 1).all() and (high - flights.position_km.max(axis=0) <= 1).all()
    world = World(tuple(map(float, low)), tuple(map(float, high)), spec["tickRate"], str(tmp_path))
    replay = registry.load(spec["simulation"]["name"], world, spec["simulation"]["parameters"])
    assert replay.arrivals(0).id.tolist() == [1]
    assert replay.arrivals(7).id.tolist() == [2]  # 100 s are 6.7 ticks of 15 s
    with (tmp_path / "flights.csv").open() as stream:
        assert [row["callsign"] for row in csv.DictReader(stream)] == ["A", "B"]


def test_the_points_come_out_of_the_wheel(tmp_path):
    wheel = tmp_path / "traffic-2.13-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(prepare.MEMBER, gzip.compress(json.dumps([record("A", 0)]).encode()))
    assert prepare.fetch(tmp_path) == wheel  # it is there: pip is not asked
    assert prepare.read_points(wheel) == [record("A", 0)]


def test_a_wheel_without_the_file_is_said_in_one_line(tmp_path):
    wheel = tmp_path / "traffic-2.13-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(SystemExit, match="can't be read from it"):
        prepare.read_points(wheel)
    wheel.write_bytes(b"no zip")
    with pytest.raises(SystemExit, match="can't be read from it"):
        prepare.read_points(wheel)


def test_other_data_than_expected_is_refused(tmp_path):
    (tmp_path / "download").mkdir()
    with zipfile.ZipFile(tmp_path / "download" / "traffic-2.13-py3-none-any.whl", "w") as archive:
        archive.writestr(prepare.MEMBER, gzip.compress(json.dumps([record("A", 0)]).encode()))
    with pytest.raises(SystemExit, match="this is not the data"):
        prepare.main(["--out", str(tmp_path)])
    assert not (tmp_path / "flights.yaml").exists()


def test_a_part_of_the_day_counts_from_the_first_point_of_all():
    records = [record("A", 0), record("A", 3600), record("B", 7199), record("B", 7200), record("B", 9000)]
    kept = prepare.only_hours(records, prepare.hours_of("1-2"))
    assert [(one["timestamp"] - START) // 1000 for one in kept] == [3600, 7199]
    with pytest.raises(SystemExit, match="no point lies between hours 5 and 6"):
        prepare.only_hours(records, (5.0, 6.0))


@pytest.mark.parametrize("text", ["3", "3-", "5-3", "-1-2", "a-b"])
def test_hours_that_are_none_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        prepare.main(["--hours", text])
    assert "--hours" in capsys.readouterr().err


def test_the_image_has_the_tracks_where_the_fleet_looks_for_them(tmp_path):
    prepare.write_all(prepare.cut_flights([record("A", 0), record("A", 10)]), tmp_path)
    dockerfile = (tmp_path / "Dockerfile").read_text()
    assert f"COPY tracks.csv {prepare.IMAGE_FOLDER}/tracks.csv" in dockerfile and "ARG BASE=" in dockerfile
