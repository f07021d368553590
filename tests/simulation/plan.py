"""The generator: one seed makes one plan, and one plan one run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from .clocks import HostClock
from .faults import ENDINGS, HARMLESS, KINDS, LOAD, LOSSES, MAX_DRIFT_PPM, Fault
from .hits import STATES

FIRST_FAULT_US = 700_000
"""By then a world without faults is seeded and its entities cross borders."""
AIMED = 0.7
"""Share of the faults that wait for a certain state of a transfer."""
PATIENCE_US = 1_200_000
LOSING = 0.25
"""Share of the plans in which Redis loses data."""
LOSS_FROM_US = 1_800_000
"""By then there is more than a second to lose."""
BESIDE_A_LOSS = 0.6
"""Share of the plans in which Redis loses its last second, with a shard that dies then. (Of what it had before, Redis
knows; of the last second, those do with whom it shared it. Nothing is spawned or despawned in these plans.)"""
BEFORE_IT_SAYS_US = 60_000
"""After the loss: it has not said what it knows."""
ENDING = 0.15
"""Share of the plans in which a shard never comes back."""
CALM = 0.04
"""Share of the plans without any fault: there nothing may stand still, and the watchdog has nothing to say."""
RARE = ("source canceling", "source frozen", "source withdrawn", "target rejecting")
"""States that a transfer seldom comes into by itself: aimed at more often."""
RAREST = ("source withdrawn", "target rejecting")
RARELY = 0.5
"""Share of the plans with one more fault, at one of these."""
OFTEN_RARE = 0.35
"""Share of the aims that are at one of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is there, and what goes wrong. ``faults`` by time; times in microseconds of the run."""

    seed: int
    shards: int = 2
    entities: int = 6
    speed: float = 40.0
    lease_us: int = 1_000_000
    faulty_us: int = 3_000_000
    faults: tuple[Fault, ...] = ()
    small_offsets: bool = True
    """Each machine's clock is a few milliseconds off, and drifts."""

    @property
    def calm(self) -> bool:
        return not any(fault.kind not in LOAD for fault in self.faults)

    @property
    def arrivals(self) -> bool:
        """Of who came within the last second only who took it up may know: that one may not die beside a loss."""
        kinds = {fault.kind for fault in self.faults}
        return "crash" not in kinds or kinds.isdisjoint(LOSSES)

    def without(self, *numbers: int) -> Self:
        return replace(self, faults=tuple(fault for fault in self.faults if fault.number not in numbers))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "faults": tuple(Fault(**fault) for fault in data["faults"])})


def make_plan(seed: int) -> Plan:
    """The plan of ``seed``: the same for ever, as long as the kinds and their rates are the same."""
    draws = random.Random(seed)
    shards = draws.choice([2, 2, 2, 3, 3, 4])
    lease_us = draws.choice([1_000_000, 1_000_000, 1_500_000, 3_000_000])
    faulty_us = draws.randint(2_200_000, 3_800_000)
    plan = Plan(
        seed=seed, shards=shards, entities=draws.randint(4, 8), speed=draws.choice([30.0, 40.0, 60.0]),
        lease_us=lease_us, faulty_us=faulty_us,
    )  # fmt: skip
    faults = [] if draws.random() < CALM else _faults(draws, plan)
    for _ in range(draws.choice([0, 0, 1, 2])):
        at_us = draws.randint(FIRST_FAULT_US, faulty_us)
        faults.append(Fault(kind=draws.choice(["spawn", "despawn"]), at_us=at_us, shard=draws.randrange(shards)))
    faults = _with_loss(_with_ending(_with_rare(faults, plan), plan), plan)
    faults = [replace(fault, number=number) for number, fault in enumerate(faults)]
    return replace(plan, faults=tuple(sorted(faults, key=lambda fault: fault.at_us)))


def _faults(draws: random.Random, plan: Plan) -> list[Fault]:
    """3 to 9 of them, of up to all kinds; now and then several at the same moment."""
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    faults = []
    at_us = 0
    for kind in draws.choices(names, weights, k=draws.randint(3, 9)):
        if not at_us or draws.random() < 0.8:
            at_us = draws.randint(FIRST_FAULT_US, plan.faulty_us)
        aim = ""
        if draws.random() < AIMED:
            aim = _aim(draws, OFTEN_RARE)
        faults.append(
            Fault(
                kind=kind, at_us=at_us, shard=draws.randrange(plan.shards), aim=aim,
                patience_us=min(PATIENCE_US, max(0, plan.faulty_us - at_us)),
                **KINDS[kind].draw(draws, plan.lease_us),
            )
        )  # fmt: skip
    return faults


def _aim(draws: random.Random, rare: float) -> str:
    """A state to wait for. ``rare``: how often one of those that seldom come."""
    return draws.choice(RARE if draws.random() < rare else STATES)


def _with_ending(faults: list[Fault], plan: Plan) -> list[Fault]:
    """In some plans a shard never comes back."""
    draws = random.Random(f"{plan.seed} ending")
    if not faults or draws.random() >= ENDING:
        return faults
    kind = draws.choice(list(ENDINGS))
    at_us = draws.randint(FIRST_FAULT_US, plan.faulty_us)
    aim = _aim(draws, 2 * OFTEN_RARE) if draws.random() < AIMED else ""
    ending = Fault(
        kind=kind, at_us=at_us, shard=draws.randrange(plan.shards), aim=aim,
        patience_us=min(PATIENCE_US, max(0, plan.faulty_us - at_us)), **ENDINGS[kind].draw(draws, plan.lease_us),
    )  # fmt: skip
    return [*faults, ending]


def _with_rare(faults: list[Fault], plan: Plan) -> list[Fault]:
    """In some plans one more, of any kind, at the rarest of states; a change of the layout leads there."""
    draws = random.Random(f"{plan.seed} rare")
    if not faults or draws.random() >= RARELY:
        return faults
    # These two meet such a state least of all.
    kind = draws.choice(["step fails", "frame doubled"] if draws.random() < 0.15 else list(KINDS))
    at_us = draws.randint(FIRST_FAULT_US, plan.faulty_us)
    rare = Fault(
        kind=kind, at_us=at_us, shard=draws.randrange(plan.shards), aim=draws.choice(RAREST),
        patience_us=min(PATIENCE_US, max(0, plan.faulty_us - at_us)), **KINDS[kind].draw(draws, plan.lease_us),
    )  # fmt: skip
    provoking = Fault(kind="cells swapped", at_us=at_us, shard=rare.shard, **KINDS["cells swapped"].draw(draws, 0))
    return [*faults, provoking, rare]


def _with_loss(faults: list[Fault], plan: Plan) -> list[Fault]:
    """In some plans Redis forgets; then little may stop a shard, for what a shard that is down knew is lost."""
    draws = random.Random(f"{plan.seed} loss")
    if not (faults and draws.random() < LOSING):
        return faults
    kind = draws.choice(list(LOSSES))
    loss = Fault(
        kind=kind, at_us=draws.randint(LOSS_FROM_US, max(LOSS_FROM_US, plan.faulty_us)),
        aim=_aim(draws, 2 * OFTEN_RARE) if draws.random() < AIMED else "", patience_us=PATIENCE_US,
        **LOSSES[kind].draw(draws, plan.lease_us),
    )  # fmt: skip
    faults = [fault for fault in faults if fault.kind in HARMLESS]
    if kind != "redis without its last second" or draws.random() >= BESIDE_A_LOSS:
        return [*faults, loss]
    return [*faults, *_deaths_beside(replace(loss, aim="", amount=draws.randint(700_000, 1_000_000)), draws, plan)]


def _deaths_beside(loss: Fault, draws: random.Random, plan: Plan) -> list[Fault]:
    """Before it says what it knows, or later in the roll-call; then it may have died before the loss as well, is back
    by then, and does not know any more what it gave away."""
    shard, said = draws.randrange(plan.shards), draws.random() < 0.5
    between_us = (BEFORE_IT_SAYS_US, plan.lease_us + 1_200_000) if said else (0, BEFORE_IT_SAYS_US)
    after_us = draws.randint(*between_us)
    faults = [loss, Fault(kind="crash", at_us=loss.at_us + after_us, shard=shard)]
    if said and draws.random() < 0.7:
        faults.append(Fault(kind="crash", at_us=loss.at_us - draws.randint(350_000, 900_000), shard=shard))
    return faults


def host_clock(plan: Plan, shard: str) -> HostClock:
    """The machine under ``shard``, as it is before any fault."""
    draws = random.Random(f"{plan.seed} host {shard}")
    if not plan.small_offsets:
        return HostClock(drift_ppm=0, wall_offset_us=0)
    return HostClock(
        drift_ppm=draws.randint(-MAX_DRIFT_PPM // 2, MAX_DRIFT_PPM // 2), wall_offset_us=draws.randint(-4_000, 4_000)
    )
