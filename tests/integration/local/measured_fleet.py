"""A fleet of ``shardfleet local up`` whose shards serve their metrics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE_S

from ..servers import free_port

ORBIT = Path(__file__).parents[3] / "examples" / "orbit.yaml"
SHARDS = 4


@contextmanager
def measured_fleet(data: Path) -> Iterator[int]:
    """It runs with its data there; where shard 0 of it is asked."""
    port = free_port(SHARDS)
    command = [
        *(sys.executable, "-m", "shardfleet_operator.cli", "local", "up", "-f", str(ORBIT)),
        *("--data", str(data), "--metrics-port", str(port), "--no-map"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
