"""A fleet's data out of Redis at one moment, and into one again, with every key as Redis itself writes it (DUMP)."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import NoPermissionError, ResponseError

from ..errors import StoreError, StoreUnavailable, UsageError
from .admin import FleetAdmin
from .redis_store import READ_TIMEOUT_S, RedisStore

FleetCopy = tuple[tuple[str, bytes], ...]
"""(key without the fleet's prefix, its DUMP), as the script gives them."""

KEYS_PER_CALL = 64
PROBE = "probe"
PROBE_MS = 1_000
"""Shows whether this server takes the copy, before anything is given up for it."""
META = "meta"
"""Goes last: without it the others are no fleet yet, and a restore that broke off is seen as such."""


async def take_copy(store: RedisStore) -> FleetCopy:
    """Everything that a later process needs. Redis serves nobody else while it is gathered.

    Raises:
        StoreUnavailable: no answer.
    """
    flat = await store.run_script("export", timeout_s=READ_TIMEOUT_S)
    return tuple((flat[at].decode(), flat[at + 1]) for at in range(0, len(flat), 2))


async def refuse_to_overwrite(store: RedisStore, *, replace: bool) -> None:
    """Raises ``UsageError`` where the fleet lives, or where Redis has a world of it that was not given up."""
    shards = await FleetAdmin(store).shards()
    leases = await store.call([("EXISTS", f"{store.prefix}lease:{shard}") for shard in shards])
    living = [shard for shard, lease in zip(shards, leases, strict=True) if lease]
    if living:
        raise UsageError(
            f"fleet {store.fleet!r} lives: {living[0]} holds its lease in Redis at {store.address}; "
            "end the fleet first, and wait until its leases have run out"
        )
    if not replace and await FleetAdmin(store).exists():
        raise UsageError(
            f"Redis at {store.address} holds a world of fleet {store.fleet!r}; --replace gives it up for the copy's"
        )


async def put_copy(store: RedisStore, copy: FleetCopy) -> None:
    """Replaces what Redis has of the fleet by ``copy``. It belongs to this Redis from then on, and is not settling.

    The caller has made sure that nothing of the fleet lives (``refuse_to_overwrite``).

    Raises:
        StoreUnavailable: no answer; what was written is no fleet yet: do it again.
        StoreError: this server cannot read what another version dumped, or this user may not RESTORE; nothing has
            changed then.
    """
    await _put(store, [(PROBE, dict(copy)[META])], ttl_ms=PROBE_MS)
    await FleetAdmin(store).delete_fleet()
    generation = await _run_id(store)
    ordered = sorted(copy, key=lambda pair: pair[0] == META)
    for first in range(0, len(ordered), KEYS_PER_CALL):
        await _put(store, ordered[first : first + KEYS_PER_CALL])
    meta = f"{store.prefix}{META}"
    await store.call([("HSET", meta, "generation", generation, "phase", "run")])


async def _put(store: RedisStore, pairs: Sequence[tuple[str, bytes]], *, ttl_ms: int = 0) -> None:
    commands = [("RESTORE", store.prefix + name, ttl_ms, data, "REPLACE") for name, data in pairs]
    answers = await store.call(commands, errors=True)
    for (name, _), answer in zip(pairs, answers, strict=True):
        if isinstance(answer, ResponseError):
            remedy = "restore into a server of the version that the copy was made from, or a newer one"
            if isinstance(answer, NoPermissionError) or str(answer).startswith("NOPERM"):
                remedy = "connect as a user that may RESTORE: a fleet's own may not"
            raise StoreError(f"key {name}: Redis at {store.address} answered {answer}; {remedy}")


async def _run_id(store: RedisStore) -> str:
    (info,) = await store.call([("INFO", "server")])
    for line in info.decode().splitlines():
        if line.startswith("run_id:"):
            return str(line.removeprefix("run_id:").strip())
    raise StoreUnavailable(f"Redis at {store.address} does not say its run_id")
