"""``shardfleet backup`` and ``shardfleet restore``: a fleet's whole world in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .fleet import Data, FleetName, RedisUrl
from .options import AsJson
from .output import print_json

if TYPE_CHECKING:
    from ..copying import Restored


def register(app: typer.Typer) -> None:
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    as_json: AsJson = False,
) -> None:
    """Write a fleet's whole world into one file.

    The fleet may run meanwhile; Redis serves nobody else while its keys are gathered. A data folder whose fleet does
    not run is read as well.

    \b
    Example:
      shardfleet backup --data .shardfleet/arena -o arena.backup
      shardfleet backup --redis redis://redis.example:6379 --fleet arena -o arena.backup
    """
    import asyncio

    from ..copying import backup_fleet

    made, size = asyncio.run(backup_fleet(output, data=data, redis_url=redis_url, fleet=fleet))
    if as_json:
        print_json(
            {"fleet": made.fleet, "file": str(output), "unix_us": made.unix_us, "entities": made.entities,
             "keys": len(made.keys), "bytes": size}
        )  # fmt: skip
    else:
        print(f"{made.fleet}: {made.entities:,} entities in {len(made.keys):,} keys, {size:,} bytes in {output}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'shardfleet backup' wrote.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="A data folder for 'shardfleet local up'; new, or the fleet's own."),
    ] = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up the world that is there. A fleet that lives is never touched.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Put a fleet's world back from a file, and count it.

    Its shards go on from their last snapshots, as after a crash; what happened since the backup is forgotten. Nothing
    is written where the fleet lives, or where the file is cut short or damaged.

    \b
    Example:
      shardfleet restore arena.backup --data .shardfleet/arena
      shardfleet restore arena.backup --redis redis://redis.example:6379 --fleet arena --replace
    """
    import asyncio

    from ..copying import restore_fleet

    done = asyncio.run(restore_fleet(file, data=data, redis_url=redis_url, fleet=fleet, replace=replace))
    if as_json:
        print_json({"fleet": done.backup.fleet, "unix_us": done.backup.unix_us, **done.census.to_dict()})
    else:
        print(_text(done))
    return 1 if len(done.census.missing) or len(done.census.doubled) else 0


def _text(done: Restored) -> str:
    from datetime import UTC, datetime

    made = datetime.fromtimestamp(done.backup.unix_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    census = done.census
    words = f"{done.backup.fleet}: as of {made}, {census.owned:,} of {census.expected:,} entities have an owner"
    for word, ids in (("missing", census.missing), ("doubled", census.doubled)):
        if len(ids):
            words += (
                f"; {len(ids):,} {word}: {', '.join(map(str, ids[:10].tolist()))}{', ...' if len(ids) > 10 else ''}"
            )
    return words
