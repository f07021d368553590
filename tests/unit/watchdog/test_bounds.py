"""From when on a finding's age counts, and what the watchdog's reads tell of faults."""

from __future__ import annotations

import pytest
from shardfleet_operator.watchdog import Fault, FaultBook, ManifestSummary, Watchdog, counted_age_us
from shardfleet_shard.errors import StoreUnavailable

from .test_audit import FakeClock, FakeStore
from .test_judge import MANIFESTS, Record, S, T, summary

SECOND = 1_000_000
BOUND_US = 3_500_000
LEASE_US = 3 * SECOND
THRESHOLD_US = 1_500_000
AFTERMATH_US = LEASE_US + THRESHOLD_US


def fault(since_s: float, until_s: float) -> Fault:
    return Fault(shard=S, since_us=round(since_s * SECOND), until_us=round(until_s * SECOND))


@pytest.mark.parametrize(
    ("seen_s", "faults", "counted_s"),
    [
        (7.0, [], 7.0),
        (7.0, [fault(1, 5)], 2.0),
        (7.0, [fault(-3, 5)], 2.0),
        (4.0, [fault(1, 5)], 0.0),
        (7.0, [fault(-5, -1)], 7.0),  # over before the switch
        (3.0, [fault(3.1, 9)], 3.0),  # began after it was last seen
        (7.0, [fault(3.5, 6)], 1.0),
        (7.0, [fault(3.6, 6)], 7.0),  # its bound was broken before that
        (30.0, [fault(1, 5), fault(8, 20), fault(23, 27)], 3.0),
        (30.0, [fault(1, 5), fault(8.6, 20), fault(23, 27)], 25.0),
        (30.0, [fault(1, 28), fault(2, 5)], 2.0),  # one within another
    ],
)
def test_age_counts_from_the_last_faults_end(seen_s: float, faults: list[Fault], counted_s: float) -> None:
    assert counted_age_us(0, round(seen_s * SECOND), faults, BOUND_US) == round(counted_s * SECOND)


@pytest.fixture
def book() -> FaultBook:
    return FaultBook(interval_us=250_000, lease_us=LEASE_US, threshold_us=THRESHOLD_US)


# --- Redis -----------------------------------------------------------------------------------------------------


def test_a_redis_that_answers_late_was_silent_since_its_last_answer(book: FaultBook) -> None:
    for now_us in (0, 250_000, 1_500_000):  # a busy machine is no fault
        book.answered(now_us)
    assert book.concerning(S) == []
    book.answered(5_500_000)
    [silence] = book.concerning(S)
    assert (silence.since_us, silence.until_us) == (1_500_000, 5_500_000 + AFTERMATH_US)
    assert book.concerning(T) == [silence]
    book.answered(5_750_000)
    assert book.concerning() == [silence]


def test_a_redis_that_gave_no_answer_was_silent_however_short(book: FaultBook) -> None:
    book.answered(0)
    book.unanswered()
    book.answered(400_000)
    assert [(one.since_us, one.until_us) for one in book.concerning()] == [(0, 400_000 + AFTERMATH_US)]


def test_a_redis_that_never_answered_before(book: FaultBook) -> None:
    book.unanswered()
    book.answered(7)
    assert [(one.since_us, one.until_us) for one in book.concerning()] == [(7, 7 + AFTERMATH_US)]


# --- shards ----------------------------------------------------------------------------------------------------


def lease(shard: str, *, living: bool, epoch: int = 1, current: int = 1) -> dict[str, ManifestSummary]:
    return {
        shard: ManifestSummary(shard=shard, epoch=epoch, current_epoch=current, tick=9, unix_us=0, living=living),
    }


def test_a_shard_that_renews_under_the_same_epoch_was_stopped(book: FaultBook) -> None:
    for now_us, living in ((10, True), (20, False), (30, False), (40, True), (50, True)):
        book.take_leases(lease(T, living=living), now_us)
    assert book.concerning(S, T) == [Fault(shard=T, since_us=20 - LEASE_US, until_us=40)]
    assert book.concerning(S) == []


def test_a_shard_that_was_started_again_excuses_nothing(book: FaultBook) -> None:
    book.take_leases(lease(T, living=False), 20)
    book.take_leases(lease(T, living=False, current=2), 30)  # its successor waits
    book.take_leases(lease(T, living=True, current=2), 40)  # and lives, and has not published
    book.take_leases(lease(T, living=True, epoch=2, current=2), 50)
    assert book.concerning(S, T) == []


def test_a_successor_that_was_stopped(book: FaultBook) -> None:
    book.take_leases(lease(T, living=False), 20)
    book.take_leases(lease(T, living=False, epoch=2, current=2), 30)
    book.take_leases(lease(T, living=False, epoch=2, current=2), 35)
    book.take_leases(lease(T, living=True, epoch=2, current=2), 40)
    assert book.concerning(T) == [Fault(shard=T, since_us=35 - LEASE_US, until_us=40)]


def test_leases_are_read_while_something_stands_and_a_lease_longer(book: FaultBook) -> None:
    assert not book.wants_leases(0, standing=False)
    assert book.wants_leases(SECOND, standing=True)
    assert not book.wants_leases(SECOND + 1, standing=False)
    book.take_leases(lease(T, living=False), SECOND)
    assert book.wants_leases(SECOND + LEASE_US, standing=False)
    assert not book.wants_leases(SECOND + LEASE_US + 1, standing=False)
    assert not book.wants_leases(SECOND + LEASE_US, standing=False), "it is forgotten: a shard that rests stays so"


# --- the watchdog ----------------------------------------------------------------------------------------------


class Fleet:
    """A store whose transfer from S to T stands from its switch on, and a watchdog that looks at it."""

    def __init__(self) -> None:
        self.store, self.clock = FakeStore(Record()), FakeClock()
        self.watchdog = Watchdog(self.store, self.clock, lease_us=LEASE_US)

    async def audit_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            await self.watchdog.audit_once()
            self.clock.now_us += 250_000

    async def resolve(self) -> tuple[int, int]:
        """(age_ms, counted_ms) of the finding that is over now."""
        self.store.records.clear()
        await self.watchdog.audit_once()
        [verdict] = self.watchdog.report()
        assert verdict["resolved_us"] is not None
        return verdict["age_ms"], verdict["counted_ms"]


async def test_without_a_fault_all_of_its_age_counts() -> None:
    fleet = Fleet()
    await fleet.audit_for(4.25)
    assert await fleet.resolve() == (5_500, 5_500)


@pytest.mark.parametrize("refuses", [True, False])
async def test_while_redis_is_silent_nothing_counts(refuses: bool) -> None:
    fleet = Fleet()
    await fleet.audit_for(0.5)
    if refuses:
        fleet.store.error = StoreUnavailable("timed out")
        with pytest.raises(StoreUnavailable):
            await fleet.watchdog.audit_once()
        fleet.store.error = None
    fleet.clock.now_us += 60 * SECOND
    await fleet.audit_for(4.75)
    age_ms, counted_ms = await fleet.resolve()
    assert (age_ms > 60_000, counted_ms) == (True, 0)


async def test_after_the_silence_and_its_aftermath_it_counts_again() -> None:
    fleet = Fleet()
    await fleet.audit_for(0.5)
    fleet.clock.now_us += 60 * SECOND
    await fleet.audit_for(10.25)
    assert (await fleet.resolve())[1] == 10_000 - AFTERMATH_US // 1000


async def test_a_stopped_shard_that_wakes_up_has_the_bound_from_then_on() -> None:
    fleet = Fleet()
    fleet.store.manifests = MANIFESTS | {T: summary(T, 90, living=False)}
    await fleet.audit_for(10)
    [standing] = fleet.watchdog.report()
    assert (standing["resolved_us"], standing["counted_ms"]) == (None, standing["age_ms"])
    fleet.store.manifests = MANIFESTS
    await fleet.audit_for(2.25)
    assert (await fleet.resolve())[1] == 2_000


async def test_its_lease_may_come_back_after_its_last_script() -> None:
    fleet = Fleet()
    fleet.store.manifests = MANIFESTS | {T: summary(T, 90, living=False)}
    await fleet.audit_for(10)
    assert (await fleet.resolve())[1] > 10_000
    fleet.store.manifests = MANIFESTS
    await fleet.watchdog.audit_once()
    assert fleet.watchdog.report()[0]["counted_ms"] == 0


async def test_a_third_shards_pause_explains_nothing() -> None:
    fleet = Fleet()
    fleet.store.manifests = MANIFESTS | {"arena-7": summary("arena-7", 90, living=False)}
    await fleet.audit_for(5)
    fleet.store.manifests = MANIFESTS | {"arena-7": summary("arena-7", 90)}
    await fleet.audit_for(1)
    age_ms, counted_ms = await fleet.resolve()
    assert age_ms == counted_ms > 6_000
