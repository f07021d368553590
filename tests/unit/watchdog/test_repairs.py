"""Which findings a repair ends, and whose recovery the others wait for."""

from __future__ import annotations

import pytest
from shardfleet_operator.watchdog import (
    FindingBook,
    ManifestSummary,
    RecoveryBook,
    Verdict,
    Watchdog,
    is_repairable,
    judge,
    waits_for,
)
from shardfleet_shard.core.repair_requests import Repair
from shardfleet_shard.core.requests import Outcome

from .test_audit import LATE_US, FakeClock, FakeStore
from .test_judge import MANIFESTS, SWITCH_US, TABLE, Record, S, T, X, summary

LEASE_US = 3_000_000


def verdict(state: str, *holders: str) -> Verdict:
    [found] = judge([Record(state=state, holders=frozenset(holders))], MANIFESTS, LATE_US)
    return found


@pytest.mark.parametrize(("state", "holders"), TABLE)
def test_only_a_started_one_or_one_that_is_done_is_repaired(state: str, holders: frozenset[str]) -> None:
    found = verdict(state, *holders)
    strangers = holders - {S, T}
    done = state == "accepted" and holders == {T}
    assert is_repairable(found) is (not strangers and (state == "started" or done))
    assert not (is_repairable(found) and waits_for(found))


def test_whose_step_is_missing() -> None:
    assert waits_for(verdict("accepted", S)) == (S, T)
    assert waits_for(verdict("accepted")) == (T,)
    assert waits_for(verdict("accepted", S, T)) == (S,)
    assert waits_for(verdict("accepted", S, X)) == ()


def lapsed(shard: str, *, epoch: int = 1) -> dict[str, ManifestSummary]:
    one = ManifestSummary(shard=shard, epoch=1, current_epoch=epoch, tick=90, unix_us=SWITCH_US, living=False)
    return {**MANIFESTS, shard: one}


def test_a_shard_is_wanted_after_a_lease_without_one() -> None:
    book, limbo = RecoveryBook(LEASE_US), [verdict("accepted")]
    assert book.take(limbo, lapsed(T), 0) == frozenset()
    assert book.take(limbo, lapsed(T), LEASE_US - 1) == frozenset()
    assert book.take(limbo, lapsed(T), LEASE_US) == {T}
    assert (book.take(limbo, lapsed(T), LEASE_US + 1), book.wanted) == (frozenset(), {T})  # said once
    book.take(limbo, MANIFESTS, LEASE_US + 2)
    assert book.wanted == frozenset()


def test_a_shard_that_starts_gets_its_time_and_the_other_side_is_left_alone() -> None:
    book, limbo = RecoveryBook(LEASE_US), [verdict("accepted")]
    book.take(limbo, lapsed(T), 0)
    assert book.take(limbo, lapsed(T, epoch=2), LEASE_US) == frozenset()  # its successor has only begun
    assert book.take(limbo, lapsed(T, epoch=2), 2 * LEASE_US) == {T}
    source_gone = RecoveryBook(LEASE_US)
    for now_us in (0, LEASE_US):
        assert source_gone.take(limbo, lapsed(S), now_us) == frozenset()  # the target adopts without it
    assert RecoveryBook(LEASE_US).take(limbo, {S: summary(S, 99)}, LEASE_US) == frozenset()  # T never came


@pytest.mark.parametrize(
    ("record", "outcome", "how"),
    [
        (Record(state="started", holders=frozenset({S})), Outcome.CANCELED, "canceled"),
        (Record(holders=frozenset({T})), Outcome.CLEARED, "cleared"),
    ],
)
async def test_a_standing_finding_is_repaired_and_said(record: Record, outcome: Outcome, how: str) -> None:
    store = FakeStore(record)
    store.outcome = outcome
    watchdog = Watchdog(store, FakeClock())
    await watchdog.audit_once()
    assert store.repairs == []  # one audit proves nothing
    await watchdog.audit_once()
    assert store.repairs == [Repair(transfer=record.id)]
    store.records.clear()
    [over] = await watchdog.audit_once()
    assert over.repair == how and str(over).startswith(f"repaired ({how}) after 0 ms:")


async def test_what_was_accepted_meanwhile_is_not_called_repaired() -> None:
    store = FakeStore(Record(state="started", holders=frozenset({S})))
    store.outcome = Outcome.ACCEPTED
    watchdog = Watchdog(store, FakeClock())
    for _ in range(3):
        await watchdog.audit_once()
    store.records.clear()
    [over] = await watchdog.audit_once()
    assert (len(store.repairs), over.repair) == (2, "")


async def test_an_accepted_one_is_never_touched() -> None:
    store = FakeStore(Record(), Record(id=Record().id._replace(sequence=2), holders=frozenset({S, T})))
    watchdog = Watchdog(store, FakeClock())
    for _ in range(3):
        await watchdog.audit_once()
    assert store.repairs == [] and watchdog.book.total == 2


def test_the_book_keeps_how_a_finding_was_ended() -> None:
    book, started = FindingBook(), verdict("started", S)
    book.take([started], 1)
    book.take([started], 2)
    book.repaired(started.transfer, "canceled")
    book.take([started], 3)  # read just before the repair
    [over] = book.take([], 4)
    assert (over.repair, over.to_dict()["repair"]) == ("canceled", "canceled")
