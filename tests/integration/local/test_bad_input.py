"""Bad input through the real command: one line that names what is wrong, exit code 2, and the world stays as it was."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from shardfleet_operator.resource import load_fleet, to_config

from tests.patience import PATIENCE_S

from ..servers import free_port, redis_server
from .place import WHOLE, Place, is_whole


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sf-bad-", dir="/tmp") as name:
        yield Place(Path(name))


@pytest.fixture
def fresh() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sf-bad-", dir="/tmp") as name:
        yield Place(Path(name))


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1, done.stderr
    for text in said:
        assert text in done.stderr
    assert "Traceback" not in done.stderr


# --- files and parameters: nothing is started ------------------------------------------------------------------


def test_a_wrong_file(place: Place) -> None:
    for text, said in (
        ("replicas: [", "fleet.yaml"),
        ("a: 1", "kind"),
        ("", "fleet.yaml"),
    ):
        place.file.write_text(text)
        refused(place.up(), said)
    place.write(spec="  tickrate: 30\n")
    refused(place.up(), "tickrate")
    assert not (place.folder / "data").exists()


def test_an_unknown_simulation_and_parameters_that_it_refuses(place: Place) -> None:
    place.write("orbitt")
    refused(place.up(), "spec.simulation.name", "orbitt")
    place.write("orbit", radius="wide")
    refused(place.up(), "spec.simulation.parameters.radius")
    place.write("orbit", radios=3)
    refused(place.up(), "spec.simulation.parameters", "radios")
    assert not (place.folder / "data").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["1,5,0,0", "1,4,1,1"], "line 3"),
        (["1,0,0,0", "1,1,nan,0"], "line 3"),
        (["1,0,0,0", "1,1,0,inf"], "line 3"),
        (["1,0,0,0", "1,x,0,0"], "line 3"),
        (["1,0,0,0", "1,0,1,1"], "line 3"),
    ],
)
def test_tracks_that_cannot_be(place: Place, rows: list[str], said: str) -> None:
    (place.folder / "tracks.csv").write_text("\n".join(["id,time,x,y", *rows, ""]))
    place.write("replay", tracks="tracks.csv")
    refused(place.up(), "spec.simulation.parameters.tracks", "tracks.csv", said)
    assert not (place.folder / "data").exists()


# --- Redis -----------------------------------------------------------------------------------------------------


def test_a_redis_that_refuses_or_cannot_serve(place: Place) -> None:
    place.write()
    with redis_server(tcp=True, password="right") as server:
        wrong = f"redis://:wrong@127.0.0.1:{server.port}"
        done = place.up("--redis", wrong)
        refused(done, "refuses the user or password", f"127.0.0.1:{server.port}")
        assert "wrong" not in done.stderr.replace("WRONGPASS", "")
    options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
    with redis_server(tcp=True, options=options) as server:
        refused(place.up("--redis", server.limited_url), "maxmemory-policy", "allkeys-lru", "noeviction")
    port = free_port()
    refused(place.up("--redis", f"redis://127.0.0.1:{port}"), f"127.0.0.1:{port}")
    place.write(name="elsewhere")
    with redis_server(tcp=True) as server:  # none of these has made the folder its own
        assert place.whole_run("--redis", server.limited_url)["entities"]["owned"] == 10


def test_a_refused_redis_costs_neither_the_old_world_nor_its_report(fresh: Place) -> None:
    assert fresh.entities() == WHOLE
    report = (fresh.folder / "data" / "report.json").read_text()
    nobody = f"redis://127.0.0.1:{free_port()}"
    refused(fresh.up("--fresh", "--redis", nobody), nobody.removeprefix("redis://"))
    refused(fresh.up("--redis", nobody), "lives in another Redis")
    with redis_server(tcp=True) as server:
        elsewhere = ("local", "up", "-f", "fleet.yaml", "--duration", "0.5", "--redis", server.limited_url, "--data")
        assert fresh.run(*elsewhere, "other").returncode in (0, 1)
        refused(fresh.run(*elsewhere, "third"), "not this data folder's")
        refused(fresh.up("--redis", server.limited_url), "lives in another Redis")
    fresh.write(spec="  handoff: {delay: 1h}\n")
    refused(fresh.up(), "spec.handoff.delay")
    fresh.write("orbit")
    refused(fresh.up(), "spec.simulation.name")
    fresh.write()
    fresh.file.write_text(fresh.file.read_text().replace("replicas: 2", "replicas: 3"))
    refused(fresh.up(), "spec.replicas")
    assert (fresh.folder / "data" / "report.json").read_text() == report
    fresh.write()
    fresh.run("local", "up", "-f", "fleet.yaml", "--data", "data", "--duration", "0.5", "--report", "json")
    assert json.loads((fresh.folder / "data" / "report.json").read_text())["entities"]["expected"] == 10
    with redis_server(tcp=True) as server:  # one that serves takes the old world's place
        fresh.up("--fresh", "--redis", server.limited_url)
        assert not (fresh.folder / "data" / "redis" / "appendonlydir").exists()
        assert json.loads((fresh.folder / "data" / "shardfleet.json").read_text())["redis"] == server.url  # no password
        assert fresh.up("--redis", server.limited_url).returncode in (0, 1)


def test_a_taken_port(place: Place) -> None:
    place.write()
    config = place.folder / "config.json"
    config.write_text(to_config(load_fleet(place.file), {}).to_json())
    with redis_server() as server, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--shard", "ward-0", "--ordinal", "0", "--config", str(config), "--listen", address]
        done = place.run("shard", *arguments, SHARDFLEET_REDIS_URL=server.limited_url)
    *before, last = done.stderr.splitlines()
    # Nobody has founded a world in this Redis, so it first waits for shards that might know of one.
    assert all("roll-call" in line for line in before) and len(before) <= 1, done.stderr
    done.stderr = f"{last}\n"
    refused(done, f"--listen {address}", "taken")


# --- worlds ----------------------------------------------------------------------------------------------------


def test_another_version_or_another_fleets_data_folder(fresh: Place) -> None:
    assert fresh.entities() == WHOLE
    marker = fresh.folder / "data" / "shardfleet.json"
    text = marker.read_text()
    marker.write_text(text.replace('"version": 1', '"version": 99'))
    fresh.write()
    refused(fresh.up(), "data", "version 99")
    marker.write_text(text)
    fresh.write(name="other")
    refused(fresh.up(), "data", "'ward'", "'other'")
    refused(fresh.up("--fresh"), "data", "'ward'")
    fresh.write("orbit")
    refused(fresh.up(), "spec.simulation.name")
    fresh.write("replay", tracks="none.csv")
    refused(fresh.up(), "none.csv")
    assert fresh.entities() == WHOLE


@pytest.mark.parametrize(("name", "said"), [("twins", "entity 7 comes twice"), ("nowhere", "entity 6 has no finite")])
def test_a_seed_that_cannot_be_begins_no_world(fresh: Place, name: str, said: str) -> None:
    fresh.write(name)
    refused(fresh.up(duration=str(PATIENCE_S)), f"{name}.seed", said)
    fresh.write()
    refused(fresh.up(), "spec.simulation.name")
    assert fresh.run("local", "status", "--data", "data").stdout.startswith("ward does not run")


def test_an_id_that_is_alive_is_not_spawned_again(fresh: Place) -> None:
    fresh.write()
    fleet = fresh.start()
    try:
        fresh.wait("the seed is there", is_whole)
        for where in ("20,20", "-20,-20"):
            done = fresh.run("spawn", "--data", "data", "--id", "3", "--position", where)
            refused(done, "entity 3", "alive")
        refused(fresh.run("spawn", "--data", "data", "--id", "99", "--position", "nan,0"), "--position")
        assert fresh.run("spawn", "--data", "data", "--id", "99", "--position", "1,0").returncode == 0
        fresh.run("local", "down", "--data", "data")
        report = json.loads(fleet.communicate(timeout=PATIENCE_S)[0])
    finally:
        fleet.kill()
        fleet.communicate()
    assert report["entities"]["owned"] == 11
    assert (report["entities"]["missing"], report["entities"]["doubled"]) == (0, 0)
