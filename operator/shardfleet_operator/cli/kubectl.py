"""``kubectl shardfleet``: the commands for a fleet of a cluster; kubectl runs ``kubectl-shardfleet`` for them.

The operator makes what is shown, by the code of the same commands on one machine; here it is fetched and printed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import output
from .cluster_options import with_cluster_options
from .options import AsJson, EntityId, RowsAsJson, WatchDuration, WatchedIds, WatchInterval

if TYPE_CHECKING:
    from .forward import Cluster
    from .remote import RemoteFleet

PROGRAM = "kubectl shardfleet"
REFRESH_S = 1.0
MAX_IDS = 256
"""What the inspection port takes in one request."""
HELP = "Look at the fleets of a cluster. Needs kubectl, and the rights of ClusterRole shardfleet-viewer."

Fleet = Annotated[str, typer.Argument(metavar="FLEET", help="Default: the only fleet of the namespace.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again every second, until Ctrl-C.")]


def build() -> typer.Typer:
    """The whole application."""
    app = typer.Typer(
        name=PROGRAM,
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    for command in (status, transfers, entity, watch):
        app.command(command.__name__)(with_cluster_options(command))
    app.command("logs")(with_cluster_options(logs, without=frozenset({"operator_namespace"})))
    app.command("map")(with_cluster_options(live_map))
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    from .main import guarded

    def invoke(arguments: Sequence[str]) -> int:
        result: Any = typer.main.get_command(build()).main(
            args=list(arguments), prog_name=PROGRAM, standalone_mode=False
        )
        return result if isinstance(result, int) else 0

    return guarded(invoke, argv, program=PROGRAM)


def status(
    fleet: Fleet = "",
    *,
    cluster: Cluster,
    again: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Show a fleet: its shards, entities, handoffs, and what is not as it should be.

    \b
    Example:
      kubectl shardfleet status
      kubectl shardfleet status arena -n play --json
    """

    async def show(remote: RemoteFleet) -> None:
        _show(await remote.get("status"), status_text, as_json=as_json, again=again)

    _run(cluster, fleet, show, again=again)


def transfers(
    fleet: Fleet = "",
    *,
    cluster: Cluster,
    again: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Show the active transfers and who holds each.

    A transfer lives about a tenth of a second, so a healthy fleet often shows none. Those that live too long come
    with the watchdog's verdict.

    \b
    Example:
      kubectl shardfleet transfers arena --watch
    """
    from .transfers import text

    async def show(remote: RemoteFleet) -> None:
        _show(await remote.get("transfers"), text, as_json=as_json, again=again)

    _run(cluster, fleet, show, again=again)


def entity(
    entity_id: EntityId,
    fleet: Fleet = "",
    *,
    cluster: Cluster,
    as_json: AsJson = False,
) -> None:
    """Show who owns an entity, since when, and where it is.

    \b
    Example:
      kubectl shardfleet entity 17 arena
    """
    from shardfleet_shard.system_clock import SystemClock

    from .entity_search import print_whereabouts

    async def show(remote: RemoteFleet) -> None:
        found = await remote.get(f"entities/{entity_id}")
        if as_json:
            output.print_json(found)
        else:
            print_whereabouts(found, now_us=SystemClock().now_unix_us())

    _run(cluster, fleet, show, again=False)


def watch(
    fleet: Fleet = "",
    ids: WatchedIds = None,
    interval: WatchInterval = "1s",
    duration: WatchDuration = None,
    *,
    cluster: Cluster,
    as_json: RowsAsJson = False,
) -> None:
    """Stream the rows of all shards until Ctrl-C.

    \b
    Example:
      kubectl shardfleet watch arena --ids 1,2,3 --interval 250ms
    """
    import asyncio
    import contextlib

    from shardfleet_shard.errors import ShardfleetError, UsageError

    from . import population, watching

    wanted = tuple(population.numbers("--ids", ids, kind=int)) if ids else ()
    if len(wanted) > MAX_IDS:
        raise UsageError(f"--ids: {len(wanted)} entities, at most {MAX_IDS}: leave --ids out to get all")
    interval_us = population.microseconds("--interval", interval)
    timeout_s = population.microseconds("--duration", duration) / 1_000_000 if duration is not None else None

    async def show(remote: RemoteFleet) -> None:
        if not as_json:
            watching.print_head()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), contextlib.aclosing(remote.rows(wanted, interval_us)) as rows:
                async for row in rows:
                    watching.print_rows([row], as_json=as_json)
                raise ShardfleetError("the operator ended the stream: it was replaced, or the fleet is gone; ask again")

    _run(cluster, fleet, show, again=False)


def logs(
    fleet: Fleet = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, also with pods that come later.")] = False,
    shard: Annotated[str, typer.Option(metavar="NAME", help="This shard only, such as arena-0.")] = "",
    tail: Annotated[int, typer.Option(metavar="LINES", min=-1, help="The last lines of each shard; -1: all.")] = -1,
    *,
    cluster: Cluster,
) -> None:
    """Print what the shards of a fleet say, each line after its shard's name.

    \b
    Example:
      kubectl shardfleet logs arena -f --tail 10
    """
    import asyncio
    import contextlib

    from . import pod_logs

    options = pod_logs.LogOptions(shard=shard, follow=follow, tail=tail)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(pod_logs.logs(cluster, fleet, options))


def live_map(
    fleet: Fleet = "",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65_535, help="Of this machine, for the page; 0: a free one.")
    ] = 0,
    opens: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in a browser, where there is a screen.")
    ] = True,
    *,
    cluster: Cluster,
) -> None:
    """Show the live map in a browser, through a forward that lasts until Ctrl-C.

    The address that it prints holds the map's token: whoever has it and reaches the map may read every fleet there. A
    fleet with a Redis of its own is shown by a map of its own, which 'spec.map: Enabled' brings.

    \b
    Example:
      kubectl shardfleet map arena -n play
    """
    import asyncio
    import contextlib

    from . import remote_map

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(remote_map.show(cluster, fleet, port=port, opens=opens))


def status_text(found: dict[str, Any]) -> str:
    """What ``status`` shows a person."""
    from ..local.figures import FleetView
    from ..local.status import view_text

    settling = " (settling)" if found["phase"] == "settle" else ""
    head = f"{found['namespace']}/{found['fleet']}{settling}"
    lines = [view_text(head, FleetView.from_dict(found), found["seconds"])]
    for one in found["conditions"]:
        colour = _colour(one["type"], one["status"])
        if colour:
            lines.append(f"{output.style(one['type'], colour)} {one['status']}: {one['reason']}: {one['message']}")
    return "\n".join(lines)


def _colour(kind: str, status: str) -> str:
    """'' for a condition that is as it should be."""
    if kind in ("Progressing", "Degraded"):
        return "" if status == "False" else "yellow" if kind == "Progressing" else "red"
    return "" if status == "True" else "red"


def _show(found: dict[str, Any], text: Callable[[dict[str, Any]], str], *, as_json: bool, again: bool) -> None:
    import sys

    if as_json:
        output.print_json(found, compact=again)
    else:
        print((output.CLEAR_SCREEN if again and output.wants_colour(sys.stdout) else "") + text(found), flush=True)


def _run(cluster: Cluster, fleet: str, show: Callable[[RemoteFleet], Awaitable[None]], *, again: bool) -> None:
    """Shows once, or every ``REFRESH_S`` until Ctrl-C."""
    import asyncio
    import contextlib

    from .remote import reached

    async def run() -> None:
        async with reached(cluster, fleet) as remote:
            await show(remote)
            while again:
                await asyncio.sleep(REFRESH_S)
                await show(remote)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
