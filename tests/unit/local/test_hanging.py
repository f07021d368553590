"""Which processes are ended because their shards' recovery is wanted."""

from __future__ import annotations

from shardfleet_operator.local.recovery import hanging
from shardfleet_operator.plan import Process, ProcessState
from shardfleet_operator.platforms.local import LocalProcess
from shardfleet_shard.core.requests import Member

MEMBERS = (
    Member(shard="a-0", ordinal=0, epoch=5, address="", living=False),
    Member(shard="a-1", ordinal=1, epoch=6, address="", living=True),
)


def one(shard: str, epoch: int, state: ProcessState = ProcessState.RUNNING) -> LocalProcess:
    return LocalProcess(process=Process(shard=shard, ordinal=0, state=state, epoch=epoch), pid=9, starts=1)


def test_a_wanted_one_that_runs_without_its_lease() -> None:
    assert hanging({"a-0", "a-1"}, [one("a-0", 5), one("a-1", 6)], MEMBERS) == [one("a-0", 5)]


def test_all_others_are_left_alone() -> None:
    for process in (
        one("a-0", 0),
        one("a-0", 4),
        one("a-0", 5, ProcessState.STOPPING),
        one("a-0", 5, ProcessState.ENDED),
    ):
        assert hanging({"a-0"}, [process], MEMBERS) == []
    assert hanging((), [one("a-0", 5)], MEMBERS) == []
