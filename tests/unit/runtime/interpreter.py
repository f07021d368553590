"""Runs a scenario: ``> command`` lines, the output of each underneath.

Everything that happens is output, so a scenario's file holds the whole expected behaviour. ``#`` lines and empty ones
are for the reader and stay where they are.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
from shardfleet_shard.config import parse_duration_us
from shardfleet_shard.core.frames import Offer
from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.manifest import STATE_NAMES
from shardfleet_shard.core.requests import Request
from shardfleet_shard.core.ticks import WorldTime
from shardfleet_shard.life import RuntimeState
from shardfleet_shard.store.memory_state import State

from . import words
from .world import HELD, Process, World

PROMPT = "> "
INDENT = "  "
ERROR = "impossible: "
Handler = Callable[["Interpreter", list[str]], None]
COMMANDS: dict[str, Handler] = {}


def command(call: Handler) -> Handler:
    """``do_some_thing`` becomes ``some-thing``."""
    COMMANDS[call.__name__.removeprefix("do_").replace("_", "-")] = call
    return call


class Interpreter:
    """One scenario's world. A command that cannot be says ``impossible: ...``, which no scenario may hold."""

    def __init__(self) -> None:
        self.world: World = None  # type: ignore[assignment]  # until `shards`
        self.snapshot: State | None = None
        self.aside: list[tuple[Process, Request]] = []

    def run(self, text: str) -> str:
        """The whole file again, with the output as it is now."""
        lines = []
        for line in text.splitlines():
            if line.startswith(PROMPT):
                lines.append(line)
                lines.extend(INDENT + said for said in self.execute(line.removeprefix(PROMPT)))
            elif not line.startswith(INDENT):
                lines.append(line)
        return "\n".join(lines) + "\n"

    def execute(self, line: str) -> list[str]:
        name, *arguments = line.split()
        if name not in COMMANDS:
            raise ValueError(f"{line!r}: no such command; there are {', '.join(COMMANDS)}")
        if self.world is None and name != "shards":
            raise ValueError(f"{line!r}: a scenario begins with `shards`")
        try:
            COMMANDS[name](self, arguments)
        except (IndexError, LookupError, AssertionError) as error:
            self.say(f"{ERROR}{error}")
        said, self.world.log = self.world.log, []
        return said

    def named(self, names: list[str]) -> list[Process]:
        return [self.world.find(name) for name in names] or list(self.world.living)

    def say(self, line: str) -> None:
        self.world.log.append(line)


# --- the world ---------------------------------------------------------------------------------------------------


@command
def do_shards(i: Interpreter, names: list[str]) -> None:
    """shards a-0 a-1: starts them, each with its claim; the world has no entities."""
    i.world = World(names)


@command
def do_spawn(i: Interpreter, a: list[str]) -> None:
    """spawn 1 at 9.8,5 moving 4,0 [turning at 12]: simulated from the tick after the next one on."""
    rows = i.world.rows(int(a[0]), _point(a[2]), _point(a[4]), float(a[7]) if len(a) > 7 else 0.0)
    i.say(i.world.spawn(rows))


@command
def do_arrival(i: Interpreter, a: list[str]) -> None:
    """arrival 101 at 5,5 moving 0,0 at tick 12: what the plugin will say of that tick."""
    origin = i.world.processes[0].runtime.context.origin_tick
    i.world.arrivals[int(a[7]) + i.world.zero_tick - origin] = i.world.rows(int(a[0]), _point(a[2]), _point(a[4]))


@command
def do_despawn(i: Interpreter, a: list[str]) -> None:
    """despawn a-0 1"""
    process = i.world.find(a[0])
    asked = process.runtime.despawn(np.array([int(a[1])], np.uint64))
    i.say(f"{process.name} asks for {' '.join(map(str, asked.tolist())) or 'nobody'}")
    i.world.carry(process)


def _point(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return float(x), float(y)


# --- time --------------------------------------------------------------------------------------------------------


@command
def do_tick(i: Interpreter, names: list[str]) -> None:
    """tick [a-0 ...]: the next tick, of these shards or of all; nothing is delivered."""
    i.world.tick(i.named(names))


@command
def do_run(i: Interpreter, a: list[str]) -> None:
    """run 3: ticks, and after each all requests and frames are carried out."""
    for _ in range(int(a[0])):
        i.say(f"-- tick {i.world.now_tick + 1}")
        i.world.tick(list(i.world.living))
        i.world.settle_queues()


@command
def do_quiet(i: Interpreter, a: list[str]) -> None:
    """quiet 40: as run, journals are read and manifests stored as well; says only what comes of it."""
    i.world.quiet = True
    for _ in range(int(a[0])):
        i.world.tick(list(i.world.living))
        i.world.settle_queues(held=True)
    i.world.quiet = False
    i.say(f"now at tick {i.world.now_tick}")


@command
def do_wait(i: Interpreter, a: list[str]) -> None:
    """wait 3100ms: time passes and nobody ticks."""
    i.world.wait_until(i.world.clock.now_us + parse_duration_us(a[0]))
    i.say(f"now at tick {i.world.now_tick}")


@command
def do_slow(i: Interpreter, a: list[str]) -> None:
    """slow a-0 3100ms: so long does its next step take."""
    clock, duration_us = i.world.clock, parse_duration_us(a[1])

    def pass_time() -> None:
        clock.now_us += duration_us

    i.world.find(a[0]).plugin.on_step = pass_time


# --- Redis -------------------------------------------------------------------------------------------------------


@command
def do_redis(i: Interpreter, a: list[str]) -> None:
    """redis a-0 [BEGIN]: carries out what waits, and answers."""
    _some(i.world.ask(i.world.find(a[0]), a[1] if len(a) > 1 else ""))


@command
def do_lose_request(i: Interpreter, a: list[str]) -> None:
    """lose-request a-0 BEGIN: never carried out, and no answer."""
    process = i.world.find(a[0])
    requests = i.world.take_requests(process, a[1])
    _some(len(requests))
    for request in requests:
        i.world.answer(process, request, None)


@command
def do_lose_answer(i: Interpreter, a: list[str]) -> None:
    """lose-answer a-0 CANCEL: carried out, and no answer."""
    process = i.world.find(a[0])
    requests = i.world.take_requests(process, a[1])
    _some(len(requests))
    for request in requests:
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: "
              f"{words.of_reply(i.world, i.world.execute(process, request))}")  # fmt: skip
        i.world.answer(process, request, None)


@command
def do_execute(i: Interpreter, a: list[str]) -> None:
    """execute a-0 BEGIN: carried out; the answer waits for `answer`."""
    process = i.world.find(a[0])
    requests = i.world.take_requests(process, a[1])
    _some(len(requests))
    for request in requests:
        reply = i.world.execute(process, request)
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: {words.of_reply(i.world, reply)}")
        process.executed.append((request, reply))


@command
def do_execute_again(i: Interpreter, a: list[str]) -> None:
    """execute-again a-0 BEGIN: what waits is carried out, and stays in the queue."""
    process = i.world.find(a[0])
    requests = [request for request in process.requests if words.kind_of(request) == a[1]]
    _some(len(requests))
    for request in requests:
        reply = words.of_reply(i.world, i.world.execute(process, request))
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: {reply}")


@command
def do_answer(i: Interpreter, a: list[str]) -> None:
    """answer a-0 BEGIN: the answers of what was executed."""
    process = i.world.find(a[0])
    pairs = [pair for pair in process.executed if words.kind_of(pair[0]) == a[1]]
    _some(len(pairs))
    process.executed = [pair for pair in process.executed if pair not in pairs]
    for request, reply in pairs:
        i.world.answer(process, request, reply)


@command
def do_put_aside(i: Interpreter, a: list[str]) -> None:
    """put-aside a-0 BEGIN: it is on its way for long; see `arrive-late`."""
    process = i.world.find(a[0])
    requests = i.world.take_requests(process, a[1])
    _some(len(requests))
    i.aside += [(process, request) for request in requests]


@command
def do_arrive_late(i: Interpreter, a: list[str]) -> None:
    """What was put aside is carried out; nobody waits for an answer any more."""
    _some(len(i.aside))
    for process, request in i.aside:
        reply = words.of_reply(i.world, i.world.execute(process, request))
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: {reply}")
    i.aside.clear()


@command
def do_redis_away(i: Interpreter, a: list[str]) -> None:
    """redis-away a-0: from now on it gets no answer at all."""
    i.world.find(a[0]).redis_away = True


@command
def do_redis_back(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).redis_away = False


@command
def do_remember(i: Interpreter, a: list[str]) -> None:
    """What Redis has now, for `forget`."""
    i.snapshot = i.world.store.snapshot()


@command
def do_forget(i: Interpreter, a: list[str]) -> None:
    """forget [all]: Redis restarts as it was at `remember`, or without any data."""
    if a == ["all"]:
        i.world.store.wipe()
    else:
        assert i.snapshot is not None, "nothing is remembered"
        i.world.store.restore(i.snapshot)


@command
def do_restart(i: Interpreter, a: list[str]) -> None:
    """Redis restarts, with all data."""
    i.world.store.restart()


@command
def do_roll_call(i: Interpreter, a: list[str]) -> None:
    """roll-call [a-0 ...]: ticks, everything carried out, until these, or all, are through; says what comes of it."""
    processes = i.named(a)
    i.world.quiet, i.world.tells_roll_call = True, True
    for _ in range(100):
        i.world.tick(list(i.world.living))
        i.world.settle_queues(held=True)
        runtimes = [process.runtime for process in processes if not process.dead]
        run_id = i.world.store.run_id
        if not any(runtime.roll_call.on or runtime.context.generation != run_id for runtime in runtimes):
            break
    else:
        raise AssertionError("the roll-call does not end")
    i.world.quiet = i.world.tells_roll_call = False


@command
def do_publish(i: Interpreter, a: list[str]) -> None:
    """publish a-0: stores its manifest now, and reads on in its journal."""
    process = i.world.find(a[0])
    process.runtime.telemetry.publish(process.runtime.context.current_tick)
    i.world.carry(process)
    _some(i.world.ask(process, "PUBLISH"))


@command
def do_publish_due(i: Interpreter, a: list[str]) -> None:
    """publish-due a-0: its telemetry interval is over, so its next tick publishes if it can."""
    i.world.find(a[0]).runtime.telemetry.next_publish_us = 0


@command
def do_read(i: Interpreter, a: list[str]) -> None:
    """read a-0: it reads its journal."""
    i.world.read_journal(i.world.find(a[0]))


@command
def do_claim(i: Interpreter, a: list[str]) -> None:
    """claim 1 a-2: Redis has this claim now, whoever may be meant to have it."""
    i.world.store.state.claims[a[0]] = (a[1], i.world.find(a[1]).runtime.context.epoch)


@command
def do_claims(i: Interpreter, a: list[str]) -> None:
    """As Redis has them."""
    for path, (shard, _) in sorted(i.world.store.state.claims.items()):
        i.say(f"{path} {shard}")


@command
def do_phase(i: Interpreter, a: list[str]) -> None:
    """phase settle: the whole fleet, as `local up` says at its end."""
    i.world.store.state.phase = a[0]


# --- network -----------------------------------------------------------------------------------------------------


@command
def do_deliver(i: Interpreter, a: list[str]) -> None:
    """deliver OFFER [from a-0]"""
    chosen = i.world.take_frames(a[0], a[2] if len(a) > 2 else "")
    _some(len(chosen))
    for sent in chosen:
        i.world.deliver(sent)


@command
def do_deliver_one(i: Interpreter, a: list[str]) -> None:
    """deliver-one OFFER: the oldest of them."""
    chosen = i.world.take_frames(a[0])
    _some(len(chosen))
    i.world.frames = chosen[1:] + i.world.frames
    i.world.deliver(chosen[0])


@command
def do_drop(i: Interpreter, a: list[str]) -> None:
    """drop OFFER [from a-0]"""
    _some(len(i.world.take_frames(a[0], a[2] if len(a) > 2 else "")))


@command
def do_double(i: Interpreter, a: list[str]) -> None:
    """double OFFER: one more of each is on its way."""
    chosen = [sent for sent in i.world.frames if words.kind_of(sent.frame) == a[0]]
    _some(len(chosen))
    i.world.frames.extend(dataclasses.replace(sent) for sent in chosen)


@command
def do_damage(i: Interpreter, a: list[str]) -> None:
    """damage OFFER nan | ticks | cut | twice: what is on its way gets wrong."""
    _some(sum(words.kind_of(sent.frame) == a[0] for sent in i.world.frames))
    for number, sent in enumerate(i.world.frames):
        if words.kind_of(sent.frame) == a[0]:
            assert isinstance(sent.frame, Offer)
            i.world.frames[number] = dataclasses.replace(sent, frame=_damaged(i.world, sent.frame, a[1]))


def _damaged(world: World, offer: Offer, how: str) -> Offer:
    rows = world.schema.unpack(offer.columns, offer.count).copy()
    match how:
        case "nan":
            rows.position[0, 0] = np.nan
        case "ticks":
            return dataclasses.replace(offer, switch_tick=offer.switch_tick + 1)
        case "cut":
            return dataclasses.replace(offer, columns=offer.columns[:-1])
        case "twice":
            rows.id[:] = rows.id[0]
        case _:
            raise ValueError(f"no damage {how!r}")
    return dataclasses.replace(offer, columns=rows.pack())


@command
def do_as_from(i: Interpreter, a: list[str]) -> None:
    """as-from a-2 OFFER: delivered by another shard's link."""
    chosen = i.world.take_frames(a[1])
    _some(len(chosen))
    for sent in chosen:
        i.world.deliver(dataclasses.replace(sent, sender=i.world.find(a[0])))


@command
def do_cut(i: Interpreter, a: list[str]) -> None:
    i.world.cuts.add(frozenset(a))


@command
def do_link(i: Interpreter, a: list[str]) -> None:
    i.world.cuts.discard(frozenset(a))


@command
def do_stabilize(i: Interpreter, a: list[str]) -> None:
    """All requests and frames that wait, and what comes of them; no time passes."""
    i.world.settle_queues()


# --- processes ---------------------------------------------------------------------------------------------------


@command
def do_crash(i: Interpreter, a: list[str]) -> None:
    i.world.crash(i.world.find(a[0]))


@command
def do_ended(i: Interpreter, a: list[str]) -> None:
    """ended a-0: the platform has seen its process end."""
    i.world.confirm_end(a[0])


@command
def do_takeover(i: Interpreter, a: list[str]) -> None:
    """takeover a-1 by a-0 [stale]: the operator asks for it; stale: by an older epoch of a-1."""
    reply = i.world.take_over(i.world.find(a[2]), a[0], stale=a[3:] == ["stale"])
    i.say(f"Redis says: {words.of_reply(i.world, reply)}")


@command
def do_layout(i: Interpreter, a: list[str]) -> None:
    """layout a-0 a-0 a-2: the cells are for these shards now."""
    i.world.write_layout(a)


@command
def do_start(i: Interpreter, a: list[str]) -> None:
    i.world.start(a[0])


@command
def do_go_on(i: Interpreter, a: list[str]) -> None:
    """As the supervisor does before it starts a world that rested: the origin moves up by the time of the rest."""
    state, now_tick = i.world.store.state, i.world.grid.at(i.world.clock.now_us)
    time = WorldTime(state.origin_tick, state.rests)
    pause = time.pause([manifest.tick for manifest in state.manifests.values()], now_tick)
    state.rests = (*state.rests, (now_tick, state.origin_tick))
    state.origin_tick += pause
    i.say(f"the world's clock is set back by {pause} ticks")


@command
def do_settle(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).runtime.settle()


@command
def do_break(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).plugin.broken = True


@command
def do_mend(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).plugin.broken = False


# --- looking in --------------------------------------------------------------------------------------------------


@command
def do_rows(i: Interpreter, names: list[str]) -> None:
    for process in i.named(names):
        tracker = process.runtime.context.tracker
        rows = tracker.rows
        for at in range(len(rows)):
            i.say(
                f"{process.name} has {rows.id[at]}v{rows.version[at]} {STATE_NAMES[tracker.states[at]]} "
                f"at x {rows.position[at, 0]:.2f} after {rows['steps'][at]} steps"
            )
        if not len(rows):
            i.say(f"{process.name} has nothing")


@command
def do_transfers(i: Interpreter, a: list[str]) -> None:
    """What Redis and both sides have open."""
    state = i.world.store.state
    for transfer in state.active():
        record = state.records[transfer]
        holders = " ".join(sorted(record.holders)) or "nobody"
        i.say(f"Redis has {words.of_transfer(i.world, transfer)} {record.state}, held by {holders}")
    for process in i.world.living:
        mailbox = process.runtime.mailbox
        for going in mailbox.outgoing.open.values():
            i.say(f"{process.name} has outgoing {words.of_transfer(i.world, going.id)} {going.state}")
        for coming in mailbox.incoming.open.values():
            i.say(f"{process.name} has incoming {words.of_transfer(i.world, coming.id)} {coming.state}")
    if not i.world.log:
        i.say("none")


@command
def do_journal(i: Interpreter, a: list[str]) -> None:
    """journal a-0: the entries that Redis has of it."""
    for entry in i.world.store.state.journal(a[0]).entries:
        what = f" {words.of_transfer(i.world, entry.transfer)}" if entry.transfer else ""
        peer = f" {'to' if entry.kind == 'out' else 'from'} {words.scrub(i.world, entry.peer)}" if entry.peer else ""
        tick = f", tick {words.of_tick(i.world, entry.tick)}" if entry.tick else ""
        i.say(f"{entry.kind}{what}{peer}, {entry.count} rows{tick}")
    if not i.world.log:
        i.say("empty")


@command
def do_manifest(i: Interpreter, a: list[str]) -> None:
    """manifest a-0: what Redis has of it."""
    stored = i.world.store.state.manifests[a[0]]
    header = json.loads(stored.header)
    stats = header["stats"]
    i.say(f"{header['count']} rows as of {words.of_tick(i.world, stored.tick)}, {stats['state']} {stats['last_error']}")


@command
def do_counters(i: Interpreter, a: list[str]) -> None:
    i.say(", ".join(f"{name} {count}" for name, count in sorted(i.world.store.state.counters.items())))


@command
def do_stats(i: Interpreter, a: list[str]) -> None:
    """stats a-0 final_state_used ..."""
    stats = i.world.find(a[0]).runtime.context.stats
    for name in a[1:]:
        value = getattr(stats, name)
        if isinstance(value, Histogram):
            value = f"{value.lowest} to {value.highest} us ({value.count})" if value.count else "no samples"
        i.say(f"{name}: {value}")


@command
def do_queues(i: Interpreter, a: list[str]) -> None:
    """What waits: requests, answers, frames."""
    for process in i.world.living:
        for request in process.requests:
            if not isinstance(request, HELD):
                i.say(f"{process.name} waits for {words.of_request(i.world, request, short=True)}")
    for sent in i.world.frames:
        i.say(f"on its way to {sent.peer}: {words.of_frame(i.world, sent.frame, short=True)}")
    if not i.world.log:
        i.say("empty")


@command
def do_state(i: Interpreter, names: list[str]) -> None:
    for process in i.named(names):
        runtime = process.runtime
        dead = runtime.state in (RuntimeState.ENDED, RuntimeState.RESIGNED)
        claims = ",".join(runtime.membership.claimed) or "nothing"
        i.say(f"{process.name} is {runtime.context.stats.state}" + ("" if dead else f" and claims {claims}"))


def _some(count: int) -> None:
    """A script that names what is not there tests nothing."""
    if not count:
        raise LookupError("nothing of that kind waits")
