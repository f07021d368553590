"""Two or three production runtimes on a model of Redis, where nothing happens unless somebody says so.

Requests and frames wait in queues until they are carried out, lost or answered by a call here. What every shard asks
all the time and what no scenario is about (leases, looks at the fleet, claims, the election) is answered at once and
in silence, unless the shard's Redis is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.columns import Columns, Schema
from shardfleet_shard.core.frames import Frame, Nudge
from shardfleet_shard.core.journal_requests import Publish, ReadEntries, ReadFleet, Tail
from shardfleet_shard.core.layout import INFINITY, Cell, Layout
from shardfleet_shard.core.repair_requests import ReadOverdue
from shardfleet_shard.core.requests import Claim, Done, Elect, Ended, Join, Observe, Renew, Reply, Request
from shardfleet_shard.core.roll_requests import CallRoll
from shardfleet_shard.core.simulation import World as PluginWorld
from shardfleet_shard.core.spawn_requests import Spawn, SpawnGroup
from shardfleet_shard.core.takeover_requests import TakeOver
from shardfleet_shard.core.ticks import TickGrid
from shardfleet_shard.core.trace_events import TraceTick
from shardfleet_shard.life import RuntimeState
from shardfleet_shard.runtime import ServerAuthorityRuntime
from shardfleet_shard.store.memory import MemoryStore

from . import words
from .plugin import Straight

START_US = 1_700_000_000_000_000
CELL_WIDTH = 10.0
MAX_ROUNDS = 50
SILENT = (Renew, Observe, Claim, Elect, ReadFleet, ReadEntries, ReadOverdue, CallRoll)
HELD = (Publish, Tail)
"""Asked on intervals and answered by name only: whether a shard has read its journal decides many a scenario."""
LIVING = (RuntimeState.STARTING, RuntimeState.RECOVERING, RuntimeState.ACTIVE, RuntimeState.SETTLING)


class Clock:
    def __init__(self) -> None:
        self.now_us = START_US

    def now_unix_us(self) -> int:
        return self.now_us

    def boottime_us(self) -> int:
        return self.now_us - START_US


@dataclass(eq=False)
class Process:
    """One life of a shard; ``name`` is the shard's, with the life's number once a later one runs."""

    shard: str
    life: int
    runtime: ServerAuthorityRuntime
    plugin: Straight
    name: str
    requests: list[Request] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    generations: dict[int, str] = field(default_factory=dict)
    """By the id of a request: Redis' generation when it was asked."""
    executed: list[tuple[Request, Reply]] = field(default_factory=list)
    """Redis has answered, and the answer is still on its way."""
    redis_away: bool = False
    dead: bool = False
    first_us: int = 0
    last_us: int = 0
    """When it simulated for the first and the last time."""
    told_state: str = ""
    told_claims: str = ""


@dataclass(frozen=True, eq=False)
class Sent:
    """A frame on its way."""

    sender: Process
    peer: str
    frame: Frame
    generation: str = ""


class World:
    """``log`` gets one line for everything that happens. Shards' cells lie side by side along x, 10 units wide."""

    def __init__(self, names: list[str]) -> None:
        self.log: list[str] = []
        self.clock = Clock()
        self.grid = TickGrid(20)
        self.schema = Schema(2, Straight.dtype)
        self.arrivals: dict[int, Columns] = {}
        self.config = FleetConfig(
            name="a",
            replicas=len(names),
            world_low=(0.0, 0.0),
            world_high=(CELL_WIDTH * len(names), 10.0),
            seed_entities=0,
            telemetry_interval_us=60_000_000,
        )
        self.store = MemoryStore(run_id="run", now_ms=lambda: (self.clock.now_us - START_US) // 1000)
        self.store.execute(Join(founds=True), generation="")
        layout = _columns(names)
        self.store.state.layout, self.store.state.layout_version = layout.to_json(), layout.version
        self.layout = layout
        self.processes: list[Process] = []
        self.frames: list[Sent] = []
        self.cuts: set[frozenset[str]] = set()
        self.zero_tick = 0
        """Grid tick that scenarios call 0."""
        self.quiet = False
        self.tells_roll_call = False
        self._simulated: dict[tuple[int, int], Process] = {}
        self._taken_us: dict[tuple[str, str], int] = {}
        """(taker, shard that it took over, itself or with another that had) -> when."""
        for name in names:
            self.start(name)
        self._begin(names)

    # --- processes ----------------------------------------------------------------------------------------------

    def start(self, shard: str) -> Process:
        life = 1 + sum(process.shard == shard for process in self.processes)
        for process in self.processes:
            if process.shard == shard:
                process.name = f"{shard}.{process.life}"
        plugin = Straight(
            PluginWorld(self.config.world_low, self.config.world_high, 20, schema=self.schema), self.arrivals
        )
        process = Process(shard=shard, life=life, plugin=plugin, name=shard, runtime=None)  # type: ignore[arg-type]
        process.runtime = ServerAuthorityRuntime(
            shard=shard,
            ordinal=int(shard.rpartition("-")[2]),
            address=shard,
            config=self.config,
            schema=self.schema,
            simulation=plugin,
            clock=self.clock,
            peers=_Peers(self, process),
            generation=self.store.run_id,
            rng=np.random.default_rng(life),
            trace=True,
        )
        self.processes.append(process)
        return process

    def find(self, name: str) -> Process:
        """By name, the newest life first. Raises ``LookupError``."""
        for process in reversed(self.processes):
            if process.name == name:
                return process
        raise LookupError(f"no process {name!r}; there are {', '.join(process.name for process in self.processes)}")

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if not process.dead]

    def crash(self, process: Process) -> None:
        """What it has sent is still on its way; what it has only asked Redis for is gone, and so are answers."""
        process.dead = True
        process.requests.clear()
        process.executed.clear()

    def confirm_end(self, shard: str) -> None:
        """The platform has seen the process end: its successor need not wait for the lease."""
        self.store.execute(Ended(shard=shard, epoch=0), generation=self.store.run_id)

    def take_over(self, taker: Process, gone: str, *, stale: bool = False) -> Reply:
        """As the operator asks for it, by what Redis has of both now."""
        epochs = self.store.state.epochs
        request = TakeOver(
            shard=taker.shard,
            epoch=taker.runtime.context.epoch,
            gone=gone,
            gone_epoch=epochs[gone] - stale,
            unix_us=self.clock.now_us,
        )
        reply = self.store.execute(request, generation=self.store.run_id)
        if isinstance(reply, Done):
            chain = [gone, *(shard for one, shard in self._taken_us if one == gone)]
            self._taken_us.update({(taker.shard, shard): self.clock.now_us for shard in chain})
        return reply

    def write_layout(self, names: list[str]) -> None:
        cells = tuple(replace(cell, shard=name) for cell, name in zip(self.layout.cells, names, strict=True))
        self.layout = Layout(version=self.layout.version + 1, cells=cells)
        self.store.state.layout, self.store.state.layout_version = self.layout.to_json(), self.layout.version

    def _begin(self, names: list[str]) -> None:
        """Until every shard runs, has its claims and knows those of the others, and the (empty) world is seeded."""
        for _ in range(MAX_ROUNDS):
            self.tick(self.living)
            self.settle_queues(held=True)
            runtimes = [process.runtime for process in self.living]
            if all(
                runtime.stream.seeded and len(runtime.membership.claims) == len(names) and runtime.membership.claimed
                for runtime in runtimes
            ):
                break
        else:
            raise AssertionError("the world does not begin")
        self.zero_tick = self.grid.at(self.clock.now_us)
        self.log.clear()

    # --- time ---------------------------------------------------------------------------------------------------

    @property
    def now_tick(self) -> int:
        """As scenarios count them."""
        return self.grid.at(self.clock.now_us) - self.zero_tick

    def tick(self, processes: list[Process]) -> None:
        """Goes to one millisecond after the next tick's start; deadlines that pass on the way are met first."""
        tick = self.grid.at(self.clock.now_us) + 1
        self.wait_until(self.grid.start_us(tick) + 1_000)
        for process in processes:
            if not process.dead:
                process.runtime.tick(tick)
                self.carry(process)

    def wait_until(self, until_us: int) -> None:
        """Time passes without a tick; deadlines are met when they are due."""
        while True:
            due = [(p.runtime.next_deadline_us, n) for n, p in enumerate(self.processes) if not p.dead]
            deadline_us, number = min(due, default=(until_us + 1, 0))
            if deadline_us > until_us:
                break
            self.clock.now_us = max(self.clock.now_us, deadline_us)
            process = self.processes[number]
            process.runtime.poll()
            self.carry(process)
            assert process.runtime.next_deadline_us > self.clock.now_us, f"{process.name}: its deadline stays"
        self.clock.now_us = until_us

    # --- effects ------------------------------------------------------------------------------------------------

    def carry(self, process: Process) -> None:
        """Takes what the process owes and puts it into the queues; silent requests are answered here."""
        self._tell_changes(process)
        effects, generation = process.runtime.take_effects(), process.runtime.context.generation
        for event in effects.events:
            self.say(words.of_event(self, process, event))
        for tick in effects.ticks:
            self._note_simulated(process, tick)
        for request in effects.requests:
            if isinstance(request, SILENT):
                self._answer_silently(process, request, generation)
                continue
            process.requests.append(request)
            process.generations[id(request)] = generation
            process.asked.append(request)
            if not isinstance(request, HELD):
                self.say(f"{process.name} asks {words.of_request(self, request)}", noise=True)
        for peer, frame in effects.frames:
            if frozenset((process.shard, peer)) in self.cuts or process.name != process.shard:
                continue
            self.frames.append(Sent(process, peer, frame, generation))
            if not isinstance(frame, Nudge):
                self.say(f"{process.name} sends {words.of_frame(self, frame)} to {peer}", noise=True)
        self._tell_changes(process)
        if process.runtime.state in (RuntimeState.ENDED, RuntimeState.RESIGNED) and not process.dead:
            reason = f": {words.scrub(self, process.runtime.exit_reason)}" if process.runtime.exit_reason else ""
            self.say(f"{process.name} ends with {process.runtime.exit_code}{reason}")
            self.crash(process)

    def _answer_silently(self, process: Process, request: Request, generation: str) -> None:
        reply = None if process.redis_away else self.store.execute(request, generation=generation)
        process.runtime.receive_reply(request, reply, generation=generation)
        self.carry(process)

    def _note_simulated(self, process: Process, tick: TraceTick) -> None:
        """A1: no tick of an entity twice, unless by a successor that began after the former process' last tick, or by
        who took it over after that."""
        process.first_us = process.first_us or self.clock.now_us
        process.last_us = self.clock.now_us
        for entity in tick.ids.tolist():
            before = self._simulated.get((entity, tick.tick))
            assert before is None or (before is not process and self._ended_before(before, process)), (
                f"A1: entity {entity} at tick {tick.tick - self.zero_tick}: by {before.name} and by {process.name}"
            )
            self._simulated[entity, tick.tick] = process
        late = "" if tick.tick == process.runtime.context.current_tick else f" late, for {tick.tick - self.zero_tick}"
        self.say(f"{process.name} simulates {words.of_rows(tick.ids, tick.versions)}{late}", noise=True)

    def _ended_before(self, before: Process, process: Process) -> bool:
        taken_us = self._taken_us.get((process.shard, before.shard), -1)
        return before.last_us < process.first_us or before.last_us <= taken_us

    def _tell_changes(self, process: Process) -> None:
        stats = process.runtime.context.stats
        state = stats.state if stats.state != "simulation-error" else f"{stats.state}: {stats.last_error}"
        if state != process.told_state and stats.state != "ended":
            if process.told_state:
                self.say(f"{process.name} is {state}")
            process.told_state = state
        claims = ",".join(process.runtime.membership.claimed)
        if claims != process.told_claims:
            self.say(f"{process.name} claims {claims or 'nothing'}")
            process.told_claims = claims

    # --- Redis --------------------------------------------------------------------------------------------------

    def take_requests(self, process: Process, kind: str) -> list[Request]:
        """Takes the waiting requests of ``kind`` ('' all that are not held) out of the queue."""
        chosen = [
            request
            for request in process.requests
            if (words.kind_of(request) == kind if kind else not isinstance(request, HELD))
        ]
        process.requests = [request for request in process.requests if request not in chosen]
        return chosen

    def execute(self, process: Process, request: Request) -> Reply:
        return self.store.execute(request, generation=process.generations[id(request)])

    def answer(self, process: Process, request: Request, reply: Reply | None) -> None:
        said = words.of_reply(self, reply)
        if not isinstance(request, Tail):
            self.say(f"{process.name} hears of {words.of_request(self, request, short=True)}: {said}", noise=True)
        if not process.dead:
            process.runtime.receive_reply(request, reply, generation=process.generations[id(request)])
            self.carry(process)

    def ask(self, process: Process, kind: str) -> int:
        """Carries requests out, the answers included. Returns how many."""
        requests = self.take_requests(process, kind)
        for request in requests:
            self.answer(process, request, None if process.redis_away else self.execute(process, request))
        return len(requests)

    # --- network ------------------------------------------------------------------------------------------------

    def take_frames(self, kind: str, sender: str = "") -> list[Sent]:
        chosen = [
            sent
            for sent in self.frames
            if kind in ("", words.kind_of(sent.frame)) and sender in ("", sent.sender.name, sent.sender.shard)
        ]
        self.frames = [sent for sent in self.frames if sent not in chosen]
        return chosen

    def deliver(self, sent: Sent) -> None:
        receiver = next((p for p in reversed(self.processes) if p.shard == sent.peer and not p.dead), None)
        if receiver is None:
            return
        if not isinstance(sent.frame, Nudge):
            self.say(f"{receiver.name} gets {words.of_frame(self, sent.frame, short=True)}", noise=True)
        receiver.runtime.receive_frame(sent.sender.shard, sent.frame, generation=sent.generation)
        self.carry(receiver)

    def settle_queues(self, *, held: bool = False) -> None:
        """Carries out and delivers whatever waits, until nothing does; no time passes."""
        for _ in range(MAX_ROUNDS):
            done = 0
            for process in list(self.living):
                kinds = ["", "PUBLISH", "TAIL"] if held else [""]
                done += sum(self.ask(process, kind) for kind in kinds)
            for sent in self.take_frames(""):
                done += 1
                self.deliver(sent)
            if not done:
                return
        raise AssertionError(f"the queues do not empty in {MAX_ROUNDS} rounds")

    # --- entities -----------------------------------------------------------------------------------------------

    def rows(
        self, entity: int, position: tuple[float, float], velocity: tuple[float, float], turn: float = 0.0
    ) -> Columns:
        return self.schema.rows(id=entity, position=[position], velocity=[velocity], turn=turn)

    def spawn(self, rows: Columns) -> str:
        """Into the claimant's journal, which it reads at once. Returns its name."""
        actor = self.living[0]
        cell = self.layout.cells[int(self.layout.cell_index(rows.position)[0])]
        group = SpawnGroup(
            cell=cell.path,
            count=len(rows),
            ids=rows.id.tobytes(),
            rows=rows.pack(),
            tick=self.grid.at(self.clock.now_us) + 2,  # the next one asks for the rows
        )
        request = Spawn(shard=actor.shard, epoch=actor.runtime.context.epoch, groups=(group,))
        reply = self.store.execute(request, generation=self.store.run_id)
        if "ok" not in words.of_reply(self, reply):
            return words.of_reply(self, reply)
        owner = self.find(self.store.state.claims[cell.path][0])
        self.read_journal(owner)
        return f"in the journal of {owner.name}"

    def read_journal(self, process: Process) -> None:
        process.runtime.receive_frame(process.shard, Nudge())
        self.carry(process)
        self.ask(process, "TAIL")

    def say(self, line: str, *, noise: bool = False) -> None:
        if line and not (noise and self.quiet and not (self.tells_roll_call and "REJOIN" in line)):
            self.log.append(line)


class _Peers:
    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process

    def reachable(self) -> Mapping[str, int]:
        if self.process.name != self.process.shard:
            return {}
        return {
            other.shard: other.runtime.context.epoch
            for other in self.world.processes
            if not other.dead
            and other.name == other.shard != self.process.shard
            and other.runtime.state in (RuntimeState.ACTIVE, RuntimeState.SETTLING)
            and frozenset((other.shard, self.process.shard)) not in self.world.cuts
        }


def _columns(names: list[str]) -> Layout:
    edges = [-INFINITY, *(CELL_WIDTH * number for number in range(1, len(names))), INFINITY]
    cells = tuple(
        Cell(path=str(number), shard=name, low=(edges[number], -INFINITY), high=(edges[number + 1], INFINITY))
        for number, name in enumerate(names)
    )
    return Layout(version=1, cells=cells)
