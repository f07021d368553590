"""A small world for ``plan_elastic``: its shards do what the runtime does, its platform does what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from shardfleet_operator.plan import (
    Absences,
    Action,
    CellLoad,
    ConfirmEnded,
    Desired,
    FailFleet,
    Observed,
    Process,
    ProcessState,
    RestartShard,
    StartShard,
    StopShard,
    Surroundings,
    TakeOver,
    Wait,
    WriteLayout,
    check_layout,
    ordinal_of,
    plan_elastic,
)
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.layout import Layout
from shardfleet_shard.core.requests import Member

RUNNING, STOPPING, ENDED = ProcessState.RUNNING, ProcessState.STOPPING, ProcessState.ENDED
NOW = 1_700_000_000_000_000
STEP_US = 1_000_000


@dataclass
class Pod:
    """One process. ``told``: it got SIGTERM, and drains. ``revision``: of the spec that it was made from."""

    ordinal: int
    epoch: int
    revision: int
    state: ProcessState = RUNNING
    living: bool = False
    told: bool = False
    lost: bool = False
    """It is as good as dead, and looks alive: its node is gone."""
    pending: bool = False
    ended_us: int = 0
    restarts: int = 0
    code: int = 0


@dataclass
class World:
    """Shards that do what the runtime does: claim, hand over, drain, end."""

    replicas: int
    now_us: int = NOW
    layout: Layout | None = None
    pods: dict[str, Pod] = field(default_factory=dict)
    owned: dict[str, int] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)
    absences: Absences = field(default_factory=Absences)
    cordoned: set[str] = field(default_factory=set)
    full: bool = False
    """No node takes another pod."""
    blind: bool = False
    """The cluster does not notice that nodes are gone."""
    taken: int = 0
    revision: int = 0
    epochs: int = NOW
    most_pods: int = 0

    @property
    def desired(self) -> Desired:
        return Desired(config=FleetConfig(name="arena", replicas=self.replicas), gives_up=False)

    @property
    def claims(self) -> dict[str, str]:
        assert self.layout is not None
        return {
            cell.path: cell.shard
            for cell in self.layout.cells
            if cell.shard in self.pods and self.pods[cell.shard].living and self.leases.get(cell.shard)
        }

    def observe(self) -> tuple[Observed, Surroundings]:
        processes = [
            Process(
                shard=name, ordinal=pod.ordinal, epoch=pod.epoch if pod.living or pod.state is ENDED else 0,
                state=STOPPING if pod.told and pod.state is RUNNING else pod.state,
                started_us=pod.epoch, ended_us=pod.ended_us, exit_code=pod.code, restarts=pod.restarts,
            )
            for name, pod in self.pods.items()
        ]  # fmt: skip
        members = [
            Member(
                shard=name, ordinal=ordinal_of(name, "arena") or 0, epoch=epoch, address="",
                living=self.leases.get(name) == epoch,
            )
            for name, epoch in self.members.items()
        ]  # fmt: skip
        observed = Observed(layout=self.layout, processes=tuple(processes), members=tuple(members))
        if self.layout is None:
            return observed, Surroundings()
        loads = {cell.path: CellLoad(entities=self.owned.get(cell.shard, 0), tick_us=1.0) for cell in self.layout.cells}
        outdated = {n for n, pod in self.pods.items() if pod.revision != self.revision and pod.state is RUNNING}
        around = Surroundings(
            leaving=frozenset(self.cordoned & self.pods.keys()),
            outdated=frozenset(outdated),
            owned={**dict.fromkeys(self.pods, 0), **self.owned},  # Redis knows every shard that ever was
            claims=self.claims,
            loads=loads,
            absent_us=self.absences.see(members, self.now_us),
            cannot_run=frozenset(name for name, pod in self.pods.items() if pod.pending),
            stranded=frozenset(name for name, pod in self.pods.items() if pod.lost and not self.blind),
        )
        return observed, around

    def perform(self, actions: list[Action]) -> bool:
        """Whether anything was done."""
        done = False
        for action in actions:
            match action:
                case WriteLayout(layout=layout):
                    check_layout(layout)
                    assert self.layout is None or layout.version > self.layout.version
                    for shard in set(layout.shards) - set(self.layout.shards if self.layout else layout.shards):
                        assert self.leases.get(shard), f"a cell was given to {shard}, which does not live"
                    self.layout = layout
                case StartShard(shard=shard) | RestartShard(shard=shard):
                    pod = self.pods.get(shard)
                    assert pod is None or pod.state is ENDED, f"{shard} was started beside itself"
                    self.epochs += 1
                    restarts = getattr(action, "restarts", 0)
                    ordinal = ordinal_of(shard, "arena") or 0
                    self.pods[shard] = Pod(ordinal, self.epochs, self.revision, restarts=restarts, pending=self.full)
                    self.cordoned.discard(shard)  # another node
                case StopShard(shard=shard):
                    pod = self.pods[shard]
                    if pod.state is ENDED or pod.pending:
                        assert not self.owned.get(shard), f"{shard} owns {self.owned[shard]}, and its pod was removed"
                        del self.pods[shard]
                    else:
                        assert not self.owned.get(shard), f"{shard} owns {self.owned[shard]} and was ended"
                        assert self.layout and shard not in self.layout.shards
                        pod.told = True
                case ConfirmEnded(shard=shard, epoch=epoch):
                    assert self.pods[shard].state is ENDED
                    if self.leases.get(shard, 0) <= epoch:
                        self.leases.pop(shard, None)
                case TakeOver(shard=taker, gone=gone):
                    assert self.leases.get(taker) == action.epoch and gone not in self.leases
                    assert self.members.pop(gone) == action.gone_epoch
                    self.owned[taker] = self.owned.get(taker, 0) + self.owned.pop(gone, 0)
                    self.taken += 1
                case FailFleet():
                    raise AssertionError(action)
                case Wait():
                    continue
            done = True
        self.most_pods = max(self.most_pods, sum(pod.state is not ENDED for pod in self.pods.values()))
        return done

    def live(self) -> None:
        """One step of everybody's life."""
        self.now_us += STEP_US
        for name, pod in sorted(self.pods.items()):
            pod.pending = pod.pending and self.full
            if pod.lost and pod.told:
                del self.pods[name]  # the cluster gives the node up, and knows of no end
            elif pod.state is RUNNING and not (pod.living or pod.lost or pod.pending) and name not in self.leases:
                pod.living, self.leases[name], self.members[name] = True, pod.epoch, pod.epoch
        if self.layout is None:
            return
        claimants = sorted(set(self.claims.values()))
        if claimants and not self.owned:
            self.owned[claimants[0]] = 50  # the seed
        for name, pod in sorted(self.pods.items()):
            has_cell = name in self.layout.shards
            if not pod.living or has_cell or pod.state is ENDED:
                continue
            if self.owned.get(name) and claimants:
                moved = min(20, self.owned[name])  # at a limited rate
                self.owned[name] -= moved
                self.owned[claimants[0]] = self.owned.get(claimants[0], 0) + moved
            elif not self.owned.get(name) and pod.told:
                self.end(name, code=0)

    def end(self, name: str, *, code: int) -> None:
        pod = self.pods[name]
        pod.state, pod.ended_us, pod.code, pod.living = ENDED, self.now_us, code, False
        if code == 0:
            self.leases.pop(name, None)
            self.members.pop(name, None)

    def lose(self, name: str) -> None:
        """With its node. Its lease runs out."""
        pod = self.pods[name]
        pod.lost, pod.living = True, False
        self.leases.pop(name, None)

    def step(self) -> bool:
        observed, around = self.observe()
        actions = plan_elastic(self.desired, observed, around, self.now_us)
        assert actions == plan_elastic(self.desired, observed, around, self.now_us)
        done = self.perform(actions)
        self.live()
        return done

    def is_at_rest(self) -> bool:
        shards = set(self.layout.shards) if self.layout else set()
        return (
            len(shards) == self.replicas
            and set(self.pods) == shards == set(self.leases)
            and all(not pod.told and pod.revision == self.revision for pod in self.pods.values())
            and not self.cordoned & shards
            and sum(count for name, count in self.owned.items() if name in shards) == 50
        )

    def settle(self, *, steps: int = 400) -> int:
        for number in range(steps):
            done = self.step()
            if not done and self.is_at_rest():
                return number
        pods = {name: (pod.state.value, pod.living, pod.told, pod.revision) for name, pod in self.pods.items()}
        cells = [(cell.path, cell.shard) for cell in self.layout.cells] if self.layout else []
        actions = plan_elastic(self.desired, *self.observe(), self.now_us)
        raise AssertionError(f"no rest: {pods} {cells} {self.owned} {self.cordoned} {self.replicas} {actions}"[:1500])


def world(replicas: int) -> World:
    one = World(replicas)
    one.settle()
    return one
