"""``shardfleet config`` and ``shardfleet validate``: what a fleet's file means, without starting anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .exits import EXIT_USAGE
from .options import AsJson
from .output import print_json, style, table

FleetFile = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The fleet's YAML file.")]


def register(app: typer.Typer) -> None:
    app.command("config")(config)
    app.command("validate")(validate)


def config(file: FleetFile, as_json: AsJson = False) -> None:
    """Show every setting and where its value came from.

    A value comes from the environment before the file, and from the file before the default.

    \b
    Example:
      shardfleet config -f examples/orbit.yaml
      ATLASNET_ENTITY_HANDOFF_TRANSFER_DELAY_US=80000 shardfleet config -f examples/orbit.yaml --json
    """
    from ..resource import config_rows, load_fleet

    resource = load_fleet(file)
    rows = config_rows(resource, os.environ)
    if as_json:
        settings = [{"field": row.field, "value": row.value, "source": row.source} for row in rows]
        print_json({"fleet": resource.name, "settings": settings})
        return
    lines = [
        (row.field, row.value, row.source if row.source == "default" else style(row.source, "yellow")) for row in rows
    ]
    print(table(("FIELD", "VALUE", "FROM"), lines))


def validate(file: FleetFile, as_json: AsJson = False) -> int:
    """Check a fleet's file without starting anything.

    By the rules of the API server, and with the simulation's parameters. All faults are named at once, each with its
    line.

    \b
    Example:
      shardfleet validate -f examples/orbit.yaml
    """
    from shardfleet_shard.errors import SpecError, UsageError

    try:
        name, replicas = _check(file)
    except UsageError as error:
        if not as_json:
            raise
        faults = error.faults if isinstance(error, SpecError) else [("", str(error))]
        print_json({"file": str(file), "valid": False, "faults": [{"field": f, "message": m} for f, m in faults]})
        return EXIT_USAGE
    if as_json:
        print_json({"file": str(file), "valid": True, "faults": []})
    else:
        print(f"{file}: fleet {name!r} of {replicas} shards is {style('valid', 'green')}")
    return 0


def _check(file: Path) -> tuple[str, int]:
    from shardfleet_shard.errors import SpecError
    from shardfleet_shard.simulations.registry import check_parameters

    from ..resource import load_fleet, to_config

    resource = load_fleet(file)
    settings = to_config(resource, os.environ)
    try:
        check_parameters(settings.simulation, settings.parameters)
    except SpecError as error:
        raise resource.error(error.faults) from error
    return settings.name, settings.replicas
