"""The operator under measurement: the shipped command as a process, and what the system says of it."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.integration.servers import free_port

from ..bench import processes
from .control_plane import Server

IMAGE = "shardfleet:bench"


class OperatorRun:
    """``shardfleet operator`` from its start to its end."""

    def __init__(self, folder: Path, kubeconfig: Path, redis_url: str) -> None:
        self._port = free_port()
        command = [str(Path(sys.executable).with_name("shardfleet")), "operator"]
        command += ["--image", IMAGE, "--health", f"127.0.0.1:{self._port}"]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "SHARDFLEET_REDIS_URL": redis_url}
        self.server = Server("operator", command, folder, environment)

    def wait_until_it_acts(self) -> None:
        self.server.wait("it does not act", self._acts)

    def stop(self) -> None:
        self.server.stop()

    def usage(self) -> Usage:
        return Usage.of(self.server.pid)

    def _acts(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of one process at one moment.

    Attributes:
        cpu_s: user and system time since its start.
        memory_mb: resident now, shared pages included; ``memory_mb_peak``: the most so far.
    """

    cpu_s: float
    memory_mb: float
    memory_mb_peak: float

    @classmethod
    def of(cls, pid: int) -> Usage:
        (process,) = (process for process in processes.table() if process.pid == pid)
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
        peak_mb = int(lines["VmHWM"].split()[0]) / 1024
        return cls(cpu_s=process.cpu_s, memory_mb=process.memory_mb, memory_mb_peak=peak_mb)
