"""Options and arguments that several commands have, in the same words."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
EntityId = Annotated[int, typer.Argument(metavar="ID", min=0, max=2**64 - 1, help="The entity.")]

WatchedIds = Annotated[
    str | None, typer.Option("--ids", metavar="ID,ID,...", help="These entities only. Default: all.")
]
WatchInterval = Annotated[
    str,
    typer.Option(
        "--interval", metavar="DURATION", help="Between two pictures of a shard, such as 500ms; 0s: as published."
    ),
]
WatchDuration = Annotated[
    str | None, typer.Option("--duration", metavar="DURATION", help="Stop after this long. Default: at Ctrl-C.")
]
RowsAsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a row, each on its line.")]
