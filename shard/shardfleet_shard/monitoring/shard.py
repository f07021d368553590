"""The metrics of a shard: the table, and where each value is.

Read between two ticks, inside the loop; a shard with fifty links is read in a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..authority_manager import ServerAuthorityManager
from ..core.histogram import Histogram
from ..core.manifest import STATE_NAMES
from ..core.stats import ShardStats
from .exposition import to_text
from .table import DURATIONS_S, US_PER_S, Attribute, Kind, Metric, Reading, Row, Sample, read_all

STATES = (
    "starting", "recovering", "active", "fenced", "draining", "settling", "simulation-error", "resigned", "ended",
)  # fmt: skip
"""What ``ShardStats.state`` can say."""
GAPS_S = (0.0, *DURATIONS_S)
"""The first bucket has those that came early, or to the microsecond."""

FLEET = Attribute(name="shardfleet.fleet", description="the fleet's name")
SHARD = Attribute(name="shardfleet.shard", description="the shard's name, `<fleet>-<ordinal>`")
NAMESPACE = Attribute(name="k8s.namespace.name", description="the fleet's namespace; not on one machine")
RESOURCE = (FLEET, NAMESPACE, SHARD)
"""What all metrics of a process share: OpenTelemetry's resource, labels on every line for Prometheus."""

SHARD_STATE = Attribute(name="shardfleet.shard.state", description="what the shard does", values=STATES)
ENTITY_STATE = Attribute(name="shardfleet.entity.state", description="how it is held", values=STATE_NAMES)
DIRECTION = Attribute(name="shardfleet.direction", description="in: this shard is the target", values=("in", "out"))
OUTCOME = Attribute(
    name="shardfleet.transfer.outcome",
    description="completed: the entities went; canceled: no answer in time; rejected: the target would not have them",
    values=("completed", "canceled", "rejected"),
)
TICK_OUTCOME = Attribute(
    name="shardfleet.tick.outcome",
    description="skipped: the shard was too far behind; discarded: its lease ended meanwhile",
    values=("simulated", "skipped", "discarded"),
)
ORIGIN = Attribute(
    name="shardfleet.handoff.origin",
    description="final: the source's last state; offer: the offered one, moved forward",
    values=("final", "offer"),
)
REFUSAL = Attribute(
    name="shardfleet.frame.refusal",
    description="why",
    values=(
        "malformed", "too large", "before Hello", "no Hello", "second Hello", "wrong sender", "old epoch", "stale",
        "contradicting", "unfit",
    ),
)  # fmt: skip
PEER = Attribute(name="shardfleet.peer", description="the other shard's name")
DATABASE = Attribute(name="db.system.name", description="what was asked", values=("redis",))
IO = Attribute(name="network.io.direction", description="as seen from the shard", values=("transmit",))


@dataclass(frozen=True, slots=True)
class _Shard:
    """What is read: a running shard, its figures, and its links as they are now."""

    manager: ServerAuthorityManager
    stats: ShardStats
    links: Sequence[Mapping[str, Any]]


def read_shard(manager: ServerAuthorityManager) -> list[Reading]:
    """Every metric of a running shard, as it is now."""
    links = [link for link in manager.links.describe() if link["up"] or link["wanted"]]
    return read_all(SHARD_METRICS, _Shard(manager, manager.runtime.context.stats, links))


def resource_of(manager: ServerAuthorityManager) -> dict[str, str]:
    """What the shard is called; ``RESOURCE`` describes it."""
    context = manager.runtime.context
    namespace = {NAMESPACE.name: context.config.namespace} if context.config.namespace else {}
    return {FLEET.name: context.config.name, **namespace, SHARD.name: context.shard}


def shard_text(manager: ServerAuthorityManager) -> bytes:
    """For Prometheus."""
    return to_text(read_shard(manager), resource_of(manager))


# --- where the values are ----------------------------------------------------------------------------------------


def _stat(name: str) -> Callable[[_Shard], Iterable[Sample]]:
    return lambda shard: [(getattr(shard.stats, name),)]


def _stat_s(name: str) -> Callable[[_Shard], Iterable[Sample]]:
    return lambda shard: [(getattr(shard.stats, name) / US_PER_S,)]


def _stats(**by_attribute: str) -> Callable[[_Shard], Iterable[Sample]]:
    return lambda shard: [(getattr(shard.stats, name), value) for value, name in by_attribute.items()]


def _state(shard: _Shard) -> Iterable[Sample]:
    return [(int(shard.stats.state == state), state) for state in STATES]


def _entities(shard: _Shard) -> Iterable[Sample]:
    stats = shard.stats
    authoritative = stats.entities - stats.passing - stats.frozen
    return zip((authoritative, stats.passing, stats.frozen), STATE_NAMES, strict=True)


def _lease(shard: _Shard) -> Iterable[Sample]:
    runtime = shard.manager.runtime
    left_us = runtime.membership.lease.valid_until_us - runtime.context.clock.boottime_us()
    return [(max(0, left_us) / US_PER_S,)]


def _active(shard: _Shard) -> Iterable[Sample]:
    mailbox = shard.manager.runtime.mailbox
    return [(len(mailbox.incoming.open), "in"), (len(mailbox.outgoing.open), "out")]


def _refused(shard: _Shard) -> Iterable[Sample]:
    stats = shard.stats
    own = {"stale": stats.frames_stale, "contradicting": stats.frames_contradicting, "unfit": stats.frames_unfit}
    counted = {**shard.manager.links.refused_by_reason, **own}
    return [(counted.get(reason, 0), reason) for reason in REFUSAL.values]


def _links(value: Callable[[Mapping[str, Any]], int | float | None]) -> Callable[[_Shard], Iterable[Sample]]:
    return lambda shard: [(read, link["peer"]) for link in shard.links if (read := value(link)) is not None]


def _offset_s(link: Mapping[str, Any]) -> float | None:
    offset_us = link["clock_offset_us"]
    return None if offset_us is None else offset_us / US_PER_S


def _store_calls(shard: _Shard) -> Iterable[Sample]:
    calls: Histogram = shard.manager.store.call_us
    return [(calls, "redis")]


# --- the table ---------------------------------------------------------------------------------------------------


def _row(
    name: str,
    kind: Kind,
    unit: str,
    description: str,
    samples: Callable[[_Shard], Iterable[Sample]],
    *attributes: Attribute,
    bounds: tuple[float, ...] = (),
) -> Row[_Shard]:
    metric = Metric(
        name=f"shardfleet.{name}" if not name.startswith("db.") else name,
        kind=kind,
        unit=unit,
        description=description,
        attributes=attributes,
        bounds=bounds,
    )
    return Row(metric, samples)


_K = Kind
SHARD_METRICS: tuple[Row[_Shard], ...] = (
    _row("shard.state", _K.UP_DOWN_COUNTER, "{shard}", "1 for what the shard does, else 0.", _state, SHARD_STATE),
    _row("shard.lease.remaining", _K.GAUGE, "s", "Until the shard must stop simulating. At 0 it is fenced.", _lease),
    _row(
        "shard.cells", _K.UP_DOWN_COUNTER, "{cell}", "Cells that the shard claims.",
        lambda shard: [(len(shard.manager.runtime.membership.claimed),)],
    ),
    _row("entities", _K.UP_DOWN_COUNTER, "{entity}", "Entities that the shard holds.", _entities, ENTITY_STATE),
    _row(
        "ticks", _K.COUNTER, "{tick}", "Ticks that came due.",
        _stats(simulated="ticks", skipped="ticks_skipped", discarded="ticks_thrown_away"), TICK_OUTCOME,
    ),
    _row(
        "tick.duration", _K.HISTOGRAM, "s", "The six steps of a tick.", _stat("tick_us"), bounds=DURATIONS_S,
    ),
    _row("tick.caught_up", _K.COUNTER, "{tick}", "Ticks simulated late, after a recovery or a late acceptance.",
         _stat("catch_up_ticks")),
    _row("entity.frozen_ticks", _K.COUNTER, "{tick}", "Ticks in which an entity stood still because of a doubt, an "
         "entity and a tick each.", _stat("frozen_entity_ticks")),
    _row("handoffs", _K.COUNTER, "{entity}", "Entities handed over.",
         _stats(**{"in": "handed_over_in", "out": "handed_over_out"}), DIRECTION),
    _row("transfers", _K.COUNTER, "{transfer}", "Transfers that this shard began and that have ended.",
         _stats(completed="transfers_completed", canceled="transfers_canceled", rejected="transfers_rejected"),
         OUTCOME),
    _row("transfers.active", _K.UP_DOWN_COUNTER, "{transfer}", "Transfers under way.", _active, DIRECTION),
    _row("transfers.frozen", _K.COUNTER, "{transfer}", "Transfers whose switch came while nobody knew whether they "
         "were accepted.", _stat("transfers_frozen")),
    _row("transfers.answered_late", _K.COUNTER, "{transfer}", "Transfers whose answer came after their deadline.",
         _stat("late_answers")),
    _row("transfer.acceptance.duration", _K.HISTOGRAM, "s", "From BEGIN until the source knew of the acceptance.",
         _stat("transfer_us"), bounds=DURATIONS_S),
    _row("offers.refused", _K.COUNTER, "{transfer}", "Offers of others that this shard would not have.",
         _stat("offers_refused")),
    _row("handoff.delay", _K.GAUGE, "s", "From the plan to the switch, as it is now: the fleet's handoff.delay, or "
         "more after late answers.", _stat_s("handoff_delay_us")),
    _row("handoff.gap", _K.HISTOGRAM, "s", "From the source's last tick to the target's first, less one tick; early "
         "counts as 0.", _stat("gap_us"), bounds=GAPS_S),
    _row("handoff.states", _K.COUNTER, "{entity}", "Entities adopted, by the state that they started from.",
         _stats(final="final_state_used", offer="fast_forwarded"), ORIGIN),
    _row("handoff.overlap", _K.COUNTER, "{tick}", "Ticks of an entity that both sides simulated. Anything but 0 is a "
         "bug.", _stat("overlap_ticks")),
    _row("handoff.continuity.error", _K.GAUGE, "{difference}", "Largest difference between an adopted entity's first "
         "row and a step of the source's last, over all columns.", _stat("continuity_error_max")),
    _row("entities.taken_over", _K.COUNTER, "{entity}", "Entities of dead shards that this shard took up; part of "
         "shardfleet.handoffs.", _stat("taken_over")),
    _row("frames.refused", _K.COUNTER, "{frame}", "Frames of other shards that broke a rule.", _refused, REFUSAL),
    _row("links.refused", _K.COUNTER, "{link}", "Links that were not made, or were closed, because a rule was broken.",
         lambda shard: [(shard.manager.links.links_refused,)]),
    _row("link.dials", _K.COUNTER, "{attempt}", "Dials.", lambda shard: [(shard.manager.links.dials,)]),
    _row("link.io", _K.COUNTER, "By", "Payload of frames sent.",
         lambda shard: [(shard.stats.link_bytes_sent, "transmit")], IO),
    _row("link.up", _K.UP_DOWN_COUNTER, "{link}", "1 where the link stands, 0 where it is wanted.",
         _links(lambda link: int(link["up"])), PEER),
    _row("link.queue.frames", _K.UP_DOWN_COUNTER, "{frame}", "Frames that wait to be sent.",
         _links(lambda link: link["queued_frames"]), PEER),
    _row("link.queue.size", _K.UP_DOWN_COUNTER, "By", "Bytes that wait to be sent.",
         _links(lambda link: link["queued_bytes"]), PEER),
    _row("link.clock.offset", _K.GAUGE, "s", "The peer's clock minus this one's.", _links(_offset_s), PEER),
    _row("clock.skewed_peers", _K.UP_DOWN_COUNTER, "{shard}", "Peers whose clock is not within handoff.skewLimit: "
         "nothing is handed to them.", lambda shard: [(len(shard.manager.peers.skewed),)]),
    _row("redis.requests", _K.COUNTER, "{request}", "Commands sent.", _stat("redis_requests")),
    _row("redis.unanswered", _K.COUNTER, "{request}", "Requests whose answer never came.", _stat("redis_unanswered")),
    _row("redis.roll_calls", _K.COUNTER, "{restart}", "Times that Redis restarted and this shard said what it holds.",
         _stat("roll_calls")),
    _row("redis.damaged", _K.COUNTER, "{record}",
         "Headers, chunks and journal entries in Redis that were damaged, and left out by this shard.",
         _stat("damaged_records")),
    _row("entities.not_restored", _K.GAUGE, "{entity}",
         "Entities that no record had any more that is whole, when this shard last met damaged ones.",
         _stat("not_restored")),
    _row("redis.io", _K.COUNTER, "By", "Bytes of commands sent.",
         lambda shard: [(shard.manager.store.bytes_sent, "transmit")], IO),
    _row("db.client.operation.duration", _K.HISTOGRAM, "s", "A pipeline's round trip, where all of it was answered.",
         _store_calls, DATABASE, bounds=DURATIONS_S),
    _row("manifest.published", _K.COUNTER, "{manifest}", "Manifests made.", _stat("publishes")),
    _row("manifest.io", _K.COUNTER, "By", "Bytes of manifests.", _stat("publish_bytes")),
    _row("manifest.time", _K.COUNTER, "s", "Time that ticks spent on making manifests.", _stat_s("publish_us")),
    _row("manifest.interval", _K.GAUGE, "s", "Between two manifests, as it is now.", _stat_s("publish_interval_us")),
    _row("simulation.errors", _K.COUNTER, "{error}", "Times that the simulation raised, or left NaN behind.",
         _stat("simulation_errors")),
    _row("spawns.refused", _K.COUNTER, "{entity}", "Arrivals that could not be spawned.", _stat("spawns_refused")),
)  # fmt: skip
