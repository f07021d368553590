"""The production census beside a fleet on virtual time: torn reads do no harm, and what is lost is restored."""

from __future__ import annotations

import pytest
from shardfleet_operator.census import Census, CensusHistory
from shardfleet_shard.core.journal_requests import EntryKind

from . import watch
from .clocks import START_US
from .faults import Fault
from .fleet import Fleet
from .plan import Plan, make_plan
from .variants import VARIANTS

TORN = VARIANTS["census-two-moments"].seed


def test_a_reading_misses_who_moves_meanwhile_and_nobody_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[Census] = []
    confirm = CensusHistory.confirm

    def noting(self: CensusHistory, latest: Census) -> Census:
        readings.append(latest)
        return confirm(self, latest)

    monkeypatch.setattr(CensusHistory, "confirm", noting)
    fleet = Fleet(make_plan(TORN))
    fleet.run()
    assert len(readings) >= 2
    assert any(len(reading.missing) for reading in readings)
    assert not fleet.redis.store.state.counters["repaired_entities"]
    assert not fleet.watch.watchdog.counts.repairs


def test_a_row_that_its_owner_never_got_is_restored_from_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis loses an acceptance with its ``in``, its target dies, its source, which still shows the row, is stopped."""
    monkeypatch.setattr(watch, "GAPS_US", (500,))
    nothing = Fault(kind="clock drifts", at_us=500_000)  # so that the plan is not calm
    fleet = Fleet(Plan(seed=3, entities=1, faulty_us=9_000_000, faults=(nothing,)))
    lost: list[int] = []

    def lose() -> None:
        state = fleet.redis.store.state
        for transfer, record in state.records.items():
            if record.state == "accepted" and record.holders == {transfer.source}:
                fleet.processes[transfer.source].stopped_until_us = fleet.now_us + 5_000_000
                fleet.fault_until(fleet.now_us + 5_000_000)
                entries = state.journal(record.target).entries
                [brought] = [entry for entry in entries if entry.kind is EntryKind.IN and entry.transfer == transfer]
                entries.remove(brought)
                fleet.platform.crash(fleet.processes[record.target])
                state.forget(transfer, "completed")
                lost.append(int.from_bytes(brought.rows[:8], "little"))
                return
        fleet.at(fleet.now_us + 1_000, lose)

    fleet.at(START_US + 1_000_000, lose)
    fleet.run()
    assert fleet.watch.watchdog.counts.repairs == {"restored": len(lost)}
    assert [len(held) for entity, held in fleet.owners().items() if entity in lost] == [1]
