from __future__ import annotations

from typing import Any

import numpy as np
from shardfleet_operator.map.frame import ABSENT, MAX_SHARDS, SHARD_BITS, decode
from shardfleet_operator.map.painter import GRACE_US, KEEP_US, Painter, transfer_state
from shardfleet_operator.map.snapshot import Snapshot
from shardfleet_shard.core.manifest import FROZEN, PASSING

from .fleets import BEGAN, SECOND, manifest, member, snapshot, transfer

BOX = ((-50.0, -50.0), (50.0, 50.0))


def paint(painter: Painter, taken: Snapshot) -> tuple[dict[str, Any], dict[int, tuple[str, int, float, float]]]:
    """(the frame's JSON, id -> (owner, state, x, y)) of those that it shows."""
    meta, arrays = decode(painter.paint(taken).data)
    shown = {}
    for slot in np.flatnonzero(arrays["tag"] != ABSENT).tolist():
        tag = int(arrays["tag"][slot])
        x, y = arrays["position"][slot].tolist()
        shown[painter.slots.id_of(slot)] = (painter.names[tag & MAX_SHARDS], tag >> SHARD_BITS, x, y)
    return meta, shown


def test_rows_of_all_manifests_with_their_owners_and_states() -> None:
    painter = Painter(box=BOX)
    meta, shown = paint(
        painter,
        snapshot(
            [manifest("a-0", [(7, 1, -10.0, 5.0), (8, 1, -20.0, 0.0)], states=[0, PASSING]),
             manifest("a-1", [(9, 3, 30.0, -5.0)], states=[FROZEN])]
        ),
    )  # fmt: skip
    assert {entity: (owner, state) for entity, (owner, state, _, _) in shown.items()} == {
        7: ("a-0", 0), 8: ("a-0", PASSING), 9: ("a-1", FROZEN),
    }  # fmt: skip
    assert (meta["entities"], meta["passing"], meta["frozen"], meta["hidden"]) == (3, 1, 1, 0)
    assert meta["world"] == [-50.0, -50.0, 50.0, 50.0]
    assert [(line["name"], line["shown"]) for line in meta["shards"]] == [("a-0", 2), ("a-1", 1)]
    assert meta["cells"][0] == {"path": "0", "shard": 0, "box": [None, None, 0.0, None]}


def test_of_two_rows_the_higher_version_wins_wherever_it_stands() -> None:
    for order in (["a-0", "a-1"], ["a-1", "a-0"]):
        new, old = order
        _, shown = paint(
            Painter(box=BOX), snapshot([manifest(new, [(7, 2, 5.0, 0.0)]), manifest(old, [(7, 1, -5.0, 0.0)])])
        )
        assert shown[7][0] == new


def test_between_two_manifests_an_entity_is_in_neither_and_stays_as_passing() -> None:
    painter = Painter(box=BOX)
    paint(painter, snapshot([manifest("a-0", [(7, 1, -1.0, 0.0)]), manifest("a-1", [])]))
    empty = [manifest("a-0", []), manifest("a-1", [])]
    _, shown = paint(painter, snapshot(empty, unix_us=BEGAN + 100_000))
    assert shown[7][:2] == ("a-0", PASSING)
    _, shown = paint(
        painter, snapshot([manifest("a-0", []), manifest("a-1", [(7, 2, 1.0, 0.0)])], unix_us=BEGAN + 200_000)
    )
    assert shown[7][:2] == ("a-1", 0)
    _, shown = paint(painter, snapshot(empty, unix_us=BEGAN + 200_000 + GRACE_US + 1))
    assert shown == {}


def test_where_shards_publish_seldom_an_entity_may_be_in_no_manifest_for_longer() -> None:
    painter = Painter(box=BOX)
    slow = {"publish_interval_us": 5 * SECOND}
    paint(painter, snapshot([manifest("a-0", [(7, 1, -1.0, 0.0)], **slow), manifest("a-1", [])]))
    empty = [manifest("a-0", [], **slow), manifest("a-1", [])]
    assert set(paint(painter, snapshot(empty, unix_us=BEGAN + 6 * SECOND))[1]) == {7}
    assert set(paint(painter, snapshot(empty, unix_us=BEGAN + 11 * SECOND))[1]) == set()


def test_the_box_is_what_shards_say_where_nobody_else_does() -> None:
    world = [-5.0, -6.0, -7.0, 5.0, 6.0, 7.0]
    silent, says = manifest("a-0", [(7, 1, -1.0, 0.0)]), manifest("a-1", [], world=world)
    assert paint(Painter(), snapshot([silent, says]))[0]["world"] == [-5.0, -6.0, 5.0, 6.0]
    assert paint(Painter(box=BOX), snapshot([silent, says]))[0]["world"] == [*BOX[0], *BOX[1]]


def test_a_dead_shards_old_row_does_not_bring_an_entity_back() -> None:
    painter = Painter(box=BOX)
    dead = manifest("a-0", [(7, 1, -1.0, 0.0)])
    paint(painter, snapshot([dead, manifest("a-1", [(7, 2, 1.0, 0.0)])]))
    _, shown = paint(painter, snapshot([dead, manifest("a-1", [])], unix_us=BEGAN + 100_000))
    assert shown[7][:2] == ("a-1", PASSING)
    # But where nothing newer comes any more, what is left is what there is.
    _, shown = paint(painter, snapshot([dead, manifest("a-1", [])], unix_us=BEGAN + 100_000 + GRACE_US))
    assert shown[7][:2] == ("a-0", 0)


def test_an_open_transfer_marks_its_entities_before_their_shard_publishes() -> None:
    _, shown = paint(
        Painter(box=BOX),
        snapshot(
            [manifest("a-0", [(7, 1, -1.0, 2.0), (8, 1, -3.0, 4.0), (9, 1, -30.0, 4.0)]), manifest("a-1", [])],
            transfers=[transfer("a-0", "a-1", [7, 8, 1000])],
        ),
    )
    assert {entity: state for entity, (_, state, _, _) in shown.items()} == {7: PASSING, 8: PASSING, 9: 0}


def test_transfers_say_where_and_how_far_they_are() -> None:
    meta, _ = paint(
        Painter(box=BOX),
        snapshot(
            [manifest("a-0", [(7, 1, -1.0, 2.0), (8, 1, -3.0, 4.0)]), manifest("a-1", [])],
            transfers=[transfer("a-0", "a-1", [7, 8]), transfer("a-0", "a-1", [99])],
        ),
    )
    assert meta["transfers"][0] == {
        "id": "a-0/1/5", "source": 0, "target": 1, "state": "started", "entities": 2, "place": [-2.0, 3.0],
    }  # fmt: skip
    assert meta["transfers"][1]["place"] is None


def test_a_transfers_state_is_its_records_and_its_holders() -> None:
    def state(record: str, *holders: str) -> str:
        return transfer_state(transfer("a-0", "a-1", [7], state=record, holders=holders))

    assert state("started", "a-0") == "started"
    assert state("accepted", "a-0") == "accepted"
    assert state("accepted") == "released"
    assert state("accepted", "a-0", "a-1") == "adopted"


def test_a_change_of_owner_is_a_handoff_and_is_remembered() -> None:
    painter = Painter(box=BOX)
    paint(painter, snapshot([manifest("a-0", [(7, 1, -1.0, 2.0), (8, 1, -9.0, 0.0)]), manifest("a-1", [])]))
    meta, _ = paint(
        painter,
        snapshot([manifest("a-0", [(8, 1, -9.0, 0.0)]), manifest("a-1", [(7, 2, 1.0, 2.0)])], unix_us=BEGAN + SECOND),
    )
    assert meta["handoffs"] == [[0, 1, 1, 1.0, 2.0]]
    found = painter.entity(7)
    assert found is not None
    assert (found["owner"], found["version"], found["state"], found["position"]) == ("a-1", 2, 0, [1.0, 2.0])
    assert found["owners"] == [
        {"unix_us": BEGAN, "owner": "a-0", "version": None},
        {"unix_us": BEGAN + SECOND, "owner": "a-1", "version": 2},
    ]
    assert [one["owner"] for one in painter.entity(8)["owners"]] == ["a-0"]  # type: ignore[index]
    assert painter.entity(9) is None


def test_who_comes_back_elsewhere_has_changed_hands() -> None:
    painter = Painter(box=BOX)
    paint(painter, snapshot([manifest("a-0", [(7, 1, -1.0, 2.0)]), manifest("a-1", [])]))
    later = BEGAN + 10 * SECOND
    assert paint(painter, snapshot([manifest("a-0", []), manifest("a-1", [])], unix_us=later))[1] == {}
    paint(painter, snapshot([manifest("a-0", []), manifest("a-1", [(7, 2, 1.0, 2.0)])], unix_us=later + SECOND))
    assert [one["owner"] for one in painter.entity(7)["owners"]] == ["a-0", "a-1"]  # type: ignore[index]


def test_a_slots_next_entity_begins_without_a_past() -> None:
    painter = Painter(box=BOX)
    paint(painter, snapshot([manifest("a-0", [(7, 5, -1.0, 2.0)]), manifest("a-1", [])]))
    paint(painter, snapshot([manifest("a-0", []), manifest("a-1", [(7, 6, 1.0, 2.0)])], unix_us=BEGAN + SECOND))
    much_later = BEGAN + 3 * SECOND + KEEP_US
    paint(painter, snapshot([manifest("a-0", []), manifest("a-1", [])], unix_us=much_later))
    _, shown = paint(
        painter, snapshot([manifest("a-0", [(8, 1, -4.0, 0.0)]), manifest("a-1", [])], unix_us=much_later + SECOND)
    )
    assert painter.slots.size == 1
    assert shown[8][:2] == ("a-0", 0)
    assert painter.entity(8)["owners"] == [{"unix_us": much_later + SECOND, "owner": "a-0", "version": None}]  # type: ignore[index]
    assert painter.entity(7) is None


def test_places_that_are_no_numbers_are_not_shown() -> None:
    _, shown = paint(Painter(box=BOX), snapshot([manifest("a-0", [(7, 1, float("nan"), 0.0), (8, 1, 1.0, 1.0)])]))
    assert set(shown) == {8}


def test_a_world_of_three_dimensions_is_seen_from_above() -> None:
    _, shown = paint(Painter(box=BOX), snapshot([manifest("a-0", [(7, 1, -10.0, 5.0)], dimensions=3)]))
    assert shown[7][2:] == (-10.0, 5.0)


def test_without_a_box_the_world_is_what_was_seen_and_only_grows() -> None:
    painter = Painter()
    assert paint(painter, snapshot([], layout=None))[0]["world"] == [-1.0, -1.0, 1.0, 1.0]
    meta, _ = paint(painter, snapshot([manifest("a-0", [(7, 1, -40.0, -10.0), (8, 1, 20.0, 30.0)])]))
    low_x, low_y, high_x, high_y = meta["world"]
    assert low_x < -40 and low_y < -10 and high_x > 20 and high_y > 30
    assert high_x - low_x == high_y - low_y
    later, _ = paint(painter, snapshot([manifest("a-0", [(7, 1, 0.0, 0.0)])], unix_us=BEGAN + SECOND))
    assert later["world"] == meta["world"]


def test_shards_that_are_gone_from_the_layout_stay_while_they_are_members() -> None:
    meta, _ = paint(
        Painter(box=BOX),
        snapshot(
            [manifest("a-0", []), manifest("a-2", [(7, 1, 1.0, 1.0)], state="draining")],
            members=[member("a-0"), member("a-2"), member("a-1", living=False)],
        ),
    )
    assert {line["name"]: line["state"] for line in meta["shards"]} == {
        "a-0": "active", "a-1": "away", "a-2": "draining",
    }  # fmt: skip
