"""What a transfer record says that should have been cleared by now. Pure: records in, verdicts out.

A record is nobody's business before ``transferTimeUs + threshold``: no holder at all between the ticks K-1 and K
is an ordinary handoff, and so are two holders while the source lags. After that, state and holders say which side
did not do its part; the manifests' ticks say why, and go into the explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from shardfleet_shard.core.transfer import TransferId

HANDOFF_DISCREPANCY_THRESHOLD_US = 1_500_000
"""How long past its switch time a transfer may stay unfinished before it is judged."""

STARTED = "started"


class OpenTransfer(Protocol):
    """A row of the active index, with its holders. store/ has the real one."""

    @property
    def id(self) -> TransferId: ...
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def transfer_time_us(self) -> int: ...
    @property
    def switch_tick(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def holders(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSummary:
    """The header of a shard's last manifest, and whether the shard holds a lease.

    Attributes:
        epoch: the manifest's.
        current_epoch: the shard's newest; above ``epoch`` until its first manifest.
        living: the lease is the newest epoch's.
    """

    shard: str
    epoch: int
    current_epoch: int
    tick: int
    unix_us: int
    living: bool


class VerdictKind(StrEnum):
    CLEAR_DUE = "CLEAR_DUE"
    """The target alone holds it: the handoff is over, its record was left behind."""
    STALLED_TRANSFER = "STALLED_TRANSFER"
    """The source alone holds it: undecided, or accepted and neither side moved."""
    LIMBO = "LIMBO"
    """Nobody holds it: the source let go, the target has not taken it up."""
    DUAL_AUTHORITY = "DUAL_AUTHORITY"
    """Both hold it, or somebody does who is no part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why one transfer is not finished.

    Attributes:
        entities: how many it moves.
        age_us: microseconds since its switch time.
        holders: as read, sorted.
        meaning: what is the case, in words.
        remedy: what ends it.
    """

    transfer: TransferId
    kind: VerdictKind
    source: str
    target: str
    state: str
    holders: tuple[str, ...]
    entities: int
    age_us: int
    meaning: str
    remedy: str

    @property
    def standing(self) -> tuple[VerdictKind, str, tuple[str, ...]]:
        """What must differ for the verdict to be a new one: not its age."""
        return (self.kind, self.state, self.holders)

    def to_dict(self) -> dict[str, Any]:
        return {
            "transfer": str(self.transfer),
            "kind": str(self.kind),
            "source": self.source,
            "target": self.target,
            "state": self.state,
            "holders": list(self.holders),
            "entities": self.entities,
            "age_ms": self.age_us // 1000,
            "meaning": self.meaning,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        size = "1 entity" if self.entities == 1 else f"{self.entities} entities"
        return f"{self.kind} {self.transfer} to {self.target}: {size}, {self.meaning}; {self.remedy}"


def judge(
    transfers: Iterable[OpenTransfer],
    manifests: Mapping[str, ManifestSummary],
    now_us: int,
    threshold_us: int = HANDOFF_DISCREPANCY_THRESHOLD_US,
) -> list[Verdict]:
    """A verdict for each transfer older than its switch time and ``threshold_us``, sorted by transfer.

    Args:
        transfers: active records with their holders.
        manifests: last published header by shard; a shard that never published is left out.
        now_us: Unix microseconds.
    """
    return [
        _judge_one(transfer, manifests, now_us)
        for transfer in sorted(transfers, key=lambda transfer: transfer.id)
        if now_us - transfer.transfer_time_us > threshold_us
    ]


def _judge_one(transfer: OpenTransfer, manifests: Mapping[str, ManifestSummary], now_us: int) -> Verdict:
    holders = tuple(sorted(set(transfer.holders)))
    source = _side(transfer.source, manifests, transfer.switch_tick)
    target = _side(transfer.target, manifests, transfer.switch_tick)
    kind = _kind(transfer, holders)
    meaning, remedy = _words(kind, transfer, holders, source, target)
    return Verdict(
        transfer=transfer.id,
        kind=kind,
        source=transfer.source,
        target=transfer.target,
        state=str(transfer.state),
        holders=holders,
        entities=transfer.count,
        age_us=now_us - transfer.transfer_time_us,
        meaning=meaning,
        remedy=remedy,
    )


def _kind(transfer: OpenTransfer, holders: tuple[str, ...]) -> VerdictKind:
    if not set(holders) <= {transfer.source, transfer.target}:
        return VerdictKind.DUAL_AUTHORITY
    if transfer.state == STARTED:
        # Not decided yet, so the entities are the source's, whatever the holders say.
        return VerdictKind.STALLED_TRANSFER
    match holders:
        case ():
            return VerdictKind.LIMBO
        case (_, _):
            return VerdictKind.DUAL_AUTHORITY
        case (only,):
            # A source that took its dead target over holds them as either: it says ADOPTED once it has taken them up.
            is_done = only == transfer.target != transfer.source
            return VerdictKind.CLEAR_DUE if is_done else VerdictKind.STALLED_TRANSFER
    raise AssertionError(holders)


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    living: bool
    passed_switch: bool
    """Its manifest is as of a tick at or above K."""
    words: str


def _side(shard: str, manifests: Mapping[str, ManifestSummary], switch_tick: int) -> _Side:
    summary = manifests.get(shard)
    if summary is None:
        return _Side(shard, False, False, f"{shard} never published")
    passed = summary.tick >= switch_tick
    where = f"at tick {summary.tick}, {'past' if passed else 'before'} the switch at {switch_tick}"
    lease = "lives" if summary.living else "has no lease"
    return _Side(shard, summary.living, passed, f"{shard} {lease} and was last seen {where}")


def _words(
    kind: VerdictKind, transfer: OpenTransfer, holders: tuple[str, ...], source: _Side, target: _Side
) -> tuple[str, str]:
    if kind is VerdictKind.CLEAR_DUE:
        return (
            f"{target.name} alone holds them: the handoff is done and only its record was left behind",
            "nothing is lost; the watchdog clears the record",
        )
    if kind is VerdictKind.LIMBO:
        return (
            f"{source.name} released them and {target.name} has not adopted them: {target.words}",
            f"{target.name} adopts them from its journal{'' if target.living else ' once it has recovered'}",
        )
    if kind is VerdictKind.DUAL_AUTHORITY:
        others = [name for name in holders if name not in (source.name, target.name)]
        if others:
            return (
                f"held by {', '.join(others)}, no part of this transfer",
                "look for two fleets that share one prefix in Redis; the manifests say who has the rows",
            )
        doubt = "its manifest is past the switch, so it may simulate them too" if source.passed_switch else source.words
        return (
            f"{target.name} adopted them and {source.name} has not released them: {doubt}",
            f"{source.name} releases them{'' if source.living else ' when it recovers'}; accepted, never undone",
        )
    if transfer.state == STARTED:
        return (
            f"begun, and neither accepted nor canceled: {source.words}; the entities are {source.name}'s",
            "the watchdog cancels it, unless it is accepted first: only a started one can be",
        )
    late = [side.name for side in (source, target) if not side.living] or [source.name, target.name]
    return (
        f"accepted, but {source.name} has not released and {target.name} has not adopted them: "
        f"{source.words}; {target.words}",
        f"goes on once {' and '.join(late)} {'are' if len(late) > 1 else 'is'} back at work; accepted, never undone",
    )
