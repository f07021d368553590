"""Conditions and status: total, stable, and saying what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_operator.census import Census
from shardfleet_operator.cluster.conditions import (
    MAX_MESSAGE,
    Condition,
    Facts,
    Problem,
    conditions,
    merge_conditions,
    turned,
)
from shardfleet_operator.cluster.pods import PodFacts
from shardfleet_operator.cluster.status import FIGURES_INTERVAL_US, Picture, build_status, is_due
from shardfleet_operator.plan import first_layout
from shardfleet_operator.resource.schema import resource_schema
from shardfleet_operator.watchdog.judge import VerdictKind
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.stats import ShardStats

POD = PodFacts(name="arena-0", namespace="play", fleet="arena", ordinal=0, uid="u", version=1)
WELL = Facts(wanted=2, cells=2, claimed=2, durable=True, missing=0, doubled=0)
TIME = "2026-01-01T00:00:00Z"

texts = st.text(max_size=3000)
pods = st.builds(
    PodFacts,
    name=st.sampled_from(["arena-0", "arena-1", "arena-2"]),
    namespace=st.just("play"),
    fleet=st.just("arena"),
    ordinal=st.integers(0, 1023),
    uid=st.text(max_size=4),
    version=st.integers(0, 9),
    started_us=st.sampled_from([0, 1_700_000_000_000_000]),
    exit_code=st.sampled_from([0, 1, 6, 137]),
    ready=st.booleans(),
    deleting=st.booleans(),
    ended=st.booleans(),
    waiting=st.sampled_from(["", "ImagePullBackOff", "Unschedulable"]),
    message=texts,
)
problems = st.builds(Problem, reason=st.sampled_from(["ApiRefused", "NoRedis"]), message=texts)
counts = st.none() | st.integers(0, 5)
anything = st.builds(
    Facts,
    problems=st.lists(problems, max_size=3),
    pods=st.lists(pods, max_size=8, unique_by=lambda pod: pod.name),
    misfits=st.sampled_from([[], [replace(POD, ended=True, exit_code=6, message="SchemaChanged: x is gone")]]),
    wanted=st.integers(0, 5),
    cells=st.integers(0, 5),
    claimed=st.integers(0, 5),
    redis_answers=st.booleans(),
    durable=st.none() | st.booleans(),
    findings=st.lists(texts, max_size=9),
    missing=counts,
    doubled=counts,
    damaged=st.sampled_from(["", "damaged in Redis, and left out: manifest:a: why"]),
    skewed=st.lists(st.just("arena-0 (to arena-1)"), max_size=8),
    changing=st.sampled_from(["", "rolling out"]),
    deleting=st.booleans(),
)


def by_type(facts: Facts) -> dict[str, Condition]:
    return {one.type: one for one in conditions(facts)}


@given(anything)
def test_whatever_is_the_case_there_are_six_conditions_that_the_schema_takes(facts: Facts) -> None:
    now = merge_conditions([], conditions(facts), generation=1, time=TIME)
    picture = Picture(generation=1, fleet="arena", pods=facts.pods)
    status = build_status(picture, conditions(facts), {}, time=TIME)
    assert [one["type"] for one in now] == [
        "Available", "Progressing", "Degraded", "TransfersHealthy", "ClockInSync", "RedisDurable",
    ]  # fmt: skip
    assert all(len(one["message"]) <= MAX_MESSAGE for one in now)
    schema = resource_schema()["properties"]["status"]
    written = {name: value for name, value in status.items() if value is not None}
    jsonschema.Draft202012Validator(schema).validate(written)
    unknown = written.keys() - schema["properties"].keys()
    assert not unknown


@given(anything)
def test_a_fleet_is_available_only_if_everything_is_simulated(facts: Facts) -> None:
    is_available = by_type(facts)["Available"].status == "True"
    assert is_available == (
        facts.redis_answers and not facts.deleting and facts.cells > 0 and facts.claimed == facts.cells
    )


def test_a_well_fleet() -> None:
    statuses = {kind: one.status for kind, one in by_type(WELL).items()}
    assert statuses == {
        "Available": "True", "Progressing": "False", "Degraded": "False", "TransfersHealthy": "True",
        "ClockInSync": "True", "RedisDurable": "True",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "reason", "words"),
    [
        ({"durable": False}, "RedisDurable", "RedisNotDurable", "appendonly yes"),
        ({"skewed": ["arena-0 (to arena-1)"]}, "ClockInSync", "ClockSkewed", "arena-0 (to arena-1)"),
        ({"missing": 3}, "TransfersHealthy", "EntitiesMissing", "3 missing"),
        ({"missing": 3, "damaged": "manifest:a: why"}, "TransfersHealthy", "RecordDamaged", "manifest:a: why"),
        ({"doubled": 1, "damaged": "manifest:a: why"}, "TransfersHealthy", "EntitiesDoubled", "1 doubled"),
        ({"missing": 3, "doubled": 1}, "TransfersHealthy", "EntitiesDoubled", "3 missing and 1 doubled"),
        ({"findings": ["LIMBO x"] * 7}, "TransfersHealthy", "TransfersOverdue", "and 2 more"),
        ({"problems": [Problem(reason="NoRedis", message="no key 'url'")]}, "Degraded", "NoRedis", "no key 'url'"),
        ({"claimed": 1}, "Available", "CellsUnclaimed", "1 of 2 cells"),
        ({"redis_answers": False}, "Available", "RedisUnavailable", "leases"),
        ({"changing": "rolling out: 1 shards"}, "Progressing", "Changing", "rolling out"),
        ({"deleting": True}, "Progressing", "Deleting", "0 pods"),
    ],
)
def test_what_is_amiss_has_its_reason(change: dict[str, Any], kind: str, reason: str, words: str) -> None:
    one = by_type(replace(WELL, **change))[kind]
    assert one.reason == reason and words in one.message


def test_pods_that_wait_for_the_same_thing_are_one_problem() -> None:
    waiting = [
        replace(POD, name=f"arena-{n}", ordinal=n, waiting="Unschedulable", message="0/3 nodes") for n in range(8)
    ]
    one = by_type(replace(WELL, pods=waiting))["Degraded"]
    assert one.reason == "Unschedulable" and one.message.count("0/3 nodes") == 1 and "and 3 more" in one.message


def test_a_transition_time_moves_with_the_status_alone() -> None:
    first = merge_conditions([], conditions(WELL), generation=1, time="then")
    later = merge_conditions(first, conditions(replace(WELL, durable=False)), generation=2, time="now")
    times = {one["type"]: one["lastTransitionTime"] for one in later}
    assert times.pop("RedisDurable") == "now" and set(times.values()) == {"then"}


def test_events_tell_of_what_turned() -> None:
    def at(facts: Facts) -> list[dict[str, Any]]:
        return merge_conditions([], conditions(facts), generation=1, time=TIME)

    def news(before: Facts | None, now: Facts) -> list[tuple[str, str]]:
        return [(kind, one["reason"]) for kind, one in turned(at(before) if before else [], at(now))]

    starting, ill = replace(WELL, claimed=0), replace(WELL, problems=[Problem(reason="NoRedis", message="")])
    assert news(None, starting) == []
    assert news(starting, WELL) == [("Normal", "AllCellsClaimed")]
    assert news(WELL, WELL) == []
    assert news(WELL, starting) == [("Warning", "CellsUnclaimed")]
    assert news(WELL, ill) == [("Warning", "NoRedis")]
    assert news(ill, replace(ill, problems=[Problem(reason="ApiRefused", message="")])) == [("Warning", "ApiRefused")]
    assert news(ill, WELL) == [("Normal", "AsExpected")]


# --- the status --------------------------------------------------------------------------------------------------

STARTED = 1_700_000_000_000_000
RUNNING = replace(POD, started_us=STARTED, ready=True)
STATS = ShardStats(state="active", entities=25, publish_interval_us=50_000)


def status_of(pods: list[PodFacts], stats: dict[str, tuple[int, ShardStats]], **more: Any) -> dict[str, Any]:
    picture = Picture(generation=3, fleet="arena", pods=pods, stats=stats, **more)
    return build_status(picture, conditions(WELL), {}, time=TIME)


def test_figures_of_a_former_process_are_not_shown_as_this_ones() -> None:
    (own,) = status_of([RUNNING], {"arena-0": (STARTED + 1, STATS)})["shards"]
    (other,) = status_of([RUNNING], {"arena-0": (STARTED - 1, STATS)})["shards"]
    assert (own["entities"], own["state"], own["epoch"]) == (25, "active", STARTED + 1)
    assert (other["entities"], other["state"]) == (0, "starting") and "epoch" not in other


def test_only_running_pods_are_replicas() -> None:
    ended = replace(RUNNING, name="arena-1", ordinal=1, ended=True, ready=False)
    waiting = replace(POD, name="arena-2", ordinal=2, waiting="ImagePullBackOff")
    status = status_of([waiting, ended, RUNNING], {}, layout=first_layout(FleetConfig(name="arena")))
    assert (status["replicas"], status["readyReplicas"], status["layoutVersion"]) == (1, 1, 1)
    assert [one["state"] for one in status["shards"]] == ["starting", "ended", "ImagePullBackOff"]


def test_figures_are_written_now_and_then_and_changes_at_once() -> None:
    written = status_of([RUNNING], {"arena-0": (STARTED, STATS)}, census=Census(unix_us=1, owned=50))
    moved = status_of([RUNNING], {"arena-0": (STARTED, STATS)}, census=Census(unix_us=1, owned=49))
    unready = status_of([replace(RUNNING, ready=False)], {"arena-0": (STARTED, STATS)})
    assert not is_due(written, written, since_us=10 * FIGURES_INTERVAL_US)
    assert not is_due(moved, written, since_us=FIGURES_INTERVAL_US - 1)
    assert is_due(moved, written, since_us=FIGURES_INTERVAL_US)
    assert is_due(unready, written, since_us=0)


def test_a_move_that_no_node_has_room_for_says_what_to_do() -> None:
    waits = "0/1 nodes are available: 1 node(s) were unschedulable."
    newcomer = replace(POD, name="arena-2", ordinal=2, waiting="Unschedulable", message=waits)
    facts = replace(
        WELL, pods=[POD, newcomer], leaving={"arena-0": "node a is cordoned"}, placed=frozenset({"arena-0", "arena-1"})
    )
    degraded = by_type(facts)["Degraded"]
    assert (degraded.status, degraded.reason) == ("True", "NoNodeForSurge")
    assert waits in degraded.message and "arena-0 (node a is cordoned)" in degraded.message
    assert "uncordon" in degraded.message and by_type(facts)["Available"].status == "True"
    # One that has a cell and no node is another trouble.
    assert by_type(replace(facts, placed=frozenset({"arena-2"})))["Degraded"].reason == "Unschedulable"


def test_a_shard_with_the_whole_world_has_a_cell_that_can_be_read_and_repairs_are_counted() -> None:
    picture = Picture(
        generation=1, fleet="arena", pods=[POD], claims={"": ("arena-0", 1)}, counters={"repaired_entities": 3}
    )
    status = build_status(picture, [], {}, time=TIME)
    assert status["shards"][0]["cell"] == "root"
    assert status["transfers"]["repaired"] == 3


def test_a_roll_to_other_columns_is_stopped_and_says_why() -> None:
    words = "exit code 6: shardfleet: error: SchemaChanged: age uint32 is new: give the simulation an upgrade"
    misfit = replace(POD, name="arena-2", ordinal=2, ended=True, started_us=5, exit_code=6, message=words)
    facts = replace(WELL, pods=[POD, misfit], misfits=[misfit], changing="rolling out")
    found = {one.type: one for one in conditions(facts)}
    message = "arena-2 cannot join, so no running shard is replaced: age uint32 is new: give the simulation an upgrade"
    for kind, status in (("Degraded", "True"), ("Progressing", "False")):
        assert (found[kind].status, found[kind].reason, found[kind].message) == (status, "SchemaChanged", message)
    assert found["Available"].status == "True"


# --- what to do about it ---------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[3]
WELL_REASONS = {"AllCellsClaimed", "AppendOnly", "AsExpected", "Settled"}
TYPES = {"TransfersHealthy", "ClockInSync", "RedisDurable"}


def test_the_page_says_what_to_do_about_each_reason_and_verdict() -> None:
    page = (ROOT / "docs" / "operate-cluster.md").read_text()
    cluster = ROOT / "operator" / "shardfleet_operator" / "cluster"
    reasons = {
        word
        for name in ("conditions", "situation", "redis_restart", "deletion")
        for word in re.findall(r'"((?:[A-Z][a-z]+){2,})"', (cluster / f"{name}.py").read_text())
    }
    assert {"CellsUnclaimed", "NoNodeForSurge", "RedisRestarted", "PodsLeft"} <= reasons
    assert not {word for word in reasons - WELL_REASONS - TYPES if f"`{word}`" not in page}
    assert not {kind for kind in VerdictKind if f"`{kind}`" not in page}
