"""``shardfleet operator``: keeps the ShardFleets of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from shardfleet_shard.environment import IMAGE_VARIABLE, LOG_FORMAT_VARIABLE, REDIS_URL_VARIABLE


def register(app: typer.Typer) -> None:
    app.command("operator")(operator)


def operator(
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Serve only this namespace; may be given again."),
    ] = None,
    image: Annotated[
        str,
        typer.Option("--image", envvar=IMAGE_VARIABLE, help="Image of shards whose spec.image is empty."),
    ] = "",
    lease_namespace: Annotated[
        str, typer.Option("--lease-namespace", help="Where the Lease is. Default: the operator's own namespace.")
    ] = "",
    health: Annotated[
        str, typer.Option("--health", metavar="HOST:PORT", help="Serve /healthz and /readyz there.")
    ] = "",
    inspection: Annotated[
        str,
        typer.Option(
            "--inspection",
            metavar="HOST:PORT",
            help="Serve 'kubectl shardfleet' there. Use the loopback: whoever gets there may read every fleet.",
        ),
    ] = "",
    map_folder: Annotated[
        Path | None,
        typer.Option("--map", metavar="DIR", help="The live map's Secret, for who may reach the inspection port."),
    ] = None,
    copies: Annotated[
        Path | None,
        typer.Option(
            "--copies", metavar="DIR", help="Keep a copy of each fleet's world there, as 'shardfleet backup' makes it."
        ),
    ] = None,
    copy_interval: Annotated[
        str, typer.Option("--copy-interval", metavar="DURATION", help="Between two copies of a fleet.")
    ] = "60s",
    log_format: Annotated[
        str,
        typer.Option("--log-format", metavar="text|json", envvar=LOG_FORMAT_VARIABLE, help="Lines of the log."),
    ] = "text",
    metrics: Annotated[
        str, typer.Option("--metrics", metavar="HOST:PORT", help="Serve GET /metrics there, for Prometheus.")
    ] = "",
) -> int:
    """Keep the ShardFleets of a cluster. The chart runs this.

    In a pod it logs in by its ServiceAccount, elsewhere as KUBECONFIG says. Fleets that name no Redis use the one of
    SHARDFLEET_REDIS_URL. Only one operator acts at a time; another waits
    for its Lease.

    \b
    Example:
      SHARDFLEET_REDIS_URL=redis://127.0.0.1:6379 shardfleet operator --image registry.example/shardfleet:0.1.0
    """
    import asyncio
    import logging
    import os
    import sys

    from shardfleet_shard.log_lines import formatter_for
    from shardfleet_shard.system_clock import SystemClock

    from ..cluster.settings import OperatorSettings
    from ..operator_process import Operator, OperatorOptions

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter_for(log_format, text="%(asctime)s %(levelname)s %(name)s: %(message)s", about={}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    settings = OperatorSettings(
        image=image,
        redis_url=os.environ.get(REDIS_URL_VARIABLE, ""),
        environ=dict(os.environ),
        copies=copies,
        copy_interval_us=_interval_us(copy_interval),
    )
    options = OperatorOptions(
        settings=settings,
        namespaces=namespace or (),
        lease_namespace=lease_namespace,
        health=health,
        inspection=inspection,
        map_folder=map_folder,
        metrics=metrics,
    )

    async def run() -> int:
        return await Operator(options, SystemClock()).run()

    return asyncio.run(run())


def _interval_us(text: str) -> int:
    from shardfleet_shard.config import parse_duration_us
    from shardfleet_shard.errors import UsageError

    try:
        interval_us = parse_duration_us(text)
    except ValueError as error:
        raise UsageError(f"--copy-interval {text}: {error}") from error
    if interval_us < 1_000_000:
        raise UsageError(f"--copy-interval {text}: Redis would do little else; at least 1s")
    return interval_us
