"""``shardfleet local up`` with another launcher for its shards, on a Redis of one's own. Prints the report as JSON.

python -m tests.chaos.supervise FILE DATA TRACE      (the Redis URL is in SHARDFLEET_REDIS_URL)
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from shardfleet_operator.local.folder import DataFolder
from shardfleet_operator.local.supervisor import Outcome, Supervisor, UpOptions
from shardfleet_operator.local.table import LineScreen
from shardfleet_operator.resource import load_fleet, to_config
from shardfleet_shard.environment import REDIS_URL_VARIABLE
from shardfleet_shard.system_clock import SystemClock

LAUNCHER = (sys.executable, "-m", "tests.chaos.shard")


async def _run(options: UpOptions) -> Outcome:
    supervisor = Supervisor(options, SystemClock(), LineScreen(sys.stderr), environment=os.environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.interrupt, number.name)
    return await supervisor.run()


def main(file: str, data: str, trace: str) -> int:
    options = UpOptions(
        file=Path(file),
        config=to_config(load_fleet(file), {}),
        folder=DataFolder(Path(data)),
        redis_url=os.environ[REDIS_URL_VARIABLE],
        trace=Path(trace),
        shard_command=LAUNCHER,
    )
    outcome = asyncio.run(_run(options))
    json.dump({"report": outcome.report, "faults": outcome.faults}, sys.stdout)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
