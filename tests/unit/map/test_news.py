from __future__ import annotations

from shardfleet_operator.map.news import KEPT, News
from shardfleet_operator.map.snapshot import Snapshot
from shardfleet_shard.core.layout import Layout

from .fleets import BEGAN, LAYOUT, SECOND, manifest, member, snapshot, transfer


def both(**more: object) -> Snapshot:
    return snapshot([manifest("a-0", []), manifest("a-1", [])], **more)  # type: ignore[arg-type]


def told(*snapshots: Snapshot) -> list[tuple[str, str]]:
    """What is said after the first of them."""
    news = News()
    news.take(snapshots[0])
    begun = news.after(0)[-1].number
    for one in snapshots[1:]:
        news.take(one)
    return [(item.kind, item.text) for item in news.after(begun)]


def test_it_begins_with_one_line() -> None:
    news = News()
    news.take(both())
    assert [item.to_dict() for item in news.after(0)] == [
        {"number": 1, "unix_us": BEGAN, "kind": "fleet", "text": "the map begins: 2 of 2 shards live"}
    ]


def test_nothing_new_is_nothing_said() -> None:
    assert told(both(), both(unix_us=BEGAN + SECOND), both(unix_us=BEGAN + 2 * SECOND)) == []


def test_a_transfer_that_stands_gets_the_watchdogs_verdict_once_and_its_end() -> None:
    stuck = [transfer("a-0", "a-1", [7], state="accepted", holders=["a-0", "a-1"], time_us=BEGAN)]
    said = told(
        both(),
        *(both(unix_us=BEGAN + at * SECOND, transfers=stuck) for at in (1, 2, 3, 4)),
        *(both(unix_us=BEGAN + at * SECOND) for at in (5, 6)),
    )
    assert [kind for kind, _ in said] == ["verdict", "verdict"]
    assert said[0][1].startswith("DUAL_AUTHORITY a-0/1/5 to a-1")
    assert said[1][1].startswith("resolved after 2000 ms: DUAL_AUTHORITY")


def test_repairs_are_counted_where_they_are_made() -> None:
    before = {"repaired_transfers": 4, "repaired_entities": 9}
    after = {"repaired_transfers": 5, "repaired_entities": 21}
    assert told(both(counters=before), both(counters=after)) == [
        ("repair", "the watchdog ended 1 transfer of 12 entities")
    ]
    assert told(both(counters=after), both()) == []  # a Redis that forgot


def test_shards_that_come_go_and_return() -> None:
    one = member("a-0")
    assert told(
        both(members=[one]),
        both(members=[one, member("a-1")]),
        both(members=[one, member("a-1", living=False)]),
        both(members=[one, member("a-1", epoch=2)]),
        both(members=[one]),
    ) == [
        ("shard", "a-1 starts"),
        ("shard", "a-1 has no lease: it simulates nothing"),
        ("shard", "a-1 starts again"),
        ("shard", "a-1 resigned"),
    ]


def test_a_simulation_that_fails_and_works_again() -> None:
    sick = snapshot([manifest("a-0", [], state="simulation-error", last_error="unwell"), manifest("a-1", [])])
    assert told(both(), sick, sick, both()) == [
        ("shard", "a-0: simulation error: unwell"),
        ("shard", "a-0: the simulation works again"),
    ]


def test_layouts_links_the_stream_and_the_fleets_end() -> None:
    pair = ("a-0", "a-1")
    assert told(
        both(links={pair: "a-0"}, leader="a-0"),
        both(links={pair: ""}, leader="a-1"),
        both(links={pair: "a-1"}, leader="a-1", layout=Layout(2, LAYOUT.cells), generation="h"),
        both(links={pair: "a-1"}, leader="a-1", layout=Layout(2, LAYOUT.cells), generation="h", phase="settle"),
    ) == [
        ("shard", "a-1 owns the entity stream"),
        ("link", "a-0 and a-1: no link"),
        ("redis", "Redis restarted: its shards tell it what it may have forgotten"),
        ("layout", "layout 2: 2 cells"),
        ("link", "a-0 and a-1: linked"),
        ("fleet", "the fleet settles"),
    ]


def test_only_so_much_is_kept() -> None:
    news = News()
    for number in range(KEPT + 20):
        news.say(number, "fleet", "x")
    kept = news.after(0)
    assert (len(kept), kept[0].number, kept[-1].number) == (KEPT, 21, KEPT + 20)
    assert [item.number for item in news.after(KEPT + 18)] == [KEPT + 19, KEPT + 20]
