"""The fleet under chaos: the shipped supervisor on the harness' Redis, its shards behind the launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import redis
import yaml
from shardfleet_shard.core.columns import U64

from tests.integration.servers import free_port
from tests.patience import PATIENCE_S
from tests.performance.bench.fleet import fleet_file

from .control import Cell, Control, control_of
from .namespaces import INSIDE_VARIABLE, Network
from .server import PORT, Server
from .shard import FOLDER_VARIABLE
from .snapshot import Reader

NAME = "chaos"
POLL_S = 0.02
WORLD_WIDTH = 240.0


class ChaosError(Exception):
    """A run that cannot go on; one line."""


class Fleet:
    """A running fleet of entities on straight lines; leaving the ``with`` block ends it.

    Args:
        folder: new; gets everything that the run writes.
        speed: world units a second.
    """

    def __init__(self, folder: Path, *, shards: int, entities: int, speed: float) -> None:
        self.folder = folder.resolve()
        self.isolated = INSIDE_VARIABLE in os.environ
        self.shards = [f"{NAME}-{ordinal}" for ordinal in range(shards)]
        self.expected: U64 = np.arange(1, entities + 1, dtype=np.uint64)
        self.said: list[tuple[int, str]] = []
        """What the supervisor said, and when (Unix microseconds)."""
        self.folder.mkdir(parents=True)
        self.content = fleet_file(
            NAME, shards=shards, simulation="linear", entities=entities, parameters={"speed": speed}
        )
        self.network = Network(self.folder, shards) if self.isolated else None
        self.server = Server(self.folder / "redis", isolated=self.isolated, port=PORT if self.isolated else free_port())
        self.controls: dict[str, Control] = {shard: control_of(self.folder, shard) for shard in self.shards}
        self.reader = Reader(self.server.client(), NAME, self.shards)
        self.trace = self.folder / "trace"
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        file = self.folder / "fleet.yaml"
        file.write_text(yaml.safe_dump(dict(self.content)))
        self.server.start()
        command = [sys.executable, "-m", "tests.chaos.supervise", str(file), str(self.folder / "data"), str(self.trace)]
        environment = os.environ | {FOLDER_VARIABLE: str(self.folder), "SHARDFLEET_REDIS_URL": self.server.url}
        try:
            with (self.folder / "report.json").open("w") as out:
                self._process = subprocess.Popen(
                    command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
                )
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
            self.wait("all entities owned", PATIENCE_S, lambda: self.owned_since(1) == len(self.expected))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def wait(self, what: str, timeout_s: float, condition: Callable[[], bool]) -> None:
        """Raises ``ChaosError`` where the fleet ends, or ``condition`` stays false."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.fail_if_ended()
            if time.monotonic() > deadline:
                raise ChaosError(f"not within {timeout_s:.0f} s: {what}; {self.last_words()}")
            time.sleep(POLL_S)

    def owned_since(self, unix_us: int) -> int:
        """0 where Redis does not answer."""
        try:
            return self.reader.snapshot().owned_since(unix_us)
        except redis.RedisError:
            return 0

    def pid(self, shard: str) -> int | None:
        """Of the shard's process; None while the supervisor knows none that runs."""
        try:
            stored = json.loads((self.folder / "data" / "processes.json").read_text())["processes"]
        except (OSError, ValueError):
            return None
        running = [
            one["pid"] for one in stored if one["process"]["shard"] == shard and one["process"]["state"] != "ended"
        ]
        return running[0] if running else None

    def said_since(self, unix_us: int, *words: str) -> int | None:
        """When the supervisor first said something with one of ``words`` in it, at or after ``unix_us``."""
        first = None
        for at, line in reversed(self.said):
            if at < unix_us:
                break
            if any(word in line for word in words):
                first = at
        return first

    def settle(self) -> dict[str, Any]:
        """Ends in order; the report and what it shows broken."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise ChaosError(f"it did not settle within {PATIENCE_S:.0f} s; {self.last_words()}") from None
        try:
            return dict(json.loads((self.folder / "report.json").read_text()))
        except ValueError:
            raise ChaosError(f"it ended without a report; {self.last_words()}") from None

    def fail_if_ended(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise ChaosError(f"the supervisor ended with code {self._process.returncode}; {self.last_words()}")

    def last_words(self) -> str:
        return f"see {self.folder}; it said: {' | '.join(line for _, line in self.said[-3:])}"

    def disarm(self) -> None:
        for control in self.controls.values():
            control[Cell.POINT] = 0

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with self._process.stderr as lines, (self.folder / "supervisor.log").open("w") as log:
            for line in lines:
                now_us = time.time_ns() // 1000
                self.said.append((now_us, line.rstrip()))
                print(f"{now_us} {line}", end="", file=log, flush=True)

    def _end(self) -> None:
        """The shards end with their supervisor."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._listener is not None:
            self._listener.join()  # nobody writes into its pipe any more
        for control in self.controls.values():
            control.close()
        self.server.kill()
        self.reader.close()
