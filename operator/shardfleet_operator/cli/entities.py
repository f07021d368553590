"""``shardfleet entity``, ``spawn``, ``despawn``, ``watch``: the rows of a running fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from .exits import EXIT_USAGE
from .fleet import Data, FleetName, RedisUrl
from .options import AsJson, EntityId, RowsAsJson, WatchDuration, WatchedIds, WatchInterval


def register(app: typer.Typer) -> None:
    app.command("entity")(entity)
    app.command("spawn")(spawn)
    app.command("despawn")(despawn)
    app.command("watch")(watch)


def entity(
    entity_id: EntityId,
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    as_json: AsJson = False,
) -> None:
    """Show who owns an entity, since when, and where it is.

    Reads every shard's manifest and journal, and asks the owner since when it has it: "or before" where the owner has
    started anew since. Position and columns are as of the tick that is shown.

    \b
    Example:
      shardfleet entity 17
      shardfleet entity 17 --redis redis://127.0.0.1:6379/0 --fleet arena --json
    """
    import asyncio

    from shardfleet_shard.system_clock import SystemClock

    from .entity_search import print_whereabouts, search
    from .fleet import locate, opened
    from .output import print_json

    async def run() -> None:
        location = locate(data, redis_url, fleet)
        async with opened(location) as store:
            found = await search(store, entity_id, dial=location.dial)
        if as_json:
            print_json(found)
        else:
            print_whereabouts(found, now_us=SystemClock().now_unix_us())

    asyncio.run(run())


def spawn(
    position: Annotated[str, typer.Option(metavar="X,Y[,Z]", help="Where, in world units.")],
    velocity: Annotated[
        str | None, typer.Option(metavar="X,Y[,Z]", help="World units a second. Default: at rest.")
    ] = None,
    entity_id: Annotated[
        int | None,
        typer.Option("--id", metavar="ID", min=0, max=2**64 - 1, help="Default: a random one."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of the simulation's columns; can be given again. Wide: a,b,c."),
    ] = None,
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    as_json: AsJson = False,
) -> None:
    """Bring one entity into the world.

    It comes to be at the shard that holds the place, whichever shard is asked.

    \b
    Example:
      shardfleet spawn --position 10,-20
      shardfleet spawn --position 10,-20 --velocity 1.5,0 --id 4711 --column mass=2.5
    """
    import asyncio

    from . import population
    from .fleet import locate
    from .output import print_json

    row = population.new_entity(entity_id, position, velocity, column or [])
    asyncio.run(population.spawn(locate(data, redis_url, fleet), row))
    if as_json:
        print_json({"spawned": row.id})
    else:
        print(f"spawned {row.id}")


def despawn(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", min=0, max=2**64 - 1, help="The entities.")],
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    as_json: AsJson = False,
) -> int:
    """Take entities out of the world.

    An entity that is being handed over is taken out by its new owner; this waits for that. Ends with 2 where one of
    them is nowhere.

    \b
    Example:
      shardfleet despawn 4711 4712
    """
    import asyncio

    from shardfleet_shard.errors import UsageError

    from . import population
    from .fleet import locate
    from .output import print_json

    gone, left = asyncio.run(population.despawn(locate(data, redis_url, fleet), ids))
    if as_json:
        print_json({"despawned": gone, "not_found": left})
        return EXIT_USAGE if left else 0
    for one in gone:
        print(f"despawned {one}")
    if left:
        raise UsageError(f"no shard holds {', '.join(map(str, left))}; 'shardfleet entity ID' says where one was last")
    return 0


def watch(
    ids: WatchedIds = None,
    interval: WatchInterval = "1s",
    duration: WatchDuration = None,
    data: Data = None,
    redis_url: RedisUrl = None,
    fleet: FleetName = None,
    as_json: RowsAsJson = False,
) -> None:
    """Stream the rows of all shards until Ctrl-C.

    One line a row. Shards that come are watched as well, shards that go are left.

    \b
    Example:
      shardfleet watch --ids 1,2,3 --interval 250ms
      shardfleet watch --json --duration 10s > rows.jsonl
    """
    import asyncio
    import contextlib

    from . import population, watching
    from .fleet import locate

    options = watching.Options(
        ids=tuple(population.numbers("--ids", ids, kind=int)) if ids else (),
        interval_us=population.microseconds("--interval", interval),
        duration_us=population.microseconds("--duration", duration) if duration is not None else None,
        as_json=as_json,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watching.watch(locate(data, redis_url, fleet), options))
