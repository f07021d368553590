"""``FleetAdmin``: what the operator and the command read and write that no shard does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from ..core.columns import U64
from ..core.layout import Layout
from ..core.requests import Done, Refused, RefusedReason
from ..core.takeover_requests import TakeOver, is_alias
from ..errors import StoreError, StoreUnavailable
from .keys import COUNTERS, FLEET_NAME, ROOT, fleet_of
from .redis_store import RedisStore
from .scripts import refusal
from .server_info import ServerInfo

SCAN_COUNT = 512
"""Keys a step: bounds how long Redis is held, and how much one UNLINK takes."""

Phase = Literal["run", "settle"]


@dataclass(frozen=True, slots=True)
class CommandStat:
    """Of INFO commandstats, since the server's start."""

    calls: int
    microseconds: int


class FleetAdmin:
    """On a connected ``store``. Methods raise ``StoreUnavailable`` (try again) and ``StoreError``."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._prefix = store.prefix

    # --- layout, phase, origin ---------------------------------------------------------------------------------

    async def write_layout(self, layout: Layout) -> None:
        """Replaces the layout. Raises ``StoreError`` unless its version is above the stored one, or it is the same."""
        answer = await self._store.run_script("write_layout", layout.version, layout.to_json())
        if isinstance(answer, list):
            stored = self._open(refusal(answer)).detail
            raise StoreError(f"layout version {layout.version} is not above the stored {stored}")

    async def read_layout(self) -> Layout | None:
        """The stored layout, or None before the first."""
        (text,) = await self._store.call([("HGET", f"{self._prefix}layout", "json")])
        return None if text is None else Layout.from_json(text.decode())

    async def set_phase(self, phase: Phase) -> None:
        """'settle': no new transfers, open ones finish, shards resign."""
        await self._store.call([("HSET", f"{self._prefix}meta", "phase", phase)])

    async def phase(self) -> str:
        (text,) = await self._store.call([("HGET", f"{self._prefix}meta", "phase")])
        return text.decode() if text else "run"

    async def shift_origin(self, ticks: int, *, from_tick: int) -> int:
        """Moves the world's tick 0 by ``ticks`` of the grid, for a world that rested. Returns the new origin.

        Args:
            from_tick: grid tick from which the new origin holds; nothing stored before may name it or a later one.
        Raises:
            StoreError: somebody else moved it meanwhile, or the world has no seed yet.
        """
        seeded, text = (await self._store.call([("HMGET", f"{self._prefix}meta", "seeded", "origin_tick")]))[0]
        if seeded is None or text is None:
            raise StoreError(f"fleet {self._store.fleet!r} has no seed yet: there is no origin to shift")
        origin = int(text) + ticks
        answer = await self._store.run_script("shift_origin", text, origin, from_tick)
        if isinstance(answer, list):
            moved = self._open(refusal(answer)).detail
            raise StoreError(f"the origin was moved meanwhile, from {int(text)} to {moved}")
        return origin

    # --- a shard that does not come back -----------------------------------------------------------------------

    async def take_over(self, shard: str, epoch: int, *, gone: str, gone_epoch: int, unix_us: int) -> str:
        """``TakeOver`` by ``shard``. Returns '' once it is done, else why it was refused. Needs a joined store."""
        request = TakeOver(shard=shard, epoch=epoch, gone=gone, gone_epoch=gone_epoch, unix_us=unix_us)
        (reply,) = await self._store.execute([request])
        if isinstance(reply, Refused):
            return f"{reply.reason} {reply.detail}".strip()
        if not isinstance(reply, Done):
            raise StoreUnavailable(f"no answer from Redis at {self._store.address}: {self._store.last_error}")
        return ""

    def _open(self, refused: Refused) -> Refused:
        """Raises ``StoreUnavailable`` where it is not the request that was wrong."""
        if refused.reason in (RefusedReason.GENERATION, RefusedReason.CLOSED):
            raise StoreUnavailable(f"Redis at {self._store.address} restarted, and its roll-call goes on: try again")
        return refused

    # --- counting ----------------------------------------------------------------------------------------------

    async def counters(self) -> dict[str, int]:
        """All of keys.COUNTERS, 0 where nothing was counted yet."""
        (values,) = await self._store.call([("HMGET", f"{self._prefix}counters", *COUNTERS)])
        return {name: int(value or 0) for name, value in zip(COUNTERS, values, strict=True)}

    async def entities_expected(self) -> int:
        """Spawned less despawned."""
        counters = await self.counters()
        return counters["spawned"] - counters["despawned"]

    async def living_ids(self) -> U64:
        """Every living entity's id, u64 (n,), sorted; not of one moment."""
        return await self._store.living_ids()

    async def shards(self) -> list[str]:
        """Every shard that ever started, sorted."""
        (names,) = await self._store.call([("HKEYS", f"{self._prefix}epoch")])
        return sorted(name.decode() for name in names if not is_alias(name.decode()))

    # --- the server --------------------------------------------------------------------------------------------

    async def commandstats(self) -> dict[str, CommandStat]:
        """Calls and time by command (lower case), of all clients of this server."""
        (text,) = await self._store.call([("INFO", "commandstats")])
        stats = {}
        for line in text.decode().splitlines():
            name, _, rest = line.partition(":")
            if name.startswith("cmdstat_"):
                fields = dict(part.split("=") for part in rest.split(","))
                stats[name.removeprefix("cmdstat_")] = CommandStat(int(fields["calls"]), int(fields["usec"]))
        return stats

    async def server_info(self) -> ServerInfo:
        """As of now. Raises ``StoreRefused`` where this server can serve no longer."""
        return await self._store.read_info()

    # --- whole fleets ------------------------------------------------------------------------------------------

    async def exists(self) -> bool:
        """Whether this fleet has any data."""
        (found,) = await self._store.call([("EXISTS", f"{self._prefix}meta")])
        return bool(found)

    async def fleets(self) -> list[str]:
        """Names of all fleets in this Redis, sorted."""
        found: set[str] = set()
        async for keys in self._scan(f"{ROOT}*:meta"):
            found.update(fleet_of(key.decode()) for key in keys)
        return sorted(name for name in found if FLEET_NAME.fullmatch(name))  # a shard may be called meta

    async def delete_fleet(self) -> int:
        """Removes every key of this fleet, some at a time, and returns how many. Its shards must have ended.

        ``meta`` goes last, so an interrupted deletion still shows as a fleet, and is taken up by the next call.
        """
        deleted = 0
        meta = f"{self._prefix}meta".encode()
        async for keys in self._scan(f"{self._prefix}*"):
            others = [key for key in keys if key != meta]
            if others:
                (count,) = await self._store.call([("UNLINK", *others)])
                deleted += count
        (count,) = await self._store.call([("UNLINK", meta)])
        return deleted + int(count)

    async def _scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Fleet names hold no glob characters, so ``pattern`` needs no escapes."""
        cursor = b"0"
        while True:
            (answer,) = await self._store.call([("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)])
            cursor, keys = answer
            if keys:
                yield keys
            if cursor == b"0":
                return
