"""Spawning and despawning by asking shards, and reading the numbers that people type."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

from shardfleet_shard.config import parse_duration_us
from shardfleet_shard.core.requests import Member, Observe, Observed
from shardfleet_shard.errors import ShardfleetError, ShardUnavailable, StoreUnavailable, UsageError
from shardfleet_shard.net.api import NewEntity
from shardfleet_shard.store.redis_store import RedisStore

from .fleet import Location, opened

Number = TypeVar("Number", int, float)

DESPAWN_PATIENCE_S = 2.0
"""A handoff that is under way takes about 0.1 s: an entity found nowhere for this long is not there."""
DESPAWN_PAUSE_S = 0.1
MAX_COLUMN_VALUES = 4096
LOWEST_RANDOM_ID = 2**32
"""Above what seeds and tracks number their entities with, and below 2**53, where JSON readers begin to round."""


def numbers(option: str, text: str, *, kind: Callable[[str], Number]) -> list[Number]:
    """'1,2,3' as numbers. Raises ``UsageError``."""
    try:
        values = [kind(part) for part in text.split(",")]
    except ValueError:
        example = "1,2,3" if kind is int else "10,-20"
        raise UsageError(f"{option} {text}: not numbers with commas between them, such as {example}") from None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise UsageError(f"{option} {text}: every number must be finite")
    if kind is int and any(not 0 <= value < 2**64 for value in values):
        raise UsageError(f"{option} {text}: ids are whole numbers from 0 to 2^64 - 1")
    return values


def microseconds(option: str, text: str) -> int:
    """Raises ``UsageError``."""
    try:
        return parse_duration_us(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def new_entity(entity_id: int | None, position: str, velocity: str | None, columns: Sequence[str]) -> NewEntity:
    """From the options of ``shardfleet spawn``. Raises ``UsageError``."""
    place = numbers("--position", position, kind=float)
    speed = numbers("--velocity", velocity, kind=float) if velocity is not None else []
    if len(place) not in (2, 3):
        raise UsageError(f"--position {position}: a world has 2 or 3 dimensions, not {len(place)}")
    if speed and len(speed) != len(place):
        raise UsageError(f"--velocity {velocity}: {len(speed)} numbers, but --position has {len(place)}")
    if entity_id is None:
        entity_id = LOWEST_RANDOM_ID + secrets.randbelow(2**53 - LOWEST_RANDOM_ID)
    return NewEntity(id=entity_id, position=place, velocity=speed, columns=dict(map(_column, columns)))


def _column(text: str) -> tuple[str, float | int | Sequence[float | int]]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--column {text}: must be NAME=VALUE, such as mass=2.5")
    parts = value.split(",")
    if len(parts) > MAX_COLUMN_VALUES:
        raise UsageError(f"--column {name}: {len(parts)} values, at most {MAX_COLUMN_VALUES}")
    values = [_number(f"--column {text}", part) for part in parts]
    return name, values[0] if len(values) == 1 else values


def _number(option: str, text: str) -> float | int:
    """Whole where it is written so: a u64 would not survive a float."""
    words = {"true": 1, "false": 0}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text)
    except ValueError:
        return numbers(option, text, kind=float)[0]


async def living_members(store: RedisStore) -> list[Member]:
    """Shards with a lease, by ordinal. Raises ``StoreUnavailable``, or ``UsageError`` where there is none."""
    (observed,) = await store.execute([Observe()])
    if not isinstance(observed, Observed):
        raise StoreUnavailable(f"no answer from Redis at {store.address}: {store.last_error}")
    members = [member for member in observed.members if member.living and member.address]
    if not members:
        raise UsageError(f"no shard of fleet {store.fleet!r} lives: start it with 'shardfleet local up'")
    return members


async def spawn(location: Location, row: NewEntity) -> None:
    """Asks one living shard after the other until one answers; the entity comes to be where its cell is.

    Raises:
        UsageError: the shard refused the row, or no shard lives.
        ShardUnavailable: none answered: it may or may not have come to be.
    """
    dial = location.dial
    async with opened(location) as store:
        members = await living_members(store)
    trouble: ShardUnavailable | None = None
    for member in members:
        try:
            async with dial(member) as client:
                await client.spawn([row])
                return
        except ShardUnavailable as error:
            trouble = error
        except ShardfleetError as error:
            if trouble is None:
                raise
            # 'alive already' may be our own doing, by the shard that did not answer.
            raise ShardfleetError(f"{error}; asked again after {trouble}") from error
    raise ShardUnavailable(f"{trouble}; entity {row.id} may have been spawned: 'shardfleet entity {row.id}' says")


async def despawn(location: Location, ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """(those that are gone now, those that no shard holds), both sorted.

    Raises:
        UsageError: no shard lives.
    """
    left, gone, dial = set(ids), set[int](), location.dial
    rounds = math.ceil(DESPAWN_PATIENCE_S / DESPAWN_PAUSE_S)
    async with opened(location) as store:
        for number in range(rounds):
            for member in await living_members(store):
                try:
                    async with dial(member) as client:
                        taken = await client.despawn(sorted(left))
                except ShardUnavailable:
                    continue
                gone.update(taken)
                left.difference_update(taken)
                if not left:
                    return sorted(gone), []
            if number < rounds - 1:
                await asyncio.sleep(DESPAWN_PAUSE_S)
    return sorted(gone), sorted(left)
