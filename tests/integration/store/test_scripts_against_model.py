"""The Lua scripts do, reply by reply and key by key, what MemoryStore does, whatever comes in whatever order."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from shardfleet_shard.core.journal_requests import (
    Entries,
    FleetRecords,
    Publish,
    ReadEntries,
    ReadFleet,
    Tail,
)
from shardfleet_shard.core.requests import (
    Done,
    Elected,
    Joined,
    Observed,
    Recovered,
    Refused,
    RefusedReason,
    Reply,
    Request,
)
from shardfleet_shard.core.roll_requests import Rejoin, Rolled
from shardfleet_shard.core.spawn_requests import Arrive
from shardfleet_shard.core.takeover_requests import ALIAS_MARK, TakeOver, is_alias
from shardfleet_shard.store.memory import MemoryStore
from shardfleet_shard.store.memory_state import State
from shardfleet_shard.store.redis_store import RedisStore
from shardfleet_shard.store.scripts import TABLE

from tests.integration.servers import RedisServer

from .dump import dump_memory, dump_redis
from .interleaving import CALL_MS, LAYOUT_VERSION, SHARDS, Interleaving, with_entry_ids

STEPS = 300
BATCH = 6
FORGETS, PASSES = (90, 150, 210), (105, 115, 165, 175, 225, 235)
"""Steps at which Redis is another, and at which a roll-call moves on, in the forgetful ones."""
SEEDS, FORGETFUL = range(15), range(10, 15)
NOW_MS = 1_790_000_000_000


class EntryIds(dict[str, dict[str, str]]):
    """For each shard one side's entry ids -> the other's; under an alias they are what they were before."""

    def __missing__(self, name: str) -> dict[str, str]:
        shard = name.partition(ALIAS_MARK)[0]
        return self[shard] if shard != name else self.setdefault(name, {"0-0": "0-0"})


@dataclass
class Comparison:
    """Executes on both sides and holds the replies against each other."""

    store: RedisStore
    model: MemoryStore
    made: Interleaving
    to_server: EntryIds = field(default_factory=EntryIds)
    to_model: EntryIds = field(default_factory=EntryIds)
    outcomes: Counter[str] = field(default_factory=Counter)

    async def run(self, requests: list[Request]) -> None:
        translated = [with_entry_ids(request, self.to_server) for request in requests]
        replies = await self.store.execute(translated)
        for request, reply in zip(requests, replies, strict=True):
            expected = self.model.execute(request, generation=self.store.generation)
            self._match_entries(request, reply, expected)
            assert self._normal(request, reply) == self._normal(request, expected), request
            self._learn(request, expected)

    def _match_entries(self, request: Request, reply: Reply | None, expected: Reply) -> None:
        """The n-th entry here is the n-th there: their ids belong together."""
        pairs: list[tuple[str, Any, Any]] = []
        if isinstance(expected, Entries) and isinstance(reply, Entries):
            pairs = [(request.shard, reply.entries, expected.entries)]  # type: ignore[union-attr]
        elif isinstance(expected, FleetRecords) and isinstance(reply, FleetRecords):
            assert len(reply.records) == len(expected.records)
            pairs = [
                (theirs.shard, ours.entries, theirs.entries)
                for ours, theirs in zip(reply.records, expected.records, strict=True)
            ]
        for shard, ours, theirs in pairs:
            assert len(ours) == len(theirs), request
            for one, other in zip(ours, theirs, strict=True):
                assert self.to_server[shard].setdefault(other.id, one.id) == one.id
                assert self.to_model[shard].setdefault(one.id, other.id) == other.id
                if not is_alias(shard) and other.id not in self.made.seen[shard]:
                    self.made.seen[shard].append(other.id)

    def _normal(self, request: Request, reply: Reply | None) -> Any:
        if isinstance(reply, Refused):
            detail = reply.detail if reply.reason is not RefusedReason.BUSY else reply.detail.split(" ")[0]
            return replace(reply, detail=detail, wait_ms=int(reply.wait_ms > 0))
        if isinstance(reply, Rolled):
            return replace(reply, wait_ms=int(reply.wait_ms > 0))
        if isinstance(reply, Recovered):
            return replace(reply, lease_left_ms=int(reply.lease_left_ms > 0))
        if isinstance(reply, Entries):
            return [replace(entry, id="") for entry in reply.entries]
        if isinstance(reply, FleetRecords):
            return [
                (one.shard, one.header, one.chunks, [replace(entry, id="") for entry in one.entries])
                for one in reply.records
            ]
        return reply

    def _learn(self, request: Request, expected: Reply) -> None:
        name = type(request).__name__
        if isinstance(expected, Done):
            self.outcomes[f"{name} {expected.outcome}"] += 1
        elif isinstance(expected, Refused):
            self.outcomes[f"{name} refused {expected.reason}"] += 1
        elif isinstance(expected, Elected):
            self.outcomes[f"{name} {'somebody' if expected.shard else 'nobody'}"] += 1
        else:
            self.outcomes[f"{name} misfit" if isinstance(expected, Joined) and expected.misfit else name] += 1
        if isinstance(expected, Recovered):
            shard = request.shard  # type: ignore[union-attr]
            self.made.former[shard] = self.made.epochs.get(shard, 1)
            self.made.epochs[shard] = expected.epoch
        elif isinstance(request, TakeOver) and isinstance(expected, Done):
            self.made.former[request.gone] = self.made.epochs.pop(request.gone)
        elif isinstance(expected, Observed):
            self.made.arrived = expected.arrivals_through
        elif isinstance(request, Arrive) and isinstance(expected, Done):
            self.made.arrived = request.through

    async def forget(self) -> None:
        """The stored generation is another, as after a restart; sometimes nothing else is left either."""
        if self.made.rng.random() < 0.4:
            (keys,) = await self.store.call([("KEYS", f"{self.store.prefix}*")])
            await self.store.call([("UNLINK", *keys)])
            self.model.state = State()
            for known in (self.to_server, self.to_model):
                known.update({shard: {"0-0": "0-0"} for shard in SHARDS})
            self.made.seen.update({shard: ["0-0"] for shard in SHARDS})
            of_entries = (Publish, Tail, ReadEntries, Rejoin)
            self.made.history = [old for old in self.made.history if not isinstance(old, of_entries)]
        else:
            await self.store.call([("HSET", f"{self.store.prefix}meta", "generation", "another")])
            self.model.state.generation = "another"

    async def pass_lease(self) -> None:
        """Calling ends; later, nobody is waited for any more."""
        roll = self.model.state.roll
        assert roll is not None
        ago_ms = self.made.rng.choice([1, CALL_MS + 1])
        roll.end_ms = NOW_MS - ago_ms
        (now,) = await self.store.call([("TIME",)])
        text = f"{roll.phase} {int(now[0]) * 1000 - ago_ms} {CALL_MS}"
        await self.store.call([("HSET", f"{self.store.prefix}meta", "roll", text)])


async def compare(store: RedisStore, seed: int) -> Counter[str]:
    model = MemoryStore(run_id=store.generation, now_ms=lambda: NOW_MS)
    model.state.generation = store.generation
    await store.run_script("write_layout", LAYOUT_VERSION, "{}")
    model.state.layout_version, model.state.layout = LAYOUT_VERSION, "{}"
    comparison = Comparison(store, model, Interleaving(random.Random(seed)))
    for step in range(STEPS):
        if step in FORGETS and seed in FORGETFUL:
            await comparison.forget()
        elif step in PASSES and model.state.roll is not None:
            await comparison.pass_lease()
        comparison.made.roll_weight = 25 if model.state.generation != store.generation or model.state.roll else 0
        batch = [comparison.made.next() for _ in range(comparison.made.rng.randint(1, BATCH))]
        reads = [request for request in batch if isinstance(request, ReadFleet)]  # after the pipeline
        for part in ([request for request in batch if not isinstance(request, ReadFleet)], reads):
            await comparison.run(part)
    await comparison.run([ReadFleet()])  # so that every entry's id is known on both sides
    assert await dump_redis(store, comparison.to_model) == dump_memory(model.state)
    return comparison.outcomes


EXPECTED = """
Begin started|Begin accepted|Begin decided|Begin refused epoch
Accept accepted|Accept not yet|Accept decided|Accept rejected|Accept refused epoch
Reject rejected|Reject accepted|Cancel canceled|Cancel accepted
Adopted adopted|Adopted cleared|Adopted started|Adopted refused held
Released released|Released cleared|Released started|Released refused held
Join|Join misfit|Publish|Publish refused older|Publish refused epoch|Tail|ReadEntries|ReadFleet|Observe|Recover
Spawn ok|Spawn refused duplicate|Spawn refused unclaimed|Despawn ok
Seed ok|Seed refused not owner|Seed refused seeded
Arrive ok|Arrive refused not owner|Arrive refused older|Arrive refused duplicate
Claim ok|Claim refused held|Claim refused layout|Renew ok|Renew refused held|Ended ok
Repair canceled|Repair accepted|Repair decided|ReadOverdue|ReadOverdue refused epoch
RestoreEntity ok|RestoreEntity decided|RestoreEntity refused held|RestoreEntity refused older
RemoveCopy ok|RemoveCopy refused held|RemoveCopy refused older
TakeOver ok|TakeOver refused held|TakeOver refused older|TakeOver refused unclaimed|TakeOver refused epoch
Resign ok|Resign refused busy|Elect somebody|Elect nobody|LinkLease ok|LinkLease refused held|Reopen ok
CallRoll|Rejoin ok|Rejoin refused epoch|Rejoin refused closed|Ready ok|Ready refused closed
Begin refused closed|Accept refused closed|Recover refused closed|Publish refused closed|Renew refused closed
Repair refused closed|RestoreEntity refused closed
"""


async def test_scripts_and_model_agree(server: RedisServer) -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        store = RedisStore(server.limited_url, f"interleaving-{seed}", timeout_s=10.0)
        await store.connect()
        await store.join()
        seen += await compare(store, seed)
        await store.close()
    missing = _names(EXPECTED) - set(seen)
    assert not missing, f"never came up, so not compared: {sorted(missing)}; came up: {sorted(seen)}"


def _names(text: str) -> set[str]:
    return {name for line in text.split("\n") for name in line.split("|") if name}


def test_every_request_is_compared() -> None:
    compared = {name.split(" ")[0] for name in _names(EXPECTED)}
    assert compared >= {kind.__name__ for kind in TABLE}
