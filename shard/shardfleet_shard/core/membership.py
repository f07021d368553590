"""Membership: this process' place in the fleet. Epoch, lease, claims, and what it has seen of the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from .context import Context
from .layout import Layout, path_text
from .lease import Lease
from .outgoing import RETRY_US
from .requests import Claim, Done, Member, Observe, Observed, Recover, Recovered, Refused, RefusedReason, Renew

OBSERVE_SETTLED_US = 1_000_000
OBSERVE_UNSETTLED_US = 150_000
"""While claims, the seed or a member are still missing."""


@dataclass(slots=True)
class Membership:
    """Who is there, and what this shard may claim."""

    context: Context
    lease: Lease
    layout: Layout = field(default_factory=lambda: Layout(version=0, cells=()))
    members: dict[str, Member] = field(default_factory=dict)
    claims: dict[str, tuple[str, int]] = field(default_factory=dict)
    recovered: Recovered | None = None
    claimed: tuple[str, ...] = ()
    claimed_version: int = -1
    giving_up: bool = False
    """Draining, settling, or a plugin that fails: claim nothing."""
    phase: str = "run"
    next_observe_us: int = 0
    observed_us: int = 0
    _observing: bool = False
    _claiming: bool = False
    _claim_held: bool = False
    """The last claim met another shard's: what is not meant for this one any more is given up first."""
    _claim_unknown: bool = False
    """A claim was not answered: Redis may have it or not."""
    _next_claim_us: int = 0
    _recovering: bool = False
    _renewal_sent_us: int = 0

    # --- requests -----------------------------------------------------------------------------------------------

    def poll(self, now_us: int, boottime_us: int) -> None:
        """Whatever is due: RECOVER until it is answered, renewals, a look at the fleet, the claim."""
        context = self.context
        if self.recovered is None:
            if not self._recovering and now_us >= self._next_claim_us:
                self._recovering = True
                context.request(
                    Recover(
                        shard=context.shard,
                        ordinal=context.ordinal,
                        address=context.address,
                        unix_us=now_us,
                        schema_hash=context.schema.hash,
                    )
                )
            return
        if self.lease.renewal_due(boottime_us):
            self.lease.sent()
            self._renewal_sent_us = boottime_us
            context.request(Renew(shard=context.shard, epoch=context.epoch, ttl_ms=self.lease.ttl_us // 1000))
        if not self._observing and now_us >= self.next_observe_us:
            self._observing = True
            context.request(Observe())

    def claim(self, now_us: int) -> None:
        """Claims the cells that the layout means for this shard, or gives them all up."""
        context = self.context
        cells = () if self.giving_up else tuple(cell.path for cell in self.layout.cells_of(context.shard))
        up_to_date = (
            cells == self.claimed
            and (self.layout.version == self.claimed_version or not cells)
            and not self._claim_unknown
        )
        if self._claiming or up_to_date or now_us < self._next_claim_us:
            return
        if self._claim_held:
            # Two shards that swap cells would wait for each other for ever: a claim is all or nothing.
            kept = tuple(path for path in cells if path in self.claimed)
            cells = cells if kept == self.claimed else kept
        self._claiming = True
        context.request(
            Claim(shard=context.shard, epoch=context.epoch, layout_version=self.layout.version, cells=cells)
        )

    # --- answers ------------------------------------------------------------------------------------------------

    def handle_recovered(self, reply: Recovered | None, now_us: int) -> bool:
        """Returns whether this process has its epoch now."""
        self._recovering = False
        if reply is None:
            self._next_claim_us = now_us + RETRY_US
            return False
        self.recovered = reply
        self.context.epoch = reply.epoch
        self.lease.next_renewal_us = 0
        return True

    def handle_renewed(self, reply: Done | Refused | None, boottime_us: int) -> None:
        if isinstance(reply, Done):
            self.lease.renewed(self._renewal_sent_us)
        elif isinstance(reply, Refused) and reply.reason is RefusedReason.HELD:
            self.lease.failed(boottime_us, retry_us=min(RETRY_US, max(5_000, reply.wait_ms * 1000)), unanswered=False)
        else:
            self.lease.failed(boottime_us, retry_us=RETRY_US, unanswered=reply is None)

    def handle_claimed(self, request: Claim, reply: Done | Refused | None, now_us: int) -> None:
        self._claiming = False
        self._claim_unknown = reply is None
        self._claim_held = isinstance(reply, Refused) and reply.reason is RefusedReason.HELD
        if isinstance(reply, Done):
            self.claimed, self.claimed_version = request.cells, request.layout_version
            self.context.stats.cells = ",".join(map(path_text, request.cells))
            self.next_observe_us = now_us
        else:
            self._next_claim_us = now_us + RETRY_US
            self.next_observe_us = now_us

    def handle_observed(self, reply: Observed | None, now_us: int) -> None:
        self._observing = False
        if reply is None:
            self.next_observe_us = now_us + RETRY_US
            return
        if reply.layout:
            layout = Layout.from_json(reply.layout)
            if layout.version > self.layout.version:
                self.layout = layout
        self.members = {member.shard: member for member in reply.members}
        self.claims = dict(reply.claims)
        own = (self.context.shard, self.context.epoch)
        stored = {path for path, owner in self.claims.items() if owner == own}
        # A claim of before that Redis executes once more, late, replaces the one that was answered since.
        self._claim_unknown = self._claim_unknown or stored != set(self.claimed)
        self.phase = reply.phase
        if reply.seeded:
            self.context.origin_tick, self.context.rests = reply.origin_tick, reply.rests
        self.observed_us = now_us
        self.next_observe_us = now_us + (OBSERVE_SETTLED_US if self._settled(reply) else OBSERVE_UNSETTLED_US)

    def claim_anew(self, now_us: int) -> None:
        """Redis may have forgotten claims, or remember older ones."""
        self._claim_unknown = True
        self._next_claim_us = 0
        self.next_observe_us = now_us

    def look_soon(self, now_us: int) -> None:
        """Something does not fit what is known: a link went, a claim was missing."""
        self.next_observe_us = min(self.next_observe_us, max(now_us, self.observed_us + OBSERVE_UNSETTLED_US))

    # --- what is known ------------------------------------------------------------------------------------------

    def neighbours(self) -> list[str]:
        """Shards that this one keeps a link to, sorted; with no cell of its own, all."""
        if not self.layout.cells_of(self.context.shard):
            return sorted(set(self.layout.shards) - {self.context.shard})
        return self.layout.neighbours_of(self.context.shard)

    def _settled(self, observed: Observed) -> bool:
        living = {member.shard for member in observed.members if member.living}
        return (
            observed.seeded
            and bool(self.layout.cells)
            and living >= set(self.layout.shards)
            and set(observed.claims) == set(self.layout.by_path)
        )
