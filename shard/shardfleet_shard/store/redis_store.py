"""``RedisStore``: requests to Redis and back, one pipeline a call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import BusyLoadingError, NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from ..core.columns import U64, Schema
from ..core.histogram import Histogram
from ..core.journal_requests import FleetRecords, ReadFleet, Registry, ShardRecord
from ..core.requests import Join, Joined, Reply, Request
from ..core.schemas import schema_changed, schema_from_text, schema_to_text
from ..errors import DataFolderError, StoreError, StoreRefused, StoreUnavailable
from .commands import Command
from .connections import UNANSWERED, Answer, Connections
from .journal import entries_from_flat
from .keys import FORMAT, fleet_prefix
from .living import from_bitmaps
from .scripts import TABLE, all_lua, commands_of, script_command
from .server_info import ServerInfo

_log = logging.getLogger(__name__)

TIMEOUT_S = 1.0
"""A third of the default lease: a renewal that got no answer can be repeated before the lease ends."""
PATIENT_TIMEOUT_S = 5.0
"""For those who have no lease to lose: commands, the supervisor, the operator."""
BYTES_PER_SECOND = 20_000_000
"""Large calls get further time: what a slow disk still appends."""
READ_TIMEOUT_S = 30.0
"""For reading a whole fleet."""
SHARDS_A_READ = 8
CONNECTIONS = 16

_TEMPORARY_CODES = ("MISCONF", "BUSY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "NOAUTH", "STAGE", "OOM", "READONLY")
"""Errors by which Redis says 'not now': the request is unanswered, and it is tried again like any other."""


@dataclass(slots=True)
class _Plan:
    """A request and where its commands lie in the pipeline."""

    request: Request
    commands: list[Command]
    first: int

    @property
    def last(self) -> int:
        return self.first + len(self.commands) - 1


class RedisStore:
    """One fleet in one Redis.

    Args:
        url: redis://, rediss:// or unix://; the password in it appears in no message.
        fleet: its name; all keys start with ``sf:<fleet>:``.
        timeout_s: how long a call waits for its answers, beyond the time that its bytes need.
        connections: at most; each call uses one of its own.
    Raises:
        StoreRefused: the URL or the fleet's name cannot be used.

    Attributes:
        generation: Redis' run_id when ``join`` last ran; '' before.
        client_requests: commands sent so far.
        info: what ``connect`` learnt of the server, or None before.
    """

    def __init__(self, url: str, fleet: str, *, timeout_s: float = TIMEOUT_S, connections: int = CONNECTIONS) -> None:
        try:
            self.prefix = fleet_prefix(fleet)
        except ValueError as error:
            raise StoreRefused(str(error)) from None
        self.fleet = fleet
        self.generation = ""
        self.client_requests = 0
        self.info: ServerInfo | None = None
        self._timeout_s = timeout_s
        self._connections = Connections(url, limit=connections, timeout_s=timeout_s)

    def __repr__(self) -> str:
        return f"RedisStore({self.fleet!r} at {self.address})"

    @property
    def address(self) -> str:
        """Host and port, or the socket's path; for messages."""
        return self._connections.address

    @property
    def durable(self) -> bool:
        """Whether this Redis keeps its data over a restart (AOF); False is the condition RedisNotDurable."""
        return self.info is not None and self.info.durable

    @property
    def bytes_sent(self) -> int:
        return self._connections.bytes_sent

    @property
    def call_us(self) -> Histogram:
        """Durations of the calls that were answered, microseconds."""
        return self._connections.call_us

    @property
    def last_error(self) -> str:
        """Why the newest unanswered call was not answered; '' where there was none."""
        return self._connections.last_error

    # --- starting ----------------------------------------------------------------------------------------------

    async def connect(self) -> ServerInfo:
        """Checks that this Redis can serve, and loads the scripts.

        Raises:
            StoreUnavailable: nobody answers there (yet).
            StoreRefused: cluster mode, a replica, an eviction policy, too old, or a wrong password.
        """
        info = await self.read_info()
        await self.load_scripts()
        return info

    async def read_info(self) -> ServerInfo:
        """What the server says of itself now. Raises as ``connect``."""
        info, config = await self.call([("INFO",), ("CONFIG", "GET", "appendfsync")], errors=True)
        if isinstance(info, ResponseError):
            raise StoreUnavailable(f"Redis at {self.address} does not serve yet: {info}")
        appendfsync = config[1].decode() if isinstance(config, list) and len(config) == 2 else ""
        self.info = ServerInfo.from_info(info.decode("utf-8", "replace"), appendfsync=appendfsync)
        self.info.refuse_unfit(self.address)
        return self.info

    async def load_scripts(self) -> None:
        """SCRIPT LOAD of all. Raises ``StoreUnavailable``, or ``StoreError`` where Redis will not have one."""
        await self.call([("SCRIPT", "LOAD", lua.text) for lua in all_lua()])

    async def join(
        self, schema: Schema | None = None, *, takes: Sequence[int] = (), simulation: str = "", founds: bool = True
    ) -> Joined:
        """Executes ``Join`` and sends what it learnt, Redis' run_id, with every further request.

        Args:
            founds: see ``Join``.
            schema: the columns of ``simulation``, where the caller has one; ``takes``: hashes of former schemas whose
                rows it can upgrade.
        Raises:
            DataFolderError: the data in Redis are of another format.
            SchemaChanged: the fleet's entities have columns that the caller does not take.
            StoreUnavailable: no answer.
        """
        (stored_format,) = await self.call([("HGET", f"{self.prefix}meta", "format")])
        if stored_format not in (None, FORMAT.encode()):
            raise DataFolderError(
                f"fleet {self.fleet!r} in Redis at {self.address} has data of format {stored_format.decode()!r}, "
                f"this version reads {FORMAT!r}: use the version that wrote it, or start anew"
            )
        request = Join(founds=founds)
        if schema is not None:
            text = schema_to_text(schema)
            request = Join(founds=founds, schema_hash=schema.hash, schema=text, takes=tuple(takes))
        (reply,) = await self.execute([request])
        if not isinstance(reply, Joined):
            raise StoreUnavailable(f"no answer from Redis at {self.address}: {self.last_error}")
        if schema is not None and reply.misfit:
            raise schema_changed(schema_from_text(reply.misfit), schema, name=simulation)
        self.generation = reply.generation
        return reply

    async def read_shards(self, shards: Sequence[str]) -> tuple[ShardRecord, ...]:
        """Manifest and journal of some shards, rows included; each of one moment. Raises ``StoreUnavailable``."""
        records = await self._read_fleet(shards)
        if records is None:
            raise StoreUnavailable(f"no answer from Redis at {self.address}: {self.last_error}")
        return records.records

    async def close(self) -> None:
        await self._connections.close()

    # --- calls -------------------------------------------------------------------------------------------------

    async def execute(
        self, requests: Sequence[Request], *, timeout_s: float | None = None, generation: str = ""
    ) -> list[Reply | None]:
        """Sends all ``requests`` as one pipeline (not a transaction) and returns their replies in order.

        None stands for each whose answer never came: it may have been executed, or may yet be. Safe to call from
        several tasks at once; nothing orders two calls.

        Args:
            generation: the one under which they are sent; '' for the one that ``join`` learnt.
        Raises:
            StoreError: a script failed in Redis, which is a bug or a foreign key under our prefix.
        """
        plans: list[_Plan] = []
        commands: list[Command] = []
        for request in requests:
            own = self._commands_of(request, generation or self.generation)
            plans.append(_Plan(request, own, len(commands)))
            commands += own
        answers = await self._exchange(commands, timeout_s or self._time_for(requests, commands))
        missing = [plan for plan in plans if isinstance(answers[plan.last], NoScriptError)]
        if missing:
            await self._repeat(missing, answers, timeout_s)
        return [await self._reply(plan, answers) for plan in plans]

    def _commands_of(self, request: Request, generation: str) -> list[Command]:
        if isinstance(request, ReadFleet):
            return [("HKEYS", f"{self.prefix}epoch")]
        return commands_of(request, self.prefix, generation)

    def _time_for(self, requests: Sequence[Request], commands: Sequence[Command]) -> float:
        size = sum(len(argument) for command in commands for argument in command if isinstance(argument, bytes))
        base = READ_TIMEOUT_S if any(isinstance(request, ReadFleet) for request in requests) else self._timeout_s
        return base + size / BYTES_PER_SECOND

    async def _repeat(self, plans: Sequence[_Plan], answers: list[Answer], timeout_s: float | None) -> None:
        """Redis lost its scripts (a restart, SCRIPT FLUSH): they were not executed, so they are sent once more."""
        try:
            await self.load_scripts()
        except StoreUnavailable:
            return
        calls = [plan.commands[-1] for plan in plans]
        again = await self._exchange(calls, timeout_s or self._time_for([plan.request for plan in plans], calls))
        for plan, answer in zip(plans, again, strict=True):
            answers[plan.last] = answer

    async def _reply(self, plan: _Plan, answers: Sequence[Answer]) -> Reply | None:
        answer = answers[plan.last]
        if answer is UNANSWERED:
            return None
        if isinstance(answer, ResponseError):
            self._raise_unless_temporary(type(plan.request).__name__, answer)
            return None
        if isinstance(plan.request, ReadFleet):
            return await self._read_all([name.decode() for name in answer], registry=plan.request.registry)
        return TABLE[type(plan.request)].reply(answer)

    async def _read_all(self, shards: Sequence[str], *, registry: bool) -> FleetRecords | None:
        try:
            before = await self.living_ids() if registry else None
            records = await self._read_fleet(shards)
            if records is None or before is None:
                return records
            after = await self.living_ids()
        except StoreUnavailable:
            return None
        return replace(records, registry=Registry(before=before.tobytes(), after=after.tobytes()))

    async def living_ids(self) -> U64:
        """Every living entity's id, u64 (n,), sorted; not of one moment. Raises ``StoreUnavailable``."""
        buckets, bitmaps, cursor = [], [], b"0"
        while True:
            cursor, some_buckets, some_bitmaps = await self.run_script("living", cursor)
            buckets.append(some_buckets)
            bitmaps.append(some_bitmaps)
            if cursor == b"0":
                return from_bitmaps(b"".join(buckets), b"".join(bitmaps))

    async def _read_fleet(self, shards: Sequence[str]) -> FleetRecords | None:
        """One script a shard: each of one moment, the fleet not. A few a pipeline, so that no answer is too large."""
        names, records = sorted(shards), []
        for at in range(0, len(names), SHARDS_A_READ):
            some = names[at : at + SHARDS_A_READ]
            answers = await self._exchange([self._read_command(shard) for shard in some], READ_TIMEOUT_S)
            for shard, answer in zip(some, answers, strict=True):
                if answer is UNANSWERED:
                    return None
                if isinstance(answer, ResponseError):
                    self._raise_unless_temporary("ReadFleet", answer)
                    return None
                records.append(shard_record(shard, answer))
        return FleetRecords(records=tuple(records))

    def _read_command(self, shard: str) -> Command:
        return script_command("read_shard", self.prefix, self.generation, shard)

    def _raise_unless_temporary(self, what: str, error: ResponseError) -> None:
        """Notes what passes by itself; raises ``StoreError`` for the rest."""
        if not is_temporary(error):
            raise StoreError(f"{what}: Redis at {self.address} answered {error}") from error
        self._connections.last_error = str(error)
        _log.warning("redis refuses for now", extra={"redis": self.address, "request": what, "reason": str(error)})

    async def call(
        self, commands: Sequence[Command], *, timeout_s: float | None = None, errors: bool = False
    ) -> list[Any]:
        """Plain commands as one pipeline, for reading and for the operator's own writes.

        Args:
            errors: return errors as ``ResponseError`` instances instead of raising them.
        Raises:
            StoreUnavailable: an answer did not come.
            StoreRefused: Redis refuses the password.
            StoreError: Redis answered with an error.
        """
        answers = await self._exchange(commands, timeout_s or self._time_for((), commands))
        for command, answer in zip(commands, answers, strict=True):
            if answer is UNANSWERED and self._connections.authentication_failed:
                raise StoreRefused(f"Redis at {self.address} refuses the user or password: {self.last_error}")
            if answer is UNANSWERED:
                raise StoreUnavailable(f"no answer from Redis at {self.address}: {self.last_error}")
            if isinstance(answer, ResponseError) and not errors:
                kind = StoreUnavailable if is_temporary(answer) else StoreError
                raise kind(f"{command[0]!s}: Redis at {self.address} answered {answer}") from answer
        return answers

    async def run_script(self, name: str, *arguments: bytes | str | int, timeout_s: float | None = None) -> Any:
        """One of scripts/ that is no request. Raises as ``call``."""
        command = script_command(name, self.prefix, self.generation, *arguments)
        (answer,) = await self.call([command], timeout_s=timeout_s, errors=True)
        if isinstance(answer, NoScriptError):
            await self.load_scripts()
            (answer,) = await self.call([command], timeout_s=timeout_s, errors=True)
        if isinstance(answer, ResponseError):
            kind = StoreUnavailable if is_temporary(answer) else StoreError
            raise kind(f"{name}: Redis at {self.address} answered {answer}") from answer
        return answer

    async def _exchange(self, commands: Sequence[Command], timeout_s: float) -> list[Answer]:
        if not commands:
            return []
        self.client_requests += len(commands)
        return await self._connections.exchange(commands, timeout_s)


def shard_record(shard: str, answer: Any) -> ShardRecord:
    """What the script ``read_shard`` answered."""
    header, chunks, entries = answer
    return ShardRecord(
        shard=shard,
        header=header.decode("utf-8", "replace"),
        chunks=tuple(chunks),
        entries=entries_from_flat(entries, 6),
    )


def is_temporary(error: ResponseError) -> bool:
    """Whether Redis only says 'not now' (loading, memory, disk, a script of somebody else that runs too long)."""
    if isinstance(error, NoScriptError | OutOfMemoryError | ReadOnlyError | BusyLoadingError):
        return True
    return str(error).startswith(_TEMPORARY_CODES)
