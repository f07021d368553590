"""Figures of several processes become one picture."""

from __future__ import annotations

import io
from typing import Any

from shardfleet_operator.local.figures import Figures, failure_news
from shardfleet_operator.local.table import ms, screen_for, to_line, to_plain_table
from shardfleet_operator.plan import Process, ProcessState
from shardfleet_operator.platforms.local import LocalProcess
from shardfleet_shard.core.stats import ShardStats


def _header(shard: str, epoch: int, **values: Any) -> dict[str, Any]:
    stats = ShardStats(**values)
    stats.tick_us.add(800)
    return {"shard": shard, "epoch": epoch, "stats": stats.to_dict()}


def _process(shard: str, *, exit_code: int | None = None, starts: int = 1, started_us: int = 1) -> LocalProcess:
    state = ProcessState.RUNNING if exit_code is None else ProcessState.ENDED
    return LocalProcess(
        process=Process(shard=shard, ordinal=0, state=state, exit_code=exit_code or 0, started_us=started_us),
        pid=9,
        starts=starts,
    )


def test_an_earlier_runs_manifest_is_not_this_runs() -> None:
    figures = Figures(before=frozenset({("a-0", 5)}))
    figures.take_headers([_header("a-0", 5, redis_requests=100)])
    assert not figures.stats
    figures.take_headers([_header("a-0", 6, redis_requests=1)])
    figures.take_headers([_header("a-0", 6, redis_requests=2)])
    figures.take_headers([_header("a-0", 7, redis_requests=3)])
    assert {process: s.redis_requests for process, s in figures.stats.items()} == {("a-0", 6): 2, ("a-0", 7): 3}
    assert figures.newest_of("a-0")[1].redis_requests == 3


def test_rate_over_the_last_seconds_only() -> None:
    figures = Figures(counters_before={"completed_entities": 1_000})
    assert figures.handoffs_per_second == 0.0
    for second, completed in enumerate([1_000, 1_000, 1_000, 1_000, 1_100, 1_200, 1_300]):
        figures.take_counters({"completed_entities": completed}, second * 1_000_000)
    assert figures.handoffs_per_second == 100.0
    assert figures.handoffs == 300


def test_states_of_processes() -> None:
    figures = Figures()
    figures.take_headers([_header("a-0", 1, state="active", entities=20), _header("a-1", 1, state="active")])
    view = figures.view(
        ["a-0", "a-1", "a-2"],
        [_process("a-0"), _process("a-1", exit_code=-9), _process("a-2")],
    )
    assert [line.state for line in view.shards] == ["active", "ended", "starting"]
    restarted = figures.view(["a-1"], [_process("a-1", starts=2, started_us=2)])
    assert (restarted.shards[0].state, restarted.shards[0].restarts) == ("starting", 1)
    resigned = figures.view(["a-0"], [_process("a-0", exit_code=0)])
    assert resigned.shards[0].state == "resigned"
    assert view.active == 1


def test_a_failing_simulation_is_told_once_and_so_is_its_healing() -> None:
    figures = Figures()

    def news_of(state: str, failing: frozenset[str]) -> tuple[list[str], frozenset[str]]:
        figures.take_headers(
            [_header("a-0", 1, state=state, last_error="x.step: no"), _header("a-1", 1, state="active")]
        )
        return failure_news(figures.view(["a-0", "a-1"]), failing)

    news, failing = news_of("simulation-error", frozenset())
    assert (news, failing) == (["a-0: simulation error, tried again each second: x.step: no"], {"a-0"})
    assert news_of("simulation-error", failing) == ([], {"a-0"})
    assert news_of("active", failing) == (["a-0: the simulation works again"], frozenset())
    assert news_of("active", frozenset()) == ([], frozenset())


def test_lines_are_plain_and_short() -> None:
    figures = Figures()
    figures.take_headers([_header("a-0", 1, state="active", entities=50, cells="00,01")])
    figures.take_counters({"spawned": 52, "despawned": 2}, 0)
    view = figures.view(["a-0", "a-1"])
    assert to_line(view, 12.3) == "  12 s  1/2 shards  50 entities  0 handoffs/s  gap - ms  tick 0.8 ms"
    table = to_plain_table(view).splitlines()
    headings = "SHARD CELLS STATE ENTITIES OPEN GAP P99 TICK P99 SKIPPED RESTARTS"
    assert " ".join(table[0].split()) == headings
    assert " ".join(table[1].split()) == "a-0 00,01 active 50 0 - 0.8 0 0"
    assert view.to_dict()["shards"][0]["entities"] == 50
    stream = io.StringIO()
    with screen_for(stream, terminal=False) as screen:
        screen.show(view, 1.0)
        screen.say("hello")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 2


def test_milliseconds() -> None:
    assert [ms(value) for value in (None, 0.04, -1.25, 99.9, 123.4)] == ["-", "0.0", "-1.2", "99.9", "123"]
