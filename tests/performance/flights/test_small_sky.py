"""Flights through real processes: a small made-up sky, judged as ``make flights`` judges the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from examples.flights import prepare, verify
from tests.patience import PATIENCE_S, kept_up

COMMAND = Path(sys.executable).with_name("shardfleet")
START_MS = 1_533_099_600_000
SPAN_S = 2400  # 8 s at 300 times life
FLIGHTS = 80
MARGIN_S = 8


def sky() -> list[dict[str, object]]:
    """Aircraft that cross the country in all directions, one position every ten seconds."""
    rng = np.random.default_rng(11)
    records = []
    for number in range(FLIGHTS):
        begin = rng.uniform(0, SPAN_S / 2)
        seconds = np.arange(begin, min(begin + rng.uniform(700, 1500), SPAN_S), 10.0)
        start, end = rng.uniform((45.9, 6.0), (47.7, 10.4), (2, 2))
        for second in seconds:
            latitude, longitude = start + (end - start) * ((second - begin) / 1500)
            records.append(
                {
                    "timestamp": START_MS + int(second * 1000),
                    "callsign": f"SKY{number:03}",
                    "icao24": f"{number:06x}",
                    "latitude": float(latitude),
                    "longitude": float(longitude),
                }
            )
    return records


def test_every_flight_of_a_small_sky_has_one_owner_and_is_on_its_track(tmp_path, capsys):
    flights = prepare.cut_flights(sky())
    assert len(flights.names) == FLIGHTS
    prepare.write_all(flights, tmp_path)
    trace = tmp_path / "trace"
    seconds = SPAN_S / prepare.SPEEDUP + MARGIN_S
    up = subprocess.run(
        [
            *(str(COMMAND), "local", "up", "-f", str(tmp_path / "flights.yaml"), "--duration", str(seconds)),
            *("--data", str(tmp_path / "data"), "--fresh", "--no-map", "--trace", str(trace), "--report", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
    )
    assert up.returncode in (0, 1), up.stderr[-2000:]
    report = json.loads(up.stdout)
    in_time = kept_up(report)
    assert up.returncode == 0 or not in_time, up.stderr[-2000:]
    assert report["handoffs"]["completed"] > 40 and report["transfers_left"] == 0
    assert report["entities"]["missing"] == report["entities"]["doubled"] == 0
    checked = subprocess.run(
        [str(COMMAND), "check", str(trace), "--bound", str(5.0 if in_time else PATIENCE_S)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    code = verify.main([str(trace), str(tmp_path / "tracks.csv")])
    said = capsys.readouterr().out
    faults = {line.split(":")[0].strip() for line in said.splitlines() if ": flight " in line}
    assert code == 0 or (faults == {"missing"} and not in_time), said
