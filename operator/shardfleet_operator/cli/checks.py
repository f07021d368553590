"""``shardfleet check``: do the traces in a folder prove that every rule was kept?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import EXIT_BROKEN
from .output import print_json

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What 'shardfleet local up --trace DIR' wrote.")],
    bound: Annotated[
        float | None,
        typer.Option("--bound", metavar="SECONDS", help="How long an entity may go unsimulated. Default: 5."),
    ] = None,
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
