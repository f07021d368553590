"""``shardfleet watch``: pictures of all shards at once, as lines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardfleet_shard.core.columns import Columns
from shardfleet_shard.core.manifest import STATE_NAMES
from shardfleet_shard.core.requests import Member
from shardfleet_shard.errors import ShardfleetError, ShardUnavailable, StoreUnavailable, UsageError
from shardfleet_shard.net.api import RowsView
from shardfleet_shard.store.redis_store import RedisStore

from ..dialing import Dial, dial_plainly
from .fleet import Location, opened
from .output import print_json, style
from .population import living_members

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""How soon a shard that came, or came back, is watched."""
HEAD = ("TICK", "SHARD", "ENTITY", "VERSION", "STATE", "POSITION", "VELOCITY")
WIDTHS = (12, 16, 20, 7, 13, 28, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``ids`` empty: all entities. ``duration_us`` None: no end."""

    ids: tuple[int, ...]
    interval_us: int
    duration_us: int | None
    as_json: bool


async def watch(location: Location, options: Options) -> None:
    """Prints until the time is up, or it is canceled.

    Raises:
        UsageError: no such fleet, or no living shard in it at the start.
    """
    timeout_s = None if options.duration_us is None else options.duration_us / 1_000_000
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s), opened(location) as store:
            await living_members(store)  # nothing to watch is an error only at the start
            if not options.as_json:
                print_head()

            async def take(view: RowsView) -> None:
                print_rows(rows_of(view), as_json=options.as_json)

            await follow(store, options.ids, options.interval_us, take, dial=location.dial)


async def follow(
    store: RedisStore,
    ids: Sequence[int],
    interval_us: int,
    take: Callable[[RowsView], Awaitable[None]],
    *,
    dial: Dial = dial_plainly,
) -> None:
    """Hands on pictures of all living shards, until it is canceled. Shards come and go meanwhile."""
    async with asyncio.TaskGroup() as tasks:
        running: dict[tuple[str, int], asyncio.Task[None]] = {}
        while True:
            with contextlib.suppress(StoreUnavailable, UsageError):
                for member in await living_members(store):
                    key = (member.shard, member.epoch)
                    if key not in running or running[key].done():
                        running[key] = tasks.create_task(_follow_shard(member, ids, interval_us, take, dial))
            await asyncio.sleep(LOOK_AGAIN_S)


async def _follow_shard(
    member: Member, ids: Sequence[int], interval_us: int, take: Callable[[RowsView], Awaitable[None]], dial: Dial
) -> None:
    try:
        async with (
            dial(member) as client,
            contextlib.aclosing(client.watch(ids, interval_us=interval_us)) as views,
        ):
            async for view in views:
                await take(view)
    except ShardUnavailable:
        return  # it ended, or is on its way: the fleet is looked at again soon
    except ShardfleetError as error:
        log.warning("%s: %s", member.shard, error)


def print_head() -> None:
    print(style(_line(HEAD), "bold"), flush=True)


def print_rows(rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """Rows as ``rows_of`` gives them, a line each."""
    for row in rows:
        if as_json:
            print_json(row, compact=True)
        else:
            print(_line([str(_shown(row[name.lower()])) for name in HEAD]))
    sys.stdout.flush()


def rows_of(view: RowsView) -> Iterator[dict[str, Any]]:
    """A picture's rows as plain values."""
    for index in range(len(view.rows)):
        yield {
            "tick": view.tick,
            "unix_us": view.unix_us,
            "shard": view.shard,
            "epoch": view.epoch,
            "state": STATE_NAMES[view.states[index]],
            **row_values(view.rows, index),
        }


def row_values(rows: Columns, index: int) -> dict[str, Any]:
    """One row as plain values: entity, version, position, velocity, and the simulation's columns under ``columns``."""
    extra = [column.name for column in rows.schema.columns[4:]]
    return {
        "entity": int(rows.id[index]),
        "version": int(rows.version[index]),
        "position": rows.position[index].tolist(),
        "velocity": rows.velocity[index].tolist(),
        "columns": {name: rows[name][index].tolist() for name in extra},
    }


def _shown(value: Any) -> Any:
    return ", ".join(f"{number:.3f}" for number in value) if isinstance(value, list) else value


def _line(values: Any) -> str:
    return "  ".join(f"{value:<{width}}" for value, width in zip(values, WIDTHS, strict=True)).rstrip()
