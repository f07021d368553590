"""One fleet under measurement: ``shardfleet local up`` as a child, with a file and a data folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import redis
import yaml

from . import processes
from .observe import Observer

Found = TypeVar("Found")

START_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 60.0
POLL_S = 0.05


class BenchmarkError(Exception):
    """A run that gave no figures; the message is one line."""


def fleet_file(
    name: str, *, shards: int, simulation: str, entities: int, parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A ShardFleet of the size asked for; all that is not said is the default: 20 Hz, delay 60 ms, margin 0.5."""
    return {
        "apiVersion": "shardfleet.dev/v1alpha1",
        "kind": "ShardFleet",
        "metadata": {"name": name},
        "spec": {
            "replicas": shards,
            "world": {"min": [-120, -120], "max": [120, 120]},
            "simulation": {"name": simulation, "parameters": dict(parameters or {}), "seedEntities": entities},
        },
    }


class Fleet:
    """A running fleet; leaving the ``with`` block ends it, whatever happened.

    Args:
        redis_url: of a Redis that runs already; None for the embedded one.
        options: further ones of ``local up``.
        environment: of its processes, beside what they inherit.

    Attributes:
        observer: what Redis says of it.
        started_s: monotonic time at which the command was started.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        folder: Path,
        *,
        redis_url: str | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = str(content["metadata"]["name"])
        self.shards = int(content["spec"]["replicas"])
        self.content = content
        self.folder = folder / self.name
        self.data = self.folder / "data"
        self.options = [*(["--redis", redis_url] if redis_url else []), *options]
        # Whoever runs a benchmark may have a collector of their own: its cost would be in every figure.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self.environment = {**inherited, **(environment or {})}
        self.observer: Observer
        self.started_s = 0.0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        file = self.folder / "fleet.yaml"
        file.write_text(yaml.safe_dump(dict(self.content)))
        command = [str(Path(sys.executable).with_name("shardfleet")), "local", "up", "-f", str(file)]
        command += ["--data", str(self.data), "--fresh", "--no-map", "--report", "json"]
        command += self.options
        with (self.folder / "stdout").open("w") as out, (self.folder / "stderr").open("w") as error:
            self.started_s = time.monotonic()
            self._process = subprocess.Popen(command, stdout=out, stderr=error, text=True, env=self.environment)
        try:
            self.observer = self._wait("no running fleet", START_TIMEOUT_S, self._connect)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait_for_claims(self) -> None:
        """Until every shard claims its cell: the fleet runs."""
        self._wait("not every cell is claimed", START_TIMEOUT_S, lambda: self.observer.claims() >= self.shards or None)

    def wait_for_entities(self, count: int) -> None:
        """Until ``count`` entities were spawned and nearly all are in the shards' manifests.

        Nearly: the manifests are not of one moment, so those that move between two shards may be in neither.
        """

        def look() -> bool | None:
            if self.observer.counters().get("spawned", 0) < count:
                return None
            return sum(stats.entities for stats in self.observer.stats().values()) >= 0.9 * count or None

        self._wait(f"the shards do not own {count} entities", START_TIMEOUT_S, look)

    def wait_for_handoffs(self, count: int = 1) -> float:
        """Until ``count`` entities have been handed over; seconds since the command was started."""
        self._wait("no handoff", START_TIMEOUT_S, lambda: self.observer.handoffs() >= count or None)
        return time.monotonic() - self.started_s

    def run_for(self, seconds: float, each_second: Callable[[], None] | None = None) -> None:
        """Lets it run, and notices at once when it ends by itself."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            self._fail_if_ended()
            if each_second is not None:
                each_second()

    def shard_processes(self) -> dict[str, processes.Process]:
        """The shards' processes by shard."""
        found = {}
        for process in processes.descendants(self.pid):
            words = process.command.split()
            if "--shard" in words[:-1] and "--ordinal" in words:
                found[words[words.index("--shard") + 1]] = process
        return found

    def settle(self) -> dict[str, Any]:
        """Ctrl-C, the end in order, and the report.

        Raises:
            BenchmarkError: no end, or no report.
        """
        assert self._process is not None
        self.observer.close()
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(SETTLE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.name} did not settle within {SETTLE_TIMEOUT_S:.0f} s") from None
        try:
            report = json.loads((self.folder / "stdout").read_text())
        except ValueError:
            raise BenchmarkError(f"{self.name} ended with code {code} and no report; {self._last_words()}") from None
        if not isinstance(report, dict):
            raise BenchmarkError(f"{self.name}: the report is not an object")
        if code != 0:  # its figures count all the same; what broke is among them
            print(f"{self.name} ended with code {code}: {self._last_words()}", file=sys.stderr, flush=True)
        return report

    def _connect(self) -> Observer | None:
        """The embedded Redis' address stands in the data folder."""
        try:
            url = json.loads((self.data / "fleet.json").read_text())["redis_url"]
            client = redis.Redis.from_url(url, socket_timeout=10)
            client.ping()
        except (OSError, ValueError, KeyError, redis.RedisError):
            return None
        return Observer(client, self.name)

    def _wait(self, what: str, timeout_s: float, look: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + timeout_s
        while (found := look()) is None:
            self._fail_if_ended()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name}: {what} within {timeout_s:.0f} s; {self._last_words()}")
            time.sleep(POLL_S)
        return found

    def _fail_if_ended(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise BenchmarkError(f"{self.name} ended with code {self._process.returncode}; {self._last_words()}")

    def _last_words(self) -> str:
        lines = (self.folder / "stderr").read_text(errors="replace").splitlines()
        return f"see {self.folder}; its last words: {' | '.join(lines[-3:])}"

    def _end(self) -> None:
        """No process of the run outlives it: the supervisor's children end with it."""
        if self._process is None or self._process.poll() is not None:
            return
        family = [process.pid for process in processes.descendants(self.pid)]
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self._process.wait(10)
