"""What everybody has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shardfleet_shard.core.histogram import Histogram
from shardfleet_shard.core.manifest import STATE_NAMES
from shardfleet_shard.life import RuntimeState

from .. import words
from ..world import HELD
from .registry import command

if TYPE_CHECKING:
    from ..interpreter import Interpreter


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
