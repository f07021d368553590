"""What happened in a run, as lines to read: of one entity and its transfers where the failure names one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from shardfleet_shard.core.frames import Answer
from shardfleet_shard.core.requests import Begin, Done, Refused, RefusedReason

from .fleet import brief
from .plan import Plan
from .process import Process
from .runs import Failure, run_plan

ALWAYS = ("fault", "start", "exit", "layout", "platform", "finding")
"""Notes that are of interest whatever the failure is about."""
MAX_LINES = 120


def trace_lines(plan: Plan, failure: Failure) -> list[str]:
    """The run of ``plan`` once more; of more than ``MAX_LINES`` the last ones."""
    notes: list[tuple[int, tuple[Any, ...]]] = []
    run_plan(plan, record=lambda now_us, what: notes.append((now_us, what)))
    found = re.search(r"entit(?:y|ies) \[?(\d+)", failure.message)
    entity = int(found[1]) if found else None
    transfers = _transfers_of(entity, notes)
    transfers.update(word.rstrip(",") for word in failure.message.split() if word.count("/") == 2)
    ticks = _Ticks(entity)
    lines, last, times = [], "", 1
    for now_us, what in notes:
        if what[0] == "tick":
            lines += ticks.take(now_us, what)
        elif (line := _line(what, entity, transfers)) is not None:
            between = ticks.flush()
            if line == last and not between:
                times += 1
                lines[-1] = f"{lines[-1].removesuffix(f' ({times - 1} times on end)')} ({times} times on end)"
                continue
            lines += [*between, f"{now_us / 1000:9.1f} ms  {line}"]
            last, times = line, 1
    lines += ticks.flush()
    left_out = len(lines) - MAX_LINES
    return lines if left_out <= 0 else [f"({left_out} earlier lines)", *lines[left_out:]]


def _transfers_of(entity: int | None, notes: list[tuple[int, tuple[Any, ...]]]) -> set[str]:
    transfers = set()
    for _, what in notes:
        for part in what[1:]:
            if isinstance(part, Begin) and (entity is None or entity in np.frombuffer(part.ids, "<u8")):
                transfers.add(str(part.transfer))
    return transfers


def _line(what: tuple[Any, ...], entity: int | None, transfers: set[str]) -> str | None:
    kind, *parts = what
    about = next((str(part.transfer) for part in parts if getattr(part, "transfer", None) is not None), "")
    refused = any(isinstance(p, Refused) and p.reason in (RefusedReason.EPOCH, RefusedReason.GENERATION) for p in parts)
    of_it = isinstance(parts[-1], list) and entity in parts[-1]
    recovers = len(parts) > 1 and type(parts[1]).__name__ == "Recover"
    if kind not in ALWAYS and about not in transfers and not (refused or of_it or recovers):
        return None
    words = [_word(part) for part in parts]
    return " ".join([kind, *words, f"[{_short(about)}]" if about else ""]).rstrip()


def _word(part: Any) -> str:
    match part:
        case Answer():
            return "Answer accepted" if part.accepted else f"Answer refused ({part.reason})"
        case Done():
            return f"-> {part.outcome}"
        case Refused():
            return f"-> refused, {part.reason} {part.detail}"
        case Process():
            return brief(part)
        case _:
            return brief(part)


def _short(transfer: str) -> str:
    """Epochs are long and tell a reader nothing."""
    source, epoch, sequence = transfer.rsplit("/", 2)
    return f"{source}/..{epoch[-7:]}/{sequence}"


class _Ticks:
    """Ticks of one entity, run together as long as one process simulates it without a gap."""

    def __init__(self, entity: int | None) -> None:
        self._entity = entity
        self._open: tuple[int, str, int, int] | None = None
        """(when it began, process, first, last)"""

    def take(self, now_us: int, what: tuple[Any, ...]) -> list[str]:
        _, process, tick, ids, _ = what
        if self._entity is None or self._entity not in np.frombuffer(ids, "<u8"):
            return []
        name = brief(process)
        if self._open is not None and self._open[1] == name and self._open[3] == tick - 1:
            self._open = (*self._open[:3], tick)
            return []
        lines = self.flush()
        self._open = (now_us, name, tick, tick)
        return lines

    def flush(self) -> list[str]:
        if self._open is None:
            return []
        now_us, name, first, last = self._open
        self._open = None
        ticks = f"tick {first}" if first == last else f"ticks {first}..{last}"
        return [f"{now_us / 1000:9.1f} ms  {name} simulates {self._entity} at {ticks}"]
