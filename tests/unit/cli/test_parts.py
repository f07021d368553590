"""What the commands print, from values made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shardfleet_operator.cli import transfers
from shardfleet_operator.cli.entity_search import print_whereabouts, whereabouts
from shardfleet_operator.cli.output import age, table
from shardfleet_operator.cli.population import LOWEST_RANDOM_ID, new_entity
from shardfleet_operator.cli.watching import rows_of
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.journal_requests import EntryKind
from shardfleet_shard.errors import UsageError
from shardfleet_shard.net.api import RowsView

from tests.unit.watchdog.test_census import entry, shard


def test_table_aligns() -> None:
    text = table(("NAME", "N"), [("a", 1), ("longer", 200)], right=("N",))
    assert text.splitlines() == ["NAME      N", "a         1", "longer  200"]
    assert table(("NAME", "N"), []) == "NAME  N"


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "0 ms"), (999_999, "999 ms"), (-60_000, "-60 ms"), (3_400_000, "3.4 s"), (600_000_000, "10 min"),
     (7_200_000_000, "2 h")],
)  # fmt: skip
def test_age(microseconds: int, text: str) -> None:
    assert age(microseconds) == text


def test_new_entity() -> None:
    row = new_entity(7, "10,-20.5", "1,0", ["mass=2.5", "home=18446744073709551615,0", "alive=true"])
    assert (row.id, list(row.position), list(row.velocity)) == (7, [10.0, -20.5], [1.0, 0.0])
    assert row.columns == {"mass": 2.5, "home": [2**64 - 1, 0], "alive": 1}
    drawn = {new_entity(None, "1,2,3", None, []).id for _ in range(50)}
    assert len(drawn) == 50 and all(LOWEST_RANDOM_ID <= one < 2**53 for one in drawn)


# --- entity ----------------------------------------------------------------------------------------------------


def test_an_entity_that_rests() -> None:
    found = whereabouts([shard("a", {1: 1, 7: 3}, tick=40), shard("b", {})], 7)
    assert (found["owner"], found["version"], found["state"], found["as_of_tick"]) == ("a", 3, "authoritative", 40)
    assert (found["position"], found["since_tick"], found["contested"]) == ([0.0, 0.0], None, False)


def test_an_entity_between_two_shards(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        shard("a", {7: 3}, entry(EntryKind.OUT, {7: 4}, "b")),
        shard("b", {}, entry(EntryKind.IN, {5: 2, 7: 4})),
    ]
    found = whereabouts(records, 7)
    assert (found["owner"], found["version"], found["state"]) == ("b", 4, "incoming")
    assert [(event["shard"], event["kind"], event["version"]) for event in found["journal"]] == [
        ("a", "out", 4),
        ("b", "in", 4),
    ]
    assert found["since_unix_ms"] == 1 and found["entity"] == 7
    print_whereabouts(found, now_us=8_200_000)
    line = "entity 7  owned by b since 00:00:00.001Z (8.2 s ago), version 4, incoming"
    assert capsys.readouterr().out.splitlines()[0] == line


def test_an_entity_before_anything_was_published() -> None:
    found = whereabouts([shard("a", None, entry(EntryKind.SPAWN, {7: 1}))], 7)
    assert (found["owner"], found["state"], found["as_of_unix_us"]) == ("a", "incoming", None)
    assert "position" not in found  # nobody has said yet what a row looks like


def test_a_despawned_and_an_unknown_entity(capsys: pytest.CaptureFixture[str]) -> None:
    records = [shard("a", {7: 3}, entry(EntryKind.DESPAWN, {7: 3}))]
    found = whereabouts(records, 7)
    assert (found["alive"], found["owner"]) == (False, None)
    print_whereabouts(found, now_us=0)
    assert capsys.readouterr().out == "entity 7  despawned at version 3\n"
    with pytest.raises(UsageError, match="entity 8: no shard holds it"):
        whereabouts(records, 8)


def test_an_entity_with_two_owners_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = whereabouts([shard("a", {7: 3}), shard("b", {7: 3})], 7)
    assert found["contested"] is True
    print_whereabouts(found, now_us=0)
    assert "two shards claim it" in capsys.readouterr().out


# --- transfers, watch ------------------------------------------------------------------------------------------


def test_transfers_as_text() -> None:
    row: dict[str, Any] = {
        "transfer": "arena-0/1/1",
        "source": "arena-0",
        "target": "arena-1",
        "state": "accepted",
        "entities": 3,
        "holders": [],
        "switch_tick": 100,
        "transfer_time_us": 0,
        "age_us": 2_000_000,
        "verdict": {"kind": "LIMBO", "meaning": "nobody has them", "remedy": "wait"},
    }
    lines = transfers.text({"transfers": [row, {**row, "verdict": None, "age_us": -60_000}]}).splitlines()
    assert lines[1].split() == ["arena-0/1/1", "arena-1", "accepted", "3", "nobody", "100", "2.0", "s", "LIMBO"]
    assert lines[2].endswith("-60 ms") and lines[3] == "arena-0/1/1: nobody has them; wait"
    assert transfers.text({"transfers": []}) == "no active transfers"


def test_rows_of_a_picture() -> None:
    rows = Schema(2, np.dtype([("mass", "<f4")])).rows(
        id=[2**64 - 1], version=[3], position=(1.0, 2.0), velocity=(0.5, 0.0), mass=2.5
    )
    view = RowsView(
        tick=9,
        unix_us=5,
        shard="a",
        epoch=2,
        rows=rows,
        states=np.array([2], np.uint8),
        since_tick=np.array([4]),
    )
    assert list(rows_of(view)) == [
        {
            "tick": 9,
            "unix_us": 5,
            "shard": "a",
            "epoch": 2,
            "state": "frozen",
            "entity": 2**64 - 1,
            "version": 3,
            "position": [1.0, 2.0],
            "velocity": [0.5, 0.0],
            "columns": {"mass": 2.5},
        }
    ]
