"""``shardfleet local``: a fleet on this machine, from its file to its report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from shardfleet_shard.environment import REDIS_URL_VARIABLE

from .fleet import Data
from .options import AsJson

if TYPE_CHECKING:
    from ..local.folder import DataFolder
    from ..local.supervisor import Outcome, UpOptions
    from ..local.table import Screen

DOWN_TIMEOUT_S = 60.0

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class ReportFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@app.command("up")
def up(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The fleet's YAML file.")],
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="S", min=0.1, help="Settle after this many seconds. Default: at Ctrl-C."),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL",
            envvar=REDIS_URL_VARIABLE,
            help="A Redis or Valkey of your own instead of an embedded one. A password is safer in "
            f"{REDIS_URL_VARIABLE}.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The data folder. Default: .shardfleet/NAME. Resumed if it exists."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the data folder's world and start anew.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="DIR", help="Write what every tick did to DIR, for 'shardfleet check DIR'."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=1,
            max=65_000,
            help="Shard N serves GET /metrics on 127.0.0.1:PORT+N, for Prometheus. Default: none does.",
        ),
    ] = None,
    tls: Annotated[
        Path | None,
        typer.Option(
            "--tls",
            metavar="DIR",
            help="Mutual TLS on the shards' links, by ca.crt, tls.crt and tls.key in DIR. The certificate must name "
            "each shard. Default: plain text.",
        ),
    ] = None,
    with_map: Annotated[
        bool, typer.Option("--map/--no-map", help="Serve the live map, in a process of its own.")
    ] = True,
    map_port: Annotated[
        int | None,
        typer.Option(
            "--map-port",
            metavar="PORT",
            min=1,
            max=65_535,
            help="The map's, on 127.0.0.1. Default: 7373, or a free one where that is taken.",
        ),
    ] = None,
    report: Annotated[
        ReportFormat,
        typer.Option("--report", help="json: stdout holds the report as one JSON object, all else goes to stderr."),
    ] = ReportFormat.TEXT,
) -> int:
    """Run a fleet: Redis, the layout, and a process for each shard.

    Ctrl-C (or the duration's end) settles: open handoffs finish, every shard publishes and resigns, and a report
    says what happened. A second Ctrl-C ends at once. The next 'up' goes on where this one stopped.

    \b
    Example:
      shardfleet local up -f examples/orbit.yaml
      shardfleet local up -f examples/orbit.yaml --fresh --duration 60 --report json > report.json
      shardfleet local up -f examples/orbit.yaml --tls tls
    """
    import os
    import sys

    from shardfleet_shard.errors import SpecError

    from ..local.folder import DataFolder
    from ..local.report_text import to_text
    from ..local.supervisor import UpOptions
    from ..local.table import screen_for
    from ..resource import load_fleet, to_config
    from .output import print_json, wants_colour

    resource = load_fleet(file)
    config = to_config(resource, os.environ)
    if tls is not None:
        from ..local.certificate import checked_folder

        tls = checked_folder(tls, config)
    options = UpOptions(
        file=file,
        config=config,
        folder=DataFolder(data) if data is not None else DataFolder.default_for(config.name),
        duration_s=duration,
        redis_url=redis,
        fresh=fresh,
        trace=trace,
        metrics_port=metrics_port,
        tls=tls,
        with_map=with_map,
        map_port=map_port,
    )
    stream = sys.stderr if report is ReportFormat.JSON else sys.stdout
    try:
        outcome = _run(options, screen_for(stream, terminal=wants_colour(stream)))
    except SpecError as error:
        raise resource.error(error.faults) from error
    if outcome.report is not None and report is ReportFormat.JSON:
        print_json(outcome.report)
    elif outcome.report is not None:
        print(to_text(outcome.report, fleet=config.name, faults=outcome.faults, note=outcome.note))
    if report is ReportFormat.JSON or outcome.report is None:
        for fault in outcome.faults:
            print(f"{config.name}: {fault}", file=sys.stderr)
    return outcome.exit_code


@app.command("status", short_help="Show a fleet that runs, or how its last run ended.")
def status(
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the shards of a fleet that runs on this machine, or how its last run ended.

    \b
    Example:
      shardfleet local status
      shardfleet local status --data .shardfleet/arena --json
    """
    import asyncio

    from ..local.folder import DataFolder
    from ..local.status import read_status
    from .output import print_json

    folder = DataFolder.discover(data)
    if not folder.is_running():
        name = str((folder.read_world() or {}).get("fleet", ""))
        if as_json:
            last = folder.read_report()
            print_json({"fleet": name, "running": False, "last_report": last[0] if last else None})
        else:
            print(f"{name} does not run; 'shardfleet local up' starts it")
            _print_last_report(folder, name)
        return
    found = asyncio.run(read_status(folder))
    if as_json:
        print_json(found.to_dict())
    else:
        print(found.to_text())


@app.command("down", short_help="Settle a fleet and show its report.")
def down(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> int:
    """Settle a fleet that runs on this machine, as Ctrl-C does, and show its report.

    \b
    Example:
      shardfleet local down
      shardfleet local down --data .shardfleet/arena
    """
    import os
    import signal
    import time

    from shardfleet_shard.errors import UsageError

    from ..local.folder import DataFolder
    from .output import print_json

    folder = DataFolder.discover(data)
    fleet = folder.running_fleet()
    os.kill(fleet.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while folder.is_running():
        if time.monotonic() > deadline:
            raise UsageError(f"{fleet.fleet} (pid {fleet.pid}) has not settled within {DOWN_TIMEOUT_S:.0f} s")
        time.sleep(0.1)
    last = folder.read_report()
    if last is None:
        raise UsageError(f"{fleet.fleet} ended without a report; see {folder.logs}")
    if as_json:
        print_json(last[0])
    else:
        _print_last_report(folder, fleet.fleet)
    return int(last[1]["exit_code"])


def _run(options: UpOptions, screen: Screen) -> Outcome:
    """Runs the supervisor with its signals and its log."""
    import asyncio
    import os
    import signal

    from shardfleet_shard.system_clock import SystemClock

    from ..local.supervisor import Supervisor

    async def run() -> Outcome:
        supervisor = Supervisor(options, SystemClock(), screen, environment=os.environ)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, supervisor.interrupt, number.name)
        return await supervisor.run()

    with screen:
        return asyncio.run(run())


def _print_last_report(folder: DataFolder, fleet: str) -> None:
    from ..local.report_text import to_text

    last = folder.read_report()
    if last is None:
        print("its last run ended without a report")
        return
    report, outcome = last
    print(to_text(report, fleet=fleet, faults=outcome["faults"], note=outcome["note"]))
