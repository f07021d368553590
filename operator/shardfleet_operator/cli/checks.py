"""``shardfleet check`` and ``shardfleet report``: do the traces in a folder prove that every rule was kept?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .exits import EXIT_BROKEN
from .options import AsJson
from .output import print_json, print_progress

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="What 'shardfleet local up --trace DIR' wrote.")]
Bound = Annotated[
    float | None,
    typer.Option("--bound", metavar="SECONDS", help="How long an entity may go unsimulated. Default: 5."),
]


def register(app: typer.Typer) -> None:
    app.command("check")(check)
    app.command("report")(report)


def check(
    directory: Directory,
    bound: Bound = None,
    as_json: AsJson = False,
) -> int:
    """Prove from traces that no rule was broken.

    No entity lost, doubled, changed by a handoff or put out of order: shown from the files alone. Ends with 1 where a
    rule was broken, or where a file that is needed for the proof is missing. A fleet that was killed as a whole
    and started again later has a hole as long as it was away: allow for it with --bound.

    \b
    Example:
      shardfleet check build/trace
      shardfleet check build/trace --bound 30 --json
    """
    from ..checker import DEFAULT_BOUND_S, check_directory

    report = check_directory(directory, bound_s=DEFAULT_BOUND_S if bound is None else bound)
    if as_json:
        print_json(report.to_dict())
    else:
        print(report.to_text())
    return 0 if report.ok else EXIT_BROKEN


def report(
    directory: Directory,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page to write. Default: DIR/report.html.")
    ] = None,
    bound: Bound = None,
) -> int:
    """Draw traces as one HTML page.

    The verdict of 'shardfleet check', a map of the tracks by owner, the handoffs over time, gaps and ticks, and the
    lives of the shards. The page needs no network and no script; of a large trace it shows a sample, and says so. It
    is written also where a rule was broken; the command then ends with 1, as 'shardfleet check' does.

    \b
    Example:
      shardfleet report build/trace
      shardfleet report build/trace --bound 30 -o trace.html
    """
    from ..checker import DEFAULT_BOUND_S
    from ..trace_report import PAGE_NAME, check_place, read_story, render, write_page

    path = directory / PAGE_NAME if output is None else output
    if output is not None or directory.is_dir():
        check_place(path)
    story = read_story(
        directory, bound_s=DEFAULT_BOUND_S if bound is None else bound, progress=print_progress(sys.stderr)
    )
    size = write_page(path, render(story))
    print(story.check.to_text())
    print(f"  page        {path}, {size:,} bytes")
    return 0 if story.check.ok else EXIT_BROKEN
