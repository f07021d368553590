"""The book of findings, and the loop around it, on a store and a clock of the test's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from shardfleet_operator.watchdog import Finding, FindingBook, ManifestSummary, Verdict, VerdictKind, Watchdog, judge
from shardfleet_operator.watchdog.audit import CENSUS_DUTY, rest_us
from shardfleet_operator.watchdog.repairs import AnyRepair
from shardfleet_shard.core.journal_requests import ShardRecord
from shardfleet_shard.core.requests import Outcome
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import StoreUnavailable

from .test_judge import MANIFESTS, SWITCH_US, THRESHOLD_US, Record, S, T

LATE_US = SWITCH_US + THRESHOLD_US + 1


def verdicts(*records: Record, now_us: int = LATE_US) -> list[Verdict]:
    return judge(records, MANIFESTS, now_us)


class FakeClock:
    def __init__(self, now_us: int = LATE_US) -> None:
        self.now_us = now_us

    def now_unix_us(self) -> int:
        return self.now_us

    def boottime_us(self) -> int:
        return self.now_us


class FakeStore:
    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self.error: Exception | None = None
        self.audits = 0
        self.wanted = 0
        self.reached = asyncio.Event()
        self.manifests: Mapping[str, ManifestSummary] = MANIFESTS
        self.manifest_reads = 0
        self.shards: list[ShardRecord] = []
        self.living: list[int] = []
        self.repairs: list[AnyRepair] = []
        self.outcome = Outcome.CANCELED

    async def open_transfers(self, before_us: int) -> Sequence[Record]:
        self.audits += 1
        if self.audits >= self.wanted:
            self.reached.set()
        if self.error is not None:
            raise self.error
        return [record for record in self.records if record.transfer_time_us < before_us]

    async def manifest_summaries(self) -> Mapping[str, ManifestSummary]:
        self.manifest_reads += 1
        return self.manifests

    async def repair(self, request: AnyRepair) -> Outcome:
        self.repairs.append(request)
        return self.outcome

    async def records_and_living(self) -> tuple[Sequence[ShardRecord], np.ndarray]:
        if self.error is not None:
            raise self.error
        return self.shards, np.array(self.living, np.uint64)


# --- the book --------------------------------------------------------------------------------------------------


def test_a_finding_needs_two_audits_that_agree_and_is_said_once() -> None:
    book, limbo = FindingBook(), Record()
    assert book.take(verdicts(limbo), LATE_US) == []
    [finding] = book.take(verdicts(limbo, now_us=LATE_US + 1), LATE_US + 1)
    assert (finding.verdict.kind, finding.since_us, finding.resolved_us) == (VerdictKind.LIMBO, LATE_US + 1, None)
    assert book.take(verdicts(limbo, now_us=LATE_US + 2), LATE_US + 2) == []
    assert book.standing[limbo.id].verdict.age_us == THRESHOLD_US + 3  # kept up to date all the same
    assert book.total == 1


def test_a_verdict_that_stands_for_one_audit_only_is_never_said() -> None:
    book, limbo = FindingBook(), Record()
    for _ in range(3):
        assert book.take(verdicts(limbo), LATE_US) == []
        assert book.take([], LATE_US) == []
    assert book.take(verdicts(limbo), LATE_US) == []
    assert book.take(verdicts(Record(holders=frozenset({T}))), LATE_US) == []
    assert (book.total, book.findings) == (0, [])


def test_a_changed_verdict_is_a_new_finding() -> None:
    book, limbo, due = FindingBook(), Record(), Record(holders=frozenset({T}))
    book.take(verdicts(limbo), 1)
    book.take(verdicts(limbo), 2)
    assert book.take(verdicts(due), 3) == []
    [finding] = book.take(verdicts(due), 4)
    assert finding.verdict.kind is VerdictKind.CLEAR_DUE
    assert [(f.verdict.kind, f.resolved_us) for f in book.findings] == [
        (VerdictKind.LIMBO, 4),
        (VerdictKind.CLEAR_DUE, None),
    ]


def test_a_cleared_transfer_is_resolved() -> None:
    book = FindingBook()
    book.take(verdicts(Record()), 1_000)
    book.take(verdicts(Record()), 2_000)
    [finding] = book.take([], 7_000)
    assert (finding.since_us, finding.resolved_us) == (2_000, 7_000)
    assert str(finding) == "resolved after 5 ms: LIMBO arena-0/1/1"
    assert finding.to_dict()["resolved_us"] == 7_000
    assert book.standing == {} and book.take([], 8_000) == []


def test_the_book_is_bounded() -> None:
    book = FindingBook()
    records = [Record(id=TransferId(S, 1, number)) for number in range(1, 1502)]
    for _ in range(2):
        book.take(verdicts(*records), 1)
    book.take([], 2)
    assert len(book.resolved) == 1000 and book.total == 1501
    assert book.resolved[-1].verdict.transfer.sequence == 1501


# --- the loop --------------------------------------------------------------------------------------------------


async def test_an_audit_with_nothing_overdue_reads_no_manifest() -> None:
    store = FakeStore(Record(transfer_time_us=LATE_US))
    watchdog = Watchdog(store, FakeClock())
    assert await watchdog.audit_once() == [] and await watchdog.audit_once() == []
    assert store.manifest_reads == 0


@pytest.mark.parametrize("listening", [True, False])
async def test_news_go_to_the_listener_or_else_to_the_log(caplog: pytest.LogCaptureFixture, listening: bool) -> None:
    store, news = FakeStore(Record()), list[Finding]()
    watchdog = Watchdog(store, FakeClock(), on_news=news.append if listening else None)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            await watchdog.audit_once()
        store.records.clear()
        await watchdog.audit_once()
    if not listening:
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        return
    assert caplog.records == []
    assert [(finding.verdict.kind, finding.resolved_us is None) for finding in news] == [
        (VerdictKind.LIMBO, True),
        (VerdictKind.LIMBO, False),
    ]


async def run_for(watchdog: Watchdog, store: FakeStore, audits: int) -> None:
    store.wanted = store.audits + audits
    store.reached.clear()
    task = asyncio.create_task(watchdog.run())
    await store.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_redis_away_is_said_once_and_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    watchdog = Watchdog(store, FakeClock(), interval_us=2_000, census_interval_us=2_000)
    with caplog.at_level(logging.INFO):
        store.error = StoreUnavailable("connection refused")
        await run_for(watchdog, store, 5)
        store.error = StoreUnavailable("timed out")
        await run_for(watchdog, store, 5)
        store.error = None
        await run_for(watchdog, store, 5)
    said = [record.message for record in caplog.records if record.name.startswith("shardfleet")]
    assert said == [
        "watchdog: nothing is audited while Redis does not answer: connection refused",
        "watchdog: Redis answers again",
    ]


async def test_words_go_to_who_wants_them(caplog: pytest.LogCaptureFixture) -> None:
    store, words = FakeStore(), list[str]()
    store.error = StoreUnavailable("connection refused")
    watchdog = Watchdog(store, FakeClock(), interval_us=2_000, census_interval_us=0, say=words.append)
    await run_for(watchdog, store, 3)
    store.error = None
    await run_for(watchdog, store, 3)
    assert [word.split(":")[1] for word in words] == [
        " nothing is audited while Redis does not answer",
        " Redis answers again",
    ]
    assert caplog.records == []


async def test_a_failing_audit_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.error = RuntimeError("odd")
    watchdog = Watchdog(store, FakeClock(), interval_us=2_000, census_interval_us=0)
    await run_for(watchdog, store, 4)
    assert [record.message for record in caplog.records] == ["watchdog: audit failed: RuntimeError: odd"]


def test_a_census_rests_by_what_it_cost_and_one_that_waited_in_vain_by_how_long_it_waited() -> None:
    assert rest_us(1_600_000, 10_000, duty=CENSUS_DUTY, answered=True) == 1_590_000
    assert rest_us(1_600_000, 500_000, duty=CENSUS_DUTY, answered=True) == 10_000_000
    assert rest_us(1_600_000, 30_000_000, duty=CENSUS_DUTY, answered=False) == 30_000_000
    assert rest_us(250_000, 500_000, duty=0, answered=True) == 25_000


async def test_the_census_is_kept_and_what_it_proves_is_said(caplog: pytest.LogCaptureFixture) -> None:
    from .test_census import shard

    store, clock = FakeStore(), FakeClock()
    store.living = [1, 2]
    watchdog = Watchdog(store, clock)
    for tick in (10, 50):
        store.shards = [shard("a", {1: 1}, tick=tick)]
        await watchdog.census_once()
        clock.now_us += 2_000_000
    assert watchdog.latest_census is not None
    assert watchdog.latest_census.to_dict() == {
        "expected": 2,
        "owned": 1,
        "passing": 0,
        "frozen": 0,
        "missing": 1,
        "doubled": 0,
    }
    assert [record.message for record in caplog.records] == ["census: 1 missing: 2; no row is left of 1"]
