"""The watchdog's loop: read the active index, judge, keep the book of findings, repair; and the census beside it.

A finding is opened when two audits in a row come to the same verdict (a machine that was suspended wakes up with
every open transfer overdue, and needs a moment), said once, changed when the verdict changes, and marked as
resolved when the transfer is gone or in order again. What a repair can end (repairs.py) is repaired as soon as its
finding is opened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from shardfleet_shard.core.census_requests import RestoreEntity
from shardfleet_shard.core.clock import Clock
from shardfleet_shard.core.columns import U64
from shardfleet_shard.core.damage import words_of
from shardfleet_shard.core.journal_requests import ShardRecord
from shardfleet_shard.core.repair_requests import Repair
from shardfleet_shard.core.requests import Outcome
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.errors import StoreError

from ..census import Census, CensusHistory, census
from ..census_repairs import CensusRepairs, census_repairs
from .bounds import FaultBook, counted_age_us
from .judge import HANDOFF_DISCREPANCY_THRESHOLD_US, ManifestSummary, OpenTransfer, Verdict, judge
from .repairs import AnyRepair, RecoveryBook, census_words, is_repairable

log = logging.getLogger(__name__)

AUDIT_INTERVAL_US = 250_000
LEASE_US = 3_000_000
CONVERGENCE_US = 2_000_000
"""Past the discrepancy threshold, how much longer a transfer's record may live, whatever failed."""
CENSUS_INTERVAL_US = 1_600_000
CENSUS_DUTY = 20
"""A census that took t is followed by at least 20 t of rest: counting a large world must not become its load."""
MAX_RESOLVED = 1_000
"""Resolved findings kept for the report; the oldest go first, and are still in ``FindingBook.total``."""


def rest_us(interval_us: int, took_us: int, *, duty: int, answered: bool) -> int:
    """How long to rest after something that is done each ``interval_us`` and took ``took_us``, in microseconds.

    Args:
        duty: the rest is at least so many times as long. What was not ``answered`` mostly waited, and made no load: its
            rest is as long as it waited and no longer, or half a minute without Redis ends in ten without a census.
    """
    return max(interval_us - took_us, took_us * (duty if answered else min(duty, 1)), interval_us // 10)


Aside = Callable[..., Awaitable[Any]]
"""``asyncio.to_thread``, or whatever else awaits what the function gives for its arguments."""


class WatchdogStore(Protocol):
    """What the watchdog reads, and its repair. Any of these raises ``StoreError`` where Redis does not answer."""

    @property
    def prefix(self) -> str:
        """Of the fleet's keys, to name one that is damaged."""

    async def open_transfers(self, before_us: int) -> Sequence[OpenTransfer]:
        """Active records with a transfer time before ``before_us``, holders included."""

    async def manifest_summaries(self) -> Mapping[str, ManifestSummary]:
        """Header of every shard's last manifest, by shard."""

    async def records_and_living(self) -> tuple[Sequence[ShardRecord], U64]:
        """Every manifest and journal with rows, and the registry of living ids."""

    async def repair(self, request: AnyRepair) -> Outcome | None:
        """CANCELED, CLEARED or OK where something was put right, anything else where it was not."""


@dataclass(slots=True)
class WatchdogCounts:
    """What a watchdog has done so far; may outlive one, where another follows."""

    verdicts: dict[str, int] = field(default_factory=dict)
    """Findings opened, by kind."""
    repairs: dict[str, int] = field(default_factory=dict)
    """'canceled' and 'cleared': transfers. 'restored' and 'removed': entities, by the census."""

    def judged(self, kind: str) -> None:
        self.verdicts[kind] = self.verdicts.get(kind, 0) + 1

    def repaired(self, how: str) -> None:
        self.repairs[how] = self.repairs.get(how, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A verdict and its life, in Unix microseconds.

    Attributes:
        seen_us: when it was last seen to stand; ``verdict`` is as of then.
        resolved_us: None while it stands.
        repair: how the watchdog ended it, 'canceled' or 'cleared'; '' where it did not.
    """

    verdict: Verdict
    since_us: int
    seen_us: int
    resolved_us: int | None = None
    repair: str = ""

    @property
    def switch_us(self) -> int:
        return self.seen_us - self.verdict.age_us

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.verdict.to_dict(),
            "since_us": self.since_us,
            "resolved_us": self.resolved_us,
            "repair": self.repair,
        }

    def __str__(self) -> str:
        if self.resolved_us is None:
            return str(self.verdict)
        lasted_ms = (self.resolved_us - self.since_us) // 1000
        ended = f"repaired ({self.repair})" if self.repair else "resolved"
        return f"{ended} after {lasted_ms} ms: {self.verdict.kind} {self.verdict.transfer}"


@dataclass(slots=True)
class FindingBook:
    """What stands and what has been resolved. Pure: verdicts in, news out."""

    standing: dict[TransferId, Finding] = field(default_factory=dict)
    resolved: list[Finding] = field(default_factory=list)
    total: int = 0
    """Findings ever opened."""
    _suspected: dict[TransferId, Verdict] = field(default_factory=dict)

    def take(self, verdicts: Sequence[Verdict], now_us: int) -> list[Finding]:
        """One audit's verdicts. Returns the findings that are new, changed or resolved by it, sorted."""
        news = []
        latest = {verdict.transfer: verdict for verdict in verdicts}
        for transfer, verdict in sorted(latest.items()):
            before, suspected = self.standing.get(transfer), self._suspected.get(transfer)
            if before is not None and before.verdict.standing == verdict.standing:
                self.standing[transfer] = replace(before, verdict=verdict, seen_us=now_us)
            elif suspected is not None and suspected.standing == verdict.standing:
                if before is not None:
                    self._resolve(before, now_us)
                self.standing[transfer] = Finding(verdict=verdict, since_us=now_us, seen_us=now_us)
                self.total += 1
                news.append(self.standing[transfer])
        for transfer in sorted(self.standing.keys() - latest.keys()):
            news.append(self._resolve(self.standing.pop(transfer), now_us))
        self._suspected = latest
        return news

    def repaired(self, transfer: TransferId, how: str) -> None:
        """The standing finding about ``transfer`` was ended by a repair; the next audit will miss it."""
        self.standing[transfer] = replace(self.standing[transfer], repair=how)

    @property
    def findings(self) -> list[Finding]:
        """All that are kept, resolved ones first, in the order of their resolution."""
        return [*self.resolved, *(finding for _, finding in sorted(self.standing.items()))]

    def _resolve(self, finding: Finding, now_us: int) -> Finding:
        done = replace(finding, resolved_us=now_us)
        self.resolved.append(done)
        del self.resolved[:-MAX_RESOLVED]
        return done


class Watchdog:
    """Audits one fleet until it is canceled.

    Args:
        store: where it reads.
        threshold_us: a transfer is judged this long after its switch time.
        interval_us: between two audits.
        lease_us: length of the shards' leases.
        census_interval_us: between two censuses at the least; 0: no census.
        on_news: gets each new, changed or resolved finding; without it they are logged.
        say: gets what is to be said of the watching itself (Redis away, entities missing); without it, the log does.
        counts: what it does is counted there.
        aside: runs what computes for long, so that nobody else waits for it.
    Attributes:
        book: standing and resolved findings.
        recovery: whose recovery is wanted, for a transfer cannot end without it.
        latest_census: as confirmed by the ones before it; None before the first.
    """

    def __init__(
        self,
        store: WatchdogStore,
        clock: Clock,
        *,
        threshold_us: int = HANDOFF_DISCREPANCY_THRESHOLD_US,
        interval_us: int = AUDIT_INTERVAL_US,
        lease_us: int = LEASE_US,
        census_interval_us: int = CENSUS_INTERVAL_US,
        on_news: Callable[[Finding], None] | None = None,
        say: Callable[[str], None] | None = None,
        counts: WatchdogCounts | None = None,
        aside: Aside = asyncio.to_thread,
    ) -> None:
        self.counts = counts or WatchdogCounts()
        self.book = FindingBook()
        self.recovery = RecoveryBook(lease_us)
        self.latest_census: Census | None = None
        self._store = store
        self._clock = clock
        self._threshold_us = threshold_us
        self._interval_us = interval_us
        self._census_interval_us = census_interval_us
        self._on_news = on_news or _log_finding
        self._say_words = say
        self._aside = aside
        self._history = CensusHistory()
        self._faults = FaultBook(interval_us=interval_us, lease_us=lease_us, threshold_us=threshold_us)
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Audits and counts, each on its interval. No error ends it; each is said once until it is over."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("audit", self.audit_once, self._interval_us, duty=0))
            if self._census_interval_us:
                tasks.create_task(self._repeat("census", self.census_once, self._census_interval_us, duty=CENSUS_DUTY))

    async def audit_once(self) -> list[Finding]:
        """Reads, judges and repairs once; returns what is new. Raises ``StoreError``."""
        now_us = self._clock.now_unix_us()
        try:
            overdue = await self._store.open_transfers(now_us - self._threshold_us)
            # Manifests are read only where there is something to explain: the usual audit is one small request.
            explain = self._faults.wants_leases(now_us, standing=bool(overdue or self.book.standing))
            manifests = await self._store.manifest_summaries() if explain else {}
        except StoreError:
            self._faults.unanswered()
            raise
        answered_us = self._clock.now_unix_us()
        self._faults.answered(answered_us)
        self._faults.take_leases(manifests, answered_us)
        news = self.book.take(judge(overdue, manifests, now_us, self._threshold_us), now_us)
        for finding in news:
            if finding.resolved_us is None:
                self.counts.judged(str(finding.verdict.kind))
            self._on_news(finding)
        standing = [finding.verdict for _, finding in sorted(self.book.standing.items())]
        for shard in sorted(self.recovery.take(standing, manifests, answered_us)):
            self._say(f"recovery {shard}", f"watchdog: {shard} has no lease, and transfers wait for its recovery")
        for shard in {key.removeprefix("recovery ") for key in self._said if key.startswith("recovery ")}:
            if shard not in self.recovery.wanted:
                self._unsay(f"recovery {shard}", f"watchdog: no transfer waits for {shard} any more")
        for verdict in filter(is_repairable, standing):
            outcome = await self._store.repair(Repair(transfer=verdict.transfer))
            if outcome in (Outcome.CANCELED, Outcome.CLEARED):
                self.book.repaired(verdict.transfer, str(outcome))
                self.counts.repaired(str(outcome))
        return news

    def report(self) -> list[dict[str, Any]]:
        """All findings that are kept, and ``counted_ms`` with each: how long it stood after the last fault's end."""
        bound_us = self._threshold_us + CONVERGENCE_US

        def counted_ms(finding: Finding) -> int:
            faults = self._faults.concerning(finding.verdict.source, finding.verdict.target)
            return counted_age_us(finding.switch_us, finding.seen_us, faults, bound_us) // 1000

        return [{**finding.to_dict(), "counted_ms": counted_ms(finding)} for finding in self.book.findings]

    async def census_once(self) -> Census:
        """Counts the fleet once, and puts right what can be. Raises ``StoreError``."""
        now_us = self._clock.now_unix_us()
        records, living = await self._store.records_and_living()
        reading_us = self._clock.now_unix_us() - now_us
        counted = await self._aside(census, records, living, now_us, reading_us=reading_us)
        self.latest_census = confirmed = self._history.confirm(counted)
        repairs = await self._aside(census_repairs, records, confirmed.missing.tolist(), confirmed.doubled.tolist())
        self._say_census(confirmed, repairs)
        for request in repairs.requests:
            if await self._store.repair(request) is Outcome.OK:
                self.counts.repaired("restored" if isinstance(request, RestoreEntity) else "removed")
                (self._say_words or log.warning)(f"census: {census_words(request)}")
        return confirmed

    def _say_census(self, confirmed: Census, repairs: CensusRepairs) -> None:
        if confirmed.damages:
            self._say("damaged", f"census: {words_of(confirmed.damages, self._store.prefix)}")
        else:
            self._unsay("damaged", "census: no record is damaged any more")
        for word, ids in (("missing", confirmed.missing), ("doubled", confirmed.doubled)):
            if len(ids):
                some = ", ".join(map(str, ids[:10].tolist())) + (", ..." if len(ids) > 10 else "")
                lost = f"; no row is left of {len(repairs.lost)}" if word == "missing" and repairs.lost else ""
                self._say(word, f"census: {len(ids)} {word}: {some}{lost}")
            else:
                self._unsay(word, f"census: none {word} any more")

    async def _repeat(self, what: str, once: Callable[[], Awaitable[object]], interval_us: int, *, duty: int) -> None:
        while True:
            started_us, answered = self._clock.now_unix_us(), True
            try:
                await once()
                self._unsay("redis", "watchdog: Redis answers again")
                self._unsay(what, f"watchdog: {what} goes on")
            except StoreError as error:
                answered = False
                # Once an outage, whoever of the two loops meets it first and however its words change.
                if "redis" not in self._said:
                    self._say("redis", f"watchdog: nothing is audited while Redis does not answer: {error}")
            except Exception as error:
                self._say(what, f"watchdog: {what} failed: {type(error).__name__}: {error}", error)
            took_us = max(0, self._clock.now_unix_us() - started_us)
            await asyncio.sleep(rest_us(interval_us, took_us, duty=duty, answered=answered) / 1_000_000)

    def _say(self, key: str, message: str, error: Exception | None = None) -> None:
        if self._said.get(key) != message:
            self._said[key] = message
            if self._say_words is not None:
                self._say_words(message)
            if self._say_words is None or error is not None:
                log.warning("%s", message, exc_info=error)

    def _unsay(self, key: str, message: str) -> None:
        if self._said.pop(key, None) is not None:
            (self._say_words or log.info)(message)


def _log_finding(finding: Finding) -> None:
    level, extra = logging.INFO if finding.resolved_us else logging.WARNING, {"transfer": finding.verdict.transfer}
    log.log(level, "watchdog: %s", finding, extra=extra)
