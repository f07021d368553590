"""``shardfleet simulation``: the plugins that are installed, and whether one keeps its promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .exits import EXIT_BROKEN
from .options import AsJson
from .output import print_json, style, table


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="List simulations, or test one.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(list_simulations)
    group.command("check")(check)
    app.add_typer(group, name="simulation")


def list_simulations(as_json: AsJson = False) -> None:
    """List the installed simulations and their columns.

    \b
    Example:
      shardfleet simulation list
    """
    from shardfleet_shard.simulations.registry import find, installed, schema_for

    rows = []
    for name, entry in installed().items():
        extra = [column.name for column in schema_for(name, 2).columns[4:]]
        rows.append((name, extra, bool(find(name).exact), entry.value))
    if as_json:
        keys = ("name", "columns", "exact", "class")
        print_json({"simulations": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    lines = [(name, ", ".join(extra) or "-", "yes" if exact else "no", value) for name, extra, exact, value in rows]
    print(table(("NAME", "COLUMNS", "EXACT", "CLASS"), lines))


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The simulation, as 'shardfleet simulation list' says.")],
    parameters: Annotated[
        str, typer.Option(metavar="JSON", help="Its parameters, as one JSON object; @FILE reads them from a file.")
    ] = "{}",
    dimensions: Annotated[int, typer.Option(min=2, max=3, help="Of the world that it is tested in.")] = 2,
    tick_rate: Annotated[int, typer.Option(min=1, max=1000, help="Ticks a second.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers; the same seed gives the same test.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Test that a simulation keeps what it promises.

    A target moves an entity forward by itself until it has the source's last state. That is right only where the
    same row gives the same bits, whatever other rows are there: this permutes, splits and strides them to see.

    \b
    Example:
      shardfleet simulation check orbit
      shardfleet simulation check replay --parameters '{"tracks": "flights.csv", "timeUnit": "s"}'
    """
    from shardfleet_shard.simulations.check import run

    values, base_dir = _parameters(parameters)
    result = run(name, values, dimensions, base_dir=base_dir, tick_rate=tick_rate, seed=seed)
    if as_json:
        faults = [{"rule": fault.rule, "message": fault.message} for fault in result.faults]
        print_json({"simulation": name, "ok": result.ok, "faults": faults, "seed": seed})
    else:
        for line in result.lines:
            print(style(line, "red") if line.startswith("FAULT") else line)
    return 0 if result.ok else EXIT_BROKEN


def _parameters(text: str) -> tuple[dict[str, Any], str]:
    """(parameters, the folder that relative paths in them count from)."""
    from shardfleet_shard.errors import UsageError

    base_dir = "."
    if text.startswith("@"):
        file = Path(text[1:])
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--parameters: {file}: cannot be read: {getattr(error, 'strerror', error)}") from error
        base_dir = str(file.resolve().parent)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--parameters: not JSON ({error}); an example: '{{\"radius\": 45}}'") from error
    if not isinstance(values, dict):
        raise UsageError("--parameters: must be one JSON object, such as '{\"radius\": 45}'")
    return values, base_dir
