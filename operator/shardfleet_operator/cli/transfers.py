"""``shardfleet transfers``: the active records and who holds each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .fleet import Data, FleetName, RedisUrl, locate, opened
from .output import CLEAR_SCREEN, age, print_json, style, table, wants_colour

if TYPE_CHECKING:
    from shardfleet_shard.store.redis_store import RedisStore

    from ..watchdog import Verdict

REFRESH_S = 0.5
HEAD = ("TRANSFER", "TARGET", "STATE", "ENTITIES", "HOLDERS", "SWITCH TICK", "AGE", "VERDICT")


def register(app: typer.Typer) -> None:
    app.command("transfers")(transfers)


def transfers(
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show them again twice a second, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --watch one a line, each time.")
    ] = False,
) -> None:
    """Show the active transfers and who holds each.

    A transfer lives about a tenth of a second, so a healthy fleet often shows none. Those that live too long come
    with the watchdog's verdict.

    \b
    Example:
      shardfleet transfers
      shardfleet transfers --watch --data .shardfleet/arena
    """
    import asyncio
    import contextlib
    import sys

    location = locate(data, redis_url, fleet)

    async def run() -> None:
        async with opened(location) as store:
            while True:
                snapshot = await read(store)
                if as_json:
                    print_json({"fleet": location.name, **snapshot}, compact=watch)
                else:
                    print((CLEAR_SCREEN if watch and wants_colour(sys.stdout) else "") + text(snapshot), flush=True)
                if not watch:
                    return
                await asyncio.sleep(REFRESH_S)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


async def read(store: RedisStore) -> dict[str, Any]:
    """The active transfers as plain values. Raises ``StoreUnavailable``."""
    from shardfleet_shard.system_clock import SystemClock

    from ..watchdog import StoreReader, judge

    reader = StoreReader(store)
    now_us = SystemClock().now_unix_us()
    rows = await reader.open_transfers(None)
    verdicts: dict[str, Verdict] = {}
    if rows:
        manifests = await reader.manifest_summaries()
        verdicts = {str(verdict.transfer): verdict for verdict in judge(rows, manifests, now_us)}
    return {
        "unix_us": now_us,
        "transfers": [
            {
                "transfer": str(row.id),
                "source": row.source,
                "target": row.target,
                "state": str(row.state),
                "entities": row.count,
                "holders": sorted(row.holders),
                "switch_tick": row.switch_tick,
                "transfer_time_us": row.transfer_time_us,
                "age_us": now_us - row.transfer_time_us,
                "verdict": verdicts[str(row.id)].to_dict() if str(row.id) in verdicts else None,
            }
            for row in rows
        ],
    }


def text(snapshot: dict[str, Any]) -> str:
    """The same for a person."""
    rows = snapshot["transfers"]
    if not rows:
        return "no active transfers"
    lines = [
        (
            row["transfer"],
            row["target"],
            row["state"],
            row["entities"],
            ", ".join(row["holders"]) or "nobody",
            row["switch_tick"],
            age(row["age_us"]),
            style(row["verdict"]["kind"], "red") if row["verdict"] else "",
        )
        for row in rows
    ]
    explained = [f"{row['transfer']}: {row['verdict']['meaning']}; {row['verdict']['remedy']}"
                 for row in rows if row["verdict"]]  # fmt: skip
    return "\n".join([table(HEAD, lines, right=("ENTITIES", "SWITCH TICK", "AGE")), *explained])
