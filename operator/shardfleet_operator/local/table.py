"""What a person sees while a fleet runs: a live table in a terminal, one short line a second elsewhere."""

from __future__ import annotations

import math
from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .figures import FleetView, ShardLine

LINE_INTERVAL_S = 1.0
TABLE_INTERVAL_S = 0.25

_COLOURS = {"active": "green", "fenced": "red", "simulation-error": "red", "ended": "red", "settling": "cyan"}


class Screen(Protocol):
    """Where the run is shown. A context manager; ``say`` is for events, ``show`` for the state."""

    interval_s: float

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def say(self, message: str) -> None: ...
    def show(self, view: FleetView, seconds: float) -> None: ...


def screen_for(stream: IO[str], *, terminal: bool) -> Screen:
    """A table where ``terminal``, else lines, on ``stream``."""
    return TableScreen(stream) if terminal else LineScreen(stream)


class LineScreen:
    """Plain text, without colours."""

    interval_s = LINE_INTERVAL_S

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, message: str) -> None:
        print(message, file=self._stream, flush=True)

    def show(self, view: FleetView, seconds: float) -> None:
        self.say(to_line(view, seconds))


class TableScreen:
    """A table that is drawn over and over; what is said scrolls by above it."""

    interval_s = TABLE_INTERVAL_S

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, message: str) -> None:
        self._console.print(Text(message))

    def show(self, view: FleetView, seconds: float) -> None:
        self._live.update(to_table(view, to_line(view, seconds)), refresh=True)


def to_line(view: FleetView, seconds: float) -> str:
    """'  12 s  4/4 shards  50 entities  13 handoffs/s  gap 1.2 ms  tick 0.8 ms', gap and tick as p99."""
    return (
        f"{seconds:4.0f} s  {view.active}/{len(view.shards)} shards  {view.entities:,} entities  "
        f"{view.handoffs_per_second:,.0f} handoffs/s  gap {ms(view.gap_p99_ms)} ms  tick {ms(view.tick_p99_ms)} ms"
    )


def to_table(view: FleetView, title: str = "") -> Table:
    """One row a shard; numbers to the right, gap and tick in milliseconds."""
    table = Table(
        title=title or None, title_justify="left", title_style="", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    table.add_column("SHARD", no_wrap=True, min_width=max((len(line.shard) for line in view.shards), default=5))
    for heading in ("CELLS", "STATE"):
        table.add_column(heading, no_wrap=True)
    # Narrow enough for a terminal of 80 columns.
    for heading in ("ENTITIES", "OPEN", "GAP P99", "TICK P99", "SKIPPED", "RESTARTS"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in view.shards:
        table.add_row(*_cells(line))
    return table


def to_plain_table(view: FleetView) -> str:
    """The same table as plain text, for ``local status`` where no person looks."""
    console = Console(width=200, no_color=True, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(to_table(view))
    return "\n".join(text.rstrip() for text in capture.get().splitlines())


def ms(value: float | None) -> str:
    """One decimal below 100; '-' where nothing was measured."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def _cells(line: ShardLine) -> list[Text | str]:
    state = Text(line.state, style=_COLOURS.get(line.state, ""))
    return [
        line.shard,
        line.cells or "-",
        state,
        f"{line.entities:,}",
        f"{line.transfers_open:,}",
        ms(line.gap_p99_ms),
        ms(line.tick_p99_ms),
        f"{line.ticks_skipped:,}",
        f"{line.restarts:,}",
    ]
