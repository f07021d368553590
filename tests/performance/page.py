"""Writes docs/performance.md from what the benchmarks measured: the last step of ``make performance``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import page_costs

PAGE = Path("docs/performance.md")
PEERS = (
    # Measured by others, on a machine of this size; what is not known is left out.
    ("GoWorld", "4 games, 12,000 entities", "118,000", "12–15 us", "550 B", "8.5 ms idle, 75 ms at full load"),
    ("channeld", "", "34,000", "50–60 us", "486 B", "37–200 ms"),
    ("Pekko sharding", "no state is moved", "4,400", "", "", ""),
)
FIGURES = (
    ("a handoff in the demo", (("gap, p99", "gap_ms_p99"), ("canceled", "canceled_percent"))),
    ("from the command to the first handoff", (("", "first_handoff_s"),)),
    ("a tick of 1,000 entities, 1% crossing a second", (("p50", "tick_ms_p50_1k"), ("p99", "tick_ms_p99_1k"))),
    ("a tick of 10,000", (("p50", "tick_ms_p50_10k"), ("p99", "tick_ms_p99_10k"))),
    ("a tick of 100,000", (("p50", "tick_ms_p50_100k"), ("p99", "tick_ms_p99_100k"))),
    ("every entity has an owner again after `kill -9`", (("", "owner_again_s"),)),
    ("an idle shard", (("memory", "idle_shard_memory_mb"), ("CPU", "idle_shard_cpu_percent"))),
)
MAP_FIGURES = (
    ("pictures the page draws", (("", "pictures_per_second"),)),
    ("drawing one", (("p50", "picture_ms_p50"), ("p95", "picture_ms_p95"))),
    ("how fast its clock goes", (("", "shown_seconds_per_second"),)),
    ("how far back it shows", (("", "behind_ms"),)),
    ("the server, a frame", (("read from Redis", "read_ms_p50"), ("painted", "paint_ms_p50"))),
    ("a frame", (("size", "frame_bytes"),)),
    ("two minutes of history, in the server", (("", "history_bytes"),)),
)


def text(
    bench: Mapping[str, Any],
    throughput: Mapping[str, Any],
    costs: Sequence[Mapping[str, Any]] = (),
    live_map: Mapping[str, Any] | None = None,
) -> str:
    """The page; without ``costs`` or ``live_map`` it lacks what they would say. Of several costs the last that measured
    something says it, and of which day that is."""
    parts = [*_head(bench), *_rates(throughput), *_peers(throughput), *_figures(bench)]
    said = {name: (one, rows) for one in costs for name, rows in one["scenarios"].items() if rows}
    for name, lines in page_costs.sections({name: rows for name, (_, rows) in said.items()}):
        parts += ["", *lines]
        if (source := said[name][0]).get("commit") != bench.get("commit"):
            parts += ["", f"Of another day ([how they differ](benchmark.md#throughput)): {_measured(source)}."]
    if live_map is not None:
        parts += _map(live_map)
    return "\n".join([*parts, ""])


def _head(bench: Mapping[str, Any]) -> Iterable[str]:
    machine = bench["machine"]
    system = machine["system"].split()[0]
    yield "# Performance"
    yield ""
    yield (
        f"{machine['cores']} cores, {round(machine['memory_mb'] / 1024)} GiB, {system}, Python "
        f"{'.'.join(machine['python'].split('.')[:2])}: shards, Redis and supervisor together. Every figure is the "
        "median of so many runs as its table says, with the lowest and the highest where they differ."
    )
    yield (
        "[The benchmark's page](benchmark.md) says what is run and how to repeat it. This page is written by "
        "`make performance` from the benchmarks' JSON, and by nobody else"
        + (f"; {_measured(bench)}." if bench.get("commit") else ".")
    )


def _measured(source: Mapping[str, Any]) -> str:
    """Which code, and how fast that machine's cores are, where that is known: machines of one size differ by half."""
    loop_ns = source.get("machine", {}).get("python_loop_ns")
    speed = f", on cores on which a pass of an adding Python loop takes {loop_ns:.0f} ns" if loop_ns else ""
    return f"commit {source.get('commit')} was measured{speed}"


def _rates(throughput: Mapping[str, Any]) -> Iterable[str]:
    yield ""
    yield "## Entities handed over a second"
    yield ""
    yield (
        "20 ticks a second, a delay of 60 ms, manifests on, unless the row says otherwise. An entity cannot be handed "
        "over again before its switch: with few of them that is the limit, *cap*. *Offered* is what would cross if a "
        "handoff took no time. A run is measured for as long as *window* says. Skipped ticks, lost and doubled "
        "entities: the most of any run. Bytes are those that all sockets carry, Redis' included, and in parentheses "
        f"what of them is manifests; for a row of {page_costs.ROW_BYTES} bytes {4 * page_costs.ROW_BYTES + 100} are "
        "wanted."
    )
    yield ""
    yield (
        "| | shards | entities | Redis' file | window | a second | lowest second | cap; offered | CPU a handoff, us | "
        "bytes (manifests) | skipped | lost, doubled | runs |"
    )
    yield "| --- |" + " ---: |" * 12
    for row in throughput["rows"]:
        f = row["figures"]
        yield _line(
            row,
            f"{row['window_s']:.0f} s",
            _spread(f["handoffs_per_second"]),
            f"{f['lowest_second']['min']:,.0f}",
            f"{row['cap_per_second']:,.0f}; {row['offered_per_second']:,.0f}",
            _spread(f["cpu_us_per_handoff"], ".2f"),
            f"{f['bytes_per_handoff']['median']:,.0f} ({f['manifest_bytes_per_handoff']['median']:,.0f})",
            f"{f['ticks_skipped']['max']:.0f}",
            f"{f['lost']['max']:.0f}, {f['doubled']['max']:.0f}",
            row["runs"],
        )
    yield ""
    yield (
        "The same runs: how long an entity was without an owner beyond its tick, how long a tick took, and what Redis "
        "was asked."
    )
    yield ""
    yield (
        "| | shards | entities | Redis' file | gap p50, ms | gap p99, ms | tick p50, ms | tick p99, ms | "
        "manifests, % of a tick | requests to Redis, a thousand handoffs | entities a transfer |"
    )
    yield "| --- |" + " ---: |" * 10
    for row in throughput["rows"]:
        f = row["figures"]
        yield _line(
            row,
            *(_spread(f[name], ".1f") for name in ("gap_ms_p50", "gap_ms_p99", "tick_ms_p50", "tick_ms_p99")),
            _spread(f["publish_percent_of_tick"], ".1f"),
            _spread({key: 1000 * value for key, value in f["redis_requests_per_handoff"].items()}, ".1f"),
            _spread(f["entities_per_transfer"]),
        )


def _line(row: Mapping[str, Any], *cells: object) -> str:
    """What was run, and ``cells``."""
    about = (row["name"], row["shards"], f"{row['entities']:,}", row["fsync"])
    return "| " + " | ".join(map(str, (*about, *cells))) + " |"


def _peers(throughput: Mapping[str, Any]) -> Iterable[str]:
    durable = [row for row in throughput["rows"] if row["fsync"] == "always"]
    best = max(durable, key=lambda row: row["figures"]["handoffs_per_second"]["median"])
    f = best["figures"]
    yield ""
    yield "### Beside others"
    yield ""
    yield (
        "The same unit: one entity with its full state and sole authority at its destination, processes of one machine "
        "of this size, over the loopback. Only shardfleet's handoffs are on a disk before they count."
    )
    yield ""
    yield "| | | a second | CPU a handoff, all processes | bytes | time without an owner, p99 |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    yield (
        f"| shardfleet | {best['shards']} shards, {best['entities']:,} entities | "
        f"{f['handoffs_per_second']['median']:,.0f} | {f['cpu_us_per_handoff']['median']:.1f} us | "
        f"{f['bytes_per_handoff']['median']:,.0f} B | {f['gap_ms_p99']['median']:.1f} ms beyond a tick |"
    )
    for peer in PEERS:
        yield "| " + " | ".join(peer) + " |"


def _figures(bench: Mapping[str, Any]) -> Iterable[str]:
    figures = bench["figures"]
    yield ""
    yield "## Ticks, recovery, rest"
    yield ""
    yield from _medians(figures, FIGURES)
    broken = {name: figures[name]["max"] for name in ("lost", "doubled", "overlap_ticks", "false_verdicts")}
    yield ""
    yield (
        "Over all of these runs: " + ", ".join(f"{name.replace('_', ' ')} {v:.0f}" for name, v in broken.items()) + "."
    )


def _map(live_map: Mapping[str, Any]) -> Iterable[str]:
    yield ""
    yield "## The live map"
    yield ""
    yield (
        f"{live_map['entities']:,} entities, a page of 1280x800 in a headless Chromium that draws on the processor, "
        "server and browser on these two cores. It shows some time back on purpose, so as to have two frames to go "
        "between."
    )
    yield ""
    yield from _medians(live_map["figures"], MAP_FIGURES)


def _medians(figures: Mapping[str, Any], wanted: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> Iterable[str]:
    yield "| | | median | lowest–highest | runs |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for what, parts in wanted:
        for part, name in parts:
            if name in figures:
                f = figures[name]
                spread = f"{_short(f['min'])}–{_short(f['max'])}"
                yield f"| {what} | {part} | {_short(f['median'])} {f['unit']} | {spread} | {f['runs']} |"


def _spread(figure: Mapping[str, float], kind: str = ",.0f") -> str:
    median, low, high = (format(figure[key], kind).replace("-0.0", "0.0") for key in ("median", "min", "max"))
    return median if low == high else f"{median} ({low}–{high})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.page", description=__doc__)
    parser.add_argument("--bench", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--throughput", type=Path, default=Path("build/throughput.json"))
    parser.add_argument(
        "--costs",
        type=Path,
        nargs="+",
        default=[Path("build/costs.json")],
        help="left out where it is not there; of several the last counts for what it measured",
    )
    parser.add_argument("--map", type=Path, default=Path("build/map.json"), help="left out where it is not there")
    options = parser.parse_args()
    try:
        bench, throughput = (json.loads(path.read_text()) for path in (options.bench, options.throughput))
        costs = [json.loads(path.read_text()) for path in options.costs if path.exists()]
        live_map = json.loads(options.map.read_text()) if options.map.exists() else None
    except (OSError, ValueError) as error:
        print(f"{error}; run make bench and make bench-throughput first", file=sys.stderr)
        return 2
    PAGE.write_text(text(bench, throughput, costs, live_map))
    print(f"written to {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
