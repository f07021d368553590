"""How a command finds a fleet that runs: by its data folder, or by its Redis and name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from shardfleet_shard.environment import REDIS_URL_VARIABLE

if TYPE_CHECKING:
    from shardfleet_shard.store.redis_store import RedisStore

    from ..dialing import Dial


def _one_place(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:
    """Refuses --data beside --redis. The variable, which may be set for good, gives way to --data instead.

    Called for each of the two; the one that comes second on the command line sees both.
    """
    from shardfleet_shard.errors import UsageError

    data = value if option.name == "data" else context.params.get("data")
    source = context.get_parameter_source("redis_url")
    if data is not None and source is not None and source.name == "COMMANDLINE":
        raise UsageError(f"--data and --redis: {data} says itself where its fleet's Redis is; leave --redis out")
    return value


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        callback=_one_place,
        help="The fleet's data folder. Default: the only fleet under .shardfleet.",
    ),
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar=REDIS_URL_VARIABLE,
        callback=_one_place,
        help=f"The fleet's Redis, instead of a data folder; needs --fleet. A URL with a password is safer in "
        f"{REDIS_URL_VARIABLE}.",
    ),
]
FleetName = Annotated[str | None, typer.Option("--fleet", metavar="NAME", help="The fleet's name in that Redis.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a fleet lives. ``url`` may hold a password: never print it.

    Attributes:
        tls: the folder of its links' certificate; None for plain text.
    """

    name: str
    url: str
    tls: Path | None = None

    @property
    def dial(self) -> Dial:
        """How its shards are asked. Raises ``UsageError``: the certificate's files are not good any more."""
        from ..dialing import dial_by

        return dial_by(self.tls)


def locate(data: Path | None, redis_url: str | None, fleet: str | None) -> Location:
    """From the three options that commands share.

    Raises:
        UsageError: options that contradict each other, or no running fleet where they point.
    """
    from shardfleet_shard.errors import UsageError

    if data is None and fleet is not None:
        if redis_url is None:
            raise UsageError(f"--fleet {fleet}: in which Redis? Add --redis URL, or set {REDIS_URL_VARIABLE}")
        return Location(name=fleet, url=redis_url)
    if data is None and redis_url is not None:
        raise UsageError(f"--redis (or {REDIS_URL_VARIABLE}): which fleet in it? Add --fleet NAME")
    if fleet is not None:
        raise UsageError("--data and --fleet: a data folder holds one fleet already; leave --fleet out")
    from ..local.folder import DataFolder

    running = DataFolder.discover(data).running_fleet()
    tls = Path(running.tls) if running.tls else None
    return Location(name=running.fleet, url=running.redis_url, tls=tls)


@asynccontextmanager
async def opened(location: Location) -> AsyncIterator[RedisStore]:
    """The fleet's store, for reading.

    Raises:
        StoreUnavailable: nobody answers there.
        UsageError: a Redis that cannot serve, or no such fleet in it.
    """
    from shardfleet_shard.errors import DataFolderError, UsageError
    from shardfleet_shard.store.keys import FORMAT
    from shardfleet_shard.store.redis_store import PATIENT_TIMEOUT_S, RedisStore

    store = RedisStore(location.url, location.name, timeout_s=PATIENT_TIMEOUT_S)
    try:
        await store.connect()
        # Not ``join``: that would make a world of a name that was only mistyped.
        ((generation, stored_format),) = await store.call([("HMGET", f"{store.prefix}meta", "generation", "format")])
        if generation is None:
            raise UsageError(f"no fleet {location.name!r} in Redis at {store.address}: check --fleet and --redis")
        if stored_format != FORMAT.encode():
            raise DataFolderError(
                f"fleet {location.name!r} in Redis at {store.address} has data of another format; "
                "use the version of shardfleet that wrote it"
            )
        yield store
    finally:
        await store.close()
