"""``shardfleet check``: do the traces in a folder prove that every rule was kept?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import print_json

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What 'shardfleet local up --trace DIR' wrote.")],
    as_json: AsJson = False,
) -> int:
    """Prove from traces that no rule was broken.

    No entity lost, doubled, changed by a handoff or put out of order: shown from the files alone. Ends with 1 where a
    rule was broken, or where a file that is needed for the proof is missing.

    \b
    Example:
      shardfleet check build/trace
      shardfleet check build/trace --json
    """
    from ..checker import check_directory
    from .main import EXIT_BROKEN

    report = check_directory(directory)
    if as_json:
        print_json(report.to_dict())
    else:
        print(report.to_text())
    return 0 if report.ok else EXIT_BROKEN
