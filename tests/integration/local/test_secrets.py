"""A fleet on a Redis with a password: nothing that it puts out has the password in it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

from ..servers import RedisServer, free_port
from .collector import Collector
from .place import SHARDFLEET, look

ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"
SHARDS = 4
PASSWORD = f"geheim-{secrets.token_hex(8)}"
"""No other run on this machine has it."""
FOR_THE_USER = "fleet.json"
"""Where other commands find the fleet's Redis, password included; nobody else may read it."""


def command_lines(but: int) -> bytes:
    """Of all processes of this machine, but for that of ``but``: the server, which the test gave its password there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.read_bytes()] if int(path.parent.name) != but else []
        except OSError:
            continue  # it has ended meanwhile
    return b"\n".join(found)


def wait(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def put_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """What a run put out, by where it did: handoffs, a Redis that restarts, a shard that dies, an end in order."""
    folder = tmp_path_factory.mktemp("world")
    data, trace, port = folder / "data", folder / "trace", free_port(SHARDS)
    said: dict[str, bytes] = {}
    with Collector() as collector, RedisServer(tcp=True, password=PASSWORD) as server:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "SHARDFLEET_REDIS_URL": server.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }

        def run(*arguments: str | Path) -> None:
            done = subprocess.run(
                [*SHARDFLEET, *map(str, arguments)],
                env=environment,
                capture_output=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert done.stdout, done.stderr
            said[" ".join(one for one in arguments if isinstance(one, str))] = done.stdout + done.stderr

        up = [*SHARDFLEET, "local", "up", "-f", str(ORBIT), "--data", str(data), "--trace", str(trace)]
        with (folder / "said").open("wb") as output:
            fleet = subprocess.Popen(
                [*up, "--metrics-port", str(port), "--map-port", str(free_port())],
                env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait("handoffs", lambda: len({span.trace for span in collector.spans()}) >= 5)
            assert server.process is not None
            said["command lines"] = command_lines(but=server.process.pid)
            run("local", "status", "--data", data)
            run("local", "status", "--json", "--data", data)
            run("entity", "1", "--json", "--data", data)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
                said["metrics"] = answer.read()
            assert (data / FOR_THE_USER).stat().st_mode & 0o777 == 0o600

            shown = (folder / "said").read_text
            server.stop()
            wait("Redis is missed", lambda: "no answer from Redis" in shown())
            server.start()
            wait("Redis is there again", lambda: "Redis restarted" in shown())
            os.kill(next(one["pid"] for one in look(data)["shards"] if one["shard"] == "arena-1"), signal.SIGKILL)
            wait("a shard is started again", lambda: "arena-1 is started again" in shown())
            run("local", "down", "--data", data)
        finally:
            fleet.terminate()
            fleet.wait(PATIENCE_S)
        run("check", trace)
        said["OTLP"] = b"\n".join(collector.payloads)
    said |= {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != FOR_THE_USER
    }
    yield said


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_password_is_nowhere(put_out: dict[str, bytes]) -> None:
    for part in ("said", "data/report.json", "data/logs/arena-3.log", "data/logs/supervisor.log", "data/logs/map.log"):
        assert put_out[part]
    assert b"arena-3" in put_out["command lines"] and b"arena-3" in put_out["OTLP"]
    assert any(name.endswith(".events.jsonl") for name in put_out) and any(name.endswith(".trace") for name in put_out)
    assert [where for where, what in put_out.items() if PASSWORD.encode() in what] == []
