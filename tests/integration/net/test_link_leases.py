"""Which side of a pair dials: whoever holds the pair's lease."""

from __future__ import annotations

from shardfleet_shard.core.requests import Done, LinkLease, Outcome, Refused, RefusedReason
from shardfleet_shard.net.leases import HandoffConnectionLeaseCoordinator

from .fleet import PATIENT, Fleet, Node, eventually


class LeaseTable:
    """The pair's leases, as the store keeps them, without their end."""

    def __init__(self) -> None:
        self.holders: dict[tuple[str, ...], str] = {}
        self.answers = True

    async def execute(self, request: LinkLease) -> Done | Refused | None:
        if not self.answers:
            return None
        pair = tuple(sorted((request.shard, request.peer)))
        holder = self.holders.get(pair, request.shard)
        if holder != request.shard:
            return Refused(reason=RefusedReason.HELD, detail=holder, wait_ms=1)
        if request.ttl_ms:
            self.holders[pair] = request.shard
        else:
            self.holders.pop(pair, None)
        return Done(outcome=Outcome.OK)


def with_lease(node: Node, table: LeaseTable, *, ttl_us: int = 25_000_000) -> Node:
    node.leases = HandoffConnectionLeaseCoordinator(
        table.execute, hello=lambda: node.hello, clock=node.clock, ttl_us=ttl_us
    )
    node.make_manager()
    return node


async def test_the_holder_of_the_lease_dials_and_gives_it_up_with_the_link() -> None:
    table = LeaseTable()
    table.holders["arena-0", "arena-1"] = "arena-1"
    nodes = [with_lease(Node(n, limits=PATIENT), table) for n in range(2)]
    async with Fleet(*nodes) as fleet:
        zero, one = fleet.nodes
        fleet.observe()
        await eventually(lambda: zero.up and one.up)
        assert zero.manager.dials == 0 and one.manager.dials == 1
        fleet.observe(wanted=False)
        await eventually(lambda: one.downs and not table.holders)


async def test_a_lease_of_the_dead_and_a_store_that_is_silent_hold_nothing_up() -> None:
    table = LeaseTable()
    table.holders["arena-0", "arena-1"] = "arena-1"
    nodes = [with_lease(Node(0), table), Node(1)]
    async with Fleet(*nodes) as fleet:
        zero, one = fleet.nodes
        zero.manager.set_peers({"arena-1": (one.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: zero.up)  # arena-1 held the lease and did not dial
        table.answers = False
        await one.stop()
        await eventually(lambda: not zero.up)
        one.make_manager()
        await one.start()
        zero.manager.set_peers({"arena-1": (one.address, 1, 1)}, {"arena-1"})
        await eventually(lambda: zero.up)


async def test_a_lease_is_renewed_while_its_link_stands() -> None:
    table = LeaseTable()
    asked: list[int] = []
    execute = table.execute

    async def count(request: LinkLease) -> Done | Refused | None:
        asked.append(request.ttl_ms)
        return await execute(request)

    table.execute = count  # type: ignore[method-assign]
    nodes = [with_lease(Node(0), table, ttl_us=150_000), Node(1)]
    async with Fleet(*nodes) as fleet:
        fleet.observe()
        await eventually(lambda: len(asked) > 3)
        assert nodes[0].up and asked[0] == 150 and nodes[0].downs == []
