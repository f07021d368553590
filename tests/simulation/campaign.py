"""Many seeds on all cores: totals, what is too little, and the figures for the docs."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from .faults import ENDINGS, KINDS, LOSSES
from .hits import STATES
from .plan import make_plan
from .runs import Result, run_plan

MIN_COMPLETED = 20
MIN_FAULTS = 3
PAIRS_FROM_SEEDS = 2_000
"""From so many seeds on every kind of fault must have hit every state of a transfer."""
CHUNK = 8
"""Seeds that a process takes at once: a second or two of work."""
BUCKET_US = 50_000
STRIKING = [*KINDS, *ENDINGS, *LOSSES]
"""Kinds that are to hit every state."""
PAIRS = [f"{state} / {kind}" for kind in STRIKING for state in STATES]


@dataclass(slots=True)
class Totals:
    """Sums over seeds ``first .. next_seed - 1``.

    Attributes:
        owned_again, cleared: runs by how long after the last fault A2 and A3 held, in steps of ``BUCKET_US``.
    """

    first: int
    next_seed: int
    completed: int = 0
    canceled: int = 0
    struck: int = 0
    virtual_us: int = 0
    cpu_s: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    """'state / kind'"""
    owned_again: Counter[int] = field(default_factory=Counter)
    cleared: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    """(seed, rule, message)"""

    @property
    def seeds(self) -> int:
        return self.next_seed - self.first

    def add(self, result: Result, cpu_s: float) -> None:
        """Results come in the order of their seeds."""
        assert result.seed == self.next_seed
        self.next_seed += 1
        self.completed += result.completed
        self.canceled += result.canceled
        self.struck += result.struck
        self.virtual_us += result.virtual_us
        self.cpu_s += cpu_s
        self.kinds += result.kinds
        self.pairs += Counter({f"{state} / {kind}": count for (state, kind), count in result.pairs.items()})
        if result.failure is not None:
            self.failures.append((result.seed, result.failure.rule, result.failure.message))
            return
        self.owned_again[result.owned_again_us // BUCKET_US] += 1
        self.cleared[result.cleared_us // BUCKET_US] += 1

    def complaints(self) -> list[str]:
        """Why this is red; empty: it is green."""
        found = [f"seed {seed} breaks {rule}: {message}" for seed, rule, message in self.failures]
        if self.completed < MIN_COMPLETED * self.seeds:
            found.append(f"{self.completed / self.seeds:.1f} completed transfers a seed, fewer than {MIN_COMPLETED}")
        if self.struck < MIN_FAULTS * self.seeds:
            found.append(f"{self.struck / self.seeds:.1f} faults a seed, fewer than {MIN_FAULTS}")
        if self.seeds >= PAIRS_FROM_SEEDS:
            never = [
                f"{state} / {kind}" for kind in STRIKING for state in STATES if not self.pairs[f"{state} / {kind}"]
            ]
            found += [f"never hit: {pair}" for pair in never]
        return found

    # --- kept between slices ------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Whole or not at all: a slice may be killed while it writes."""
        temporary = path.with_suffix(".new")
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {name: getattr(self, name) for name in self.__slots__}  # asdict() makes pairs of a Counter's items
        temporary.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        data = json.loads(path.read_text())
        for name in ("kinds", "pairs"):
            data[name] = Counter(data[name])
        for name in ("owned_again", "cleared"):
            data[name] = Counter({int(bucket): count for bucket, count in data[name].items()})
        data["failures"] = [tuple(failure) for failure in data["failures"]]
        return cls(**data)


def within_us(buckets: Counter[int], share: float) -> int:
    """So long after the last fault ``share`` of the runs were done, rounded up to a bucket."""
    left = share * sum(buckets.values())
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return (bucket + 1) * BUCKET_US
    return 0


# --- running ---------------------------------------------------------------------------------------------------


@contextmanager
def wrong(variant: str) -> Iterator[None]:
    """The product with one rule broken; '': as it is."""
    with pytest.MonkeyPatch.context() as patch:
        if variant:
            from .variants import VARIANTS  # imports the whole product, which a run without variants need not

            VARIANTS[variant].apply(patch)
        yield


def run_chunk(job: tuple[str, list[int], bool]) -> list[tuple[Result, float]]:
    """(variant, seeds, stop at the first failure) -> results with their processor time."""
    variant, seeds, until_failure = job
    results = []
    gc.disable()  # a tenth of the time; what a chunk leaves behind is collected after it
    with wrong(variant):
        for seed in seeds:
            started_s = time.process_time()
            result = run_plan(make_plan(seed))
            results.append((result, time.process_time() - started_s))
            if until_failure and result.failure is not None:
                break
    gc.enable()
    gc.collect()
    return results


def run_seeds(totals: Totals, until: int, *, processes: int, each: Callable[[Totals], bool]) -> None:
    """Adds the seeds from ``totals.next_seed`` up to ``until``, in order; ``each`` says after each chunk to go on."""
    jobs = [("", chunk, False) for chunk in _chunks(range(totals.next_seed, until))]
    with multiprocessing.Pool(processes) as pool:
        for results in pool.imap(run_chunk, jobs):
            for result, cpu_s in results:
                totals.add(result, cpu_s)
            if not each(totals):
                pool.terminate()
                return


def find(variant: str, seeds: Iterable[int], *, processes: int) -> Result | None:
    """The first of ``seeds`` that finds ``variant``, or None."""
    jobs = [(variant, chunk, True) for chunk in _chunks(seeds)]
    with multiprocessing.Pool(processes) as pool:
        for results in pool.imap(run_chunk, jobs):
            if results and results[-1][0].failure is not None:
                pool.terminate()
                return results[-1][0]
    return None


def _chunks(seeds: Iterable[int]) -> list[list[int]]:
    ordered = list(seeds)
    return [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]


def cores() -> int:
    return os.cpu_count() or 1


# --- words -----------------------------------------------------------------------------------------------------


def figures(totals: Totals) -> str:
    """Markdown, as docs/reliability.md has it."""
    seeds = totals.seeds
    lines = [
        f"Seeds {totals.first} to {totals.next_seed - 1}: {len(totals.failures)} failed.",
        "",
        "| | |",
        "| --- | ---: |",
        f"| runs | {seeds:,} |",
        f"| virtual time | {totals.virtual_us / 3.6e9:,.1f} h |",
        f"| processor time a run | {totals.cpu_s / seeds * 1000:,.0f} ms |",
        f"| transfers completed | {totals.completed:,} ({totals.completed / seeds:.1f} a run) |",
        f"| transfers canceled | {totals.canceled:,} |",
        f"| faults | {totals.struck:,} ({totals.struck / seeds:.1f} a run) |",
        f"| pairs of a state and a fault | {sum(n > 0 for n in totals.pairs.values())} of {len(PAIRS)} |",
        f"| every entity simulated again, after the last fault | {_times(totals.owned_again)} |",
        f"| every record of a transfer gone, after the last fault | {_times(totals.cleared)} |",
        "",
        "How often each fault struck, and how often while a transfer was in that state at the side named:",
        "",
        f"| fault | struck | {' | '.join(STATES)} |",
        f"| --- |{' ---: |' * (len(STATES) + 1)}",
    ]
    for kind in STRIKING:
        hit = " | ".join(f"{totals.pairs[f'{state} / {kind}']:,}" for state in STATES)
        lines.append(f"| {kind} | {totals.kinds[kind]:,} | {hit} |")
    return "\n".join(lines)


def _times(buckets: Counter[int]) -> str:
    half, most, longest = (f"{within_us(buckets, share) / 1000:,.0f} ms" for share in (0.5, 0.99, 1))
    return f"half within {half}, 99 % within {most}, all within {longest}"
