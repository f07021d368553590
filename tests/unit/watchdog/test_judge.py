"""Every state times every holder set times both sides of the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from shardfleet_operator.watchdog import (
    HANDOFF_DISCREPANCY_THRESHOLD_US,
    ManifestSummary,
    VerdictKind,
    judge,
)
from shardfleet_shard.core.transfer import TransferId

S, T, X = "arena-0", "arena-1", "arena-7"
SWITCH_US = 1_700_000_000_000_000
THRESHOLD_US = HANDOFF_DISCREPANCY_THRESHOLD_US


FIRST = TransferId(S, 1, 1)


@dataclass(frozen=True)
class Record:
    id: TransferId = FIRST
    source: str = S
    target: str = T
    state: str = "accepted"
    transfer_time_us: int = SWITCH_US
    switch_tick: int = 100
    count: int = 3
    holders: frozenset[str] = frozenset()


def summary(shard: str, tick: int, *, living: bool = True) -> ManifestSummary:
    return ManifestSummary(shard=shard, epoch=1, current_epoch=1, tick=tick, unix_us=SWITCH_US, living=living)


MANIFESTS = {S: summary(S, 99), T: summary(T, 101)}
K = VerdictKind
TABLE: dict[tuple[str, frozenset[str]], VerdictKind] = {
    ("started", frozenset()): K.STALLED_TRANSFER,
    ("started", frozenset({S})): K.STALLED_TRANSFER,
    ("started", frozenset({T})): K.STALLED_TRANSFER,
    ("started", frozenset({S, T})): K.STALLED_TRANSFER,
    ("started", frozenset({X})): K.DUAL_AUTHORITY,
    ("started", frozenset({S, X})): K.DUAL_AUTHORITY,
    ("accepted", frozenset()): K.LIMBO,
    ("accepted", frozenset({S})): K.STALLED_TRANSFER,
    ("accepted", frozenset({T})): K.CLEAR_DUE,
    ("accepted", frozenset({S, T})): K.DUAL_AUTHORITY,
    ("accepted", frozenset({X})): K.DUAL_AUTHORITY,
    ("accepted", frozenset({T, X})): K.DUAL_AUTHORITY,
    ("accepted", frozenset({S, T, X})): K.DUAL_AUTHORITY,
}


@pytest.mark.parametrize("age_us", [-60_000, 0, 1, THRESHOLD_US - 1, THRESHOLD_US])
@pytest.mark.parametrize(("state", "holders"), TABLE)
def test_nothing_is_judged_up_to_the_threshold(state: str, holders: frozenset[str], age_us: int) -> None:
    assert judge([Record(state=state, holders=holders)], MANIFESTS, SWITCH_US + age_us) == []


@pytest.mark.parametrize("age_us", [THRESHOLD_US + 1, THRESHOLD_US + 60_000_000])
@pytest.mark.parametrize(("state", "holders"), TABLE)
def test_past_the_threshold(state: str, holders: frozenset[str], age_us: int) -> None:
    [verdict] = judge([Record(state=state, holders=holders)], MANIFESTS, SWITCH_US + age_us)
    assert verdict.kind is TABLE[state, holders]
    assert verdict.holders == tuple(sorted(holders))
    assert (verdict.transfer, verdict.entities, verdict.age_us) == (TransferId(S, 1, 1), 3, age_us)
    assert verdict.meaning and verdict.remedy


def test_a_source_that_took_its_target_over_has_still_to_take_them_up() -> None:
    [verdict] = judge([Record(target=S, holders=frozenset({S}))], MANIFESTS, SWITCH_US + THRESHOLD_US + 1)
    assert verdict.kind is K.STALLED_TRANSFER


def test_the_threshold_is_a_knob() -> None:
    record = Record(holders=frozenset())
    assert judge([record], MANIFESTS, SWITCH_US + 200_001, 200_000)[0].kind is K.LIMBO
    assert judge([record], MANIFESTS, SWITCH_US + 200_000, 200_000) == []


def test_verdicts_are_sorted_by_transfer() -> None:
    records = [Record(id=TransferId(S, 1, number)) for number in (3, 1, 2)]
    verdicts = judge(records, {}, SWITCH_US + THRESHOLD_US + 1)
    assert [verdict.transfer.sequence for verdict in verdicts] == [1, 2, 3]


@pytest.mark.parametrize(
    ("holders", "manifests", "says"),
    [
        ({S, T}, {S: summary(S, 100)}, "it may simulate them too"),
        ({S, T}, {S: summary(S, 98, living=False)}, "arena-0 has no lease"),
        ({S, T}, {S: summary(S, 98, living=False)}, "when it recovers"),
        (set(), {T: summary(T, 98, living=False)}, "arena-1 has no lease"),
        (set(), {T: summary(T, 98, living=False)}, "once it has recovered"),
        (set(), {}, "arena-1 never published"),
        ({S}, {S: summary(S, 99), T: summary(T, 90, living=False)}, "once arena-1 is back"),
        ({S}, {S: summary(S, 99), T: summary(T, 90)}, "once arena-0 and arena-1 are back"),
        ({T}, {}, "nothing is lost"),
        ({X}, {}, "arena-7, no part of this transfer"),
    ],
)
def test_the_explanation_says_which_side_and_why(
    holders: set[str], manifests: dict[str, ManifestSummary], says: str
) -> None:
    [verdict] = judge([Record(holders=frozenset(holders))], manifests, SWITCH_US + THRESHOLD_US + 1)
    assert says in str(verdict)


def test_a_verdict_as_json_and_as_one_line() -> None:
    [verdict] = judge([Record(holders=frozenset({T}))], MANIFESTS, SWITCH_US + 2_000_000)
    assert verdict.to_dict() | {"meaning": "", "remedy": ""} == {
        "transfer": "arena-0/1/1",
        "kind": "CLEAR_DUE",
        "source": S,
        "target": T,
        "state": "accepted",
        "holders": [T],
        "entities": 3,
        "age_ms": 2_000,
        "meaning": "",
        "remedy": "",
    }
    assert str(verdict).startswith("CLEAR_DUE arena-0/1/1 to arena-1: 3 entities, ")
    assert "\n" not in str(verdict)
