"""Backup and restore, from the options to the file and back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.environment import REDIS_URL_VARIABLE
from shardfleet_shard.errors import DataFolderError, UsageError
from shardfleet_shard.store.admin import FleetAdmin
from shardfleet_shard.store.fleet_copy import put_copy, refuse_to_overwrite, take_copy
from shardfleet_shard.store.redis_store import PATIENT_TIMEOUT_S, RedisStore
from shardfleet_shard.system_clock import SystemClock

from .backup import Backup, read_backup, write_backup
from .census import Census, census
from .local.embedded_redis import EmbeddedRedis
from .local.folder import EMBEDDED, DataFolder
from .watchdog import StoreReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """``census``: of the restored world, before any shard of it runs."""

    backup: Backup
    census: Census


async def copy_of(store: RedisStore, *, config: str = "") -> Backup:
    """A fleet as it is now. Raises ``StoreUnavailable``, or ``UsageError`` where there is no such fleet."""
    admin = FleetAdmin(store)
    if not await admin.exists():
        raise UsageError(f"no fleet {store.fleet!r} in Redis at {store.address}: check --fleet and --redis")
    info, unix_us = await store.read_info(), SystemClock().now_unix_us()
    entities = await admin.entities_expected()
    keys = await take_copy(store)
    return Backup(
        fleet=store.fleet,
        unix_us=unix_us,
        server=f"{info.name} {info.version}",
        entities=entities,
        keys=keys,
        config=config,
    )


async def backup_fleet(
    output: Path, *, data: Path | None, redis_url: str | None, fleet: str | None
) -> tuple[Backup, int]:
    """Returns the backup and the file's size. Raises ``UsageError`` and ``StoreError``."""
    if fleet is not None:
        async with _connected(_required(redis_url), fleet) as store:
            made = await copy_of(store)
    else:
        folder = DataFolder.discover(data)
        config = folder.config.read_text() if folder.config.exists() else ""
        async with _store_of(folder) as store:
            made = await copy_of(store, config=config)
    return made, write_backup(output, made)


async def restore_fleet(
    file: Path, *, data: Path | None, redis_url: str | None, fleet: str | None, replace: bool
) -> Restored:
    """Raises ``UsageError`` (nothing was written then) and ``StoreError``."""
    backup = read_backup(file)
    if fleet is not None and fleet != backup.fleet:
        raise UsageError(f"--fleet {fleet}: {file} holds fleet {backup.fleet!r}, and shards carry their fleet's name")
    if data is None:
        if fleet is None:
            raise UsageError("where to? Name --data DIR, or --redis URL and --fleet NAME")
        async with _connected(_required(redis_url), fleet) as store:
            return await _restore_into(store, backup, replace=replace)
    if fleet is not None:
        raise UsageError("--data and --fleet: a data folder holds one fleet; leave --fleet out")
    return await _restore_into_folder(DataFolder(data), backup, file, replace=replace)


async def _restore_into_folder(folder: DataFolder, backup: Backup, file: Path, *, replace: bool) -> Restored:
    if not backup.config:
        raise UsageError(
            f"{file}: of a fleet without a data folder; restore it with --redis URL --fleet {backup.fleet}"
        )
    config = FleetConfig.from_json(backup.config)
    folder.lock()
    try:
        world = folder.read_world()
        if world is not None and not replace:
            raise DataFolderError(f"{folder.path}: holds a world; --replace gives it up for the copy's")
        if world is not None and world["redis"] != EMBEDDED:
            raise DataFolderError(f"{folder.path}: its world lives in a Redis of its own; use --redis and --fleet")
        folder.begin_world(config, EMBEDDED, fresh=world is not None)
        redis = await EmbeddedRedis.start(folder.redis)
        try:
            async with _connected(redis.url, backup.fleet) as store:
                restored = await _restore_into(store, backup, replace=True)
        finally:
            await redis.stop()
        folder.write_config(config)  # only now: before that, 'local up' takes the folder for an empty one
        return restored
    finally:
        folder.unlock()


async def _restore_into(store: RedisStore, backup: Backup, *, replace: bool) -> Restored:
    await refuse_to_overwrite(store, replace=replace)
    await put_copy(store, backup.keys)
    now_us = SystemClock().now_unix_us()
    records, living = await StoreReader(store).records_and_living()
    return Restored(backup=backup, census=census(records, living, now_us))


@contextlib.asynccontextmanager
async def _store_of(folder: DataFolder) -> AsyncIterator[RedisStore]:
    """The Redis of a data folder, whether its fleet runs or not."""
    if folder.is_running():
        running = folder.running_fleet()
        async with _connected(running.redis_url, running.fleet) as store:
            yield store
        return
    world = folder.read_world() or {}
    if world.get("redis") != EMBEDDED:
        raise UsageError(f"{folder.path}: its world lives in a Redis of its own; name it with --redis and --fleet")
    folder.lock()
    try:
        redis = await EmbeddedRedis.start(folder.redis)
        try:
            async with _connected(redis.url, str(world["fleet"])) as store:
                yield store
        finally:
            await redis.stop()
    finally:
        folder.unlock()


@contextlib.asynccontextmanager
async def _connected(url: str, fleet: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, fleet, timeout_s=PATIENT_TIMEOUT_S)
    try:
        await store.connect()
        yield store
    finally:
        await store.close()


def _required(redis_url: str | None) -> str:
    if redis_url is None:
        raise UsageError(f"--fleet: in which Redis? Add --redis URL, or set {REDIS_URL_VARIABLE}")
    return redis_url
