"""The shard process: ``python -m shardfleet_shard.process``, or ``shardfleet shard``.

Reads arguments, environment and configuration, builds the parts, runs until the end, and turns what happened into an
exit code; see exit_codes.py.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .authority_manager import LinkedPeers, ServerAuthorityManager
from .config import FleetConfig
from .core.requests import Joined, Refused
from .core.roll_requests import MIN_CALL_MS, CallRoll, Rolled, RollPhase
from .core.row_reader import RowReader
from .core.ticks import TickGrid
from .environment import CLOCK_OFFSET_VARIABLE, LOG_FORMAT_VARIABLE, REDIS_URL_VARIABLE
from .errors import SchemaChanged, ShardfleetError, StoreUnavailable, UsageError
from .exit_codes import ExitCode
from .log_lines import formatter_for
from .monitoring.shard_signals import shard_signals
from .net.leases import HandoffConnectionLeaseCoordinator
from .net.limits import LinkLimits
from .net.links import HandoffConnectionManager
from .net.packets import HandoffPacketManager
from .net.server import ShardServer
from .net.streams import INSECURE, Credentials
from .net.tls import TlsFolder
from .runtime import ServerAuthorityRuntime
from .service import ShardService
from .simulations.registry import load, reader_for, world_for
from .store.redis_store import RedisStore
from .system_clock import SystemClock
from .trace import TraceWriter

PARENT_CHECK_S = 0.5
ROLL_CALL_CHECK_S = 0.1
REDIS_CHECK_S = 0.5

log = logging.getLogger("shardfleet.shard")


def parser() -> argparse.ArgumentParser:
    """The command's arguments; the Redis URL is not among them: a command line shows in every process list."""
    result = argparse.ArgumentParser(
        prog="shardfleet shard",
        description="One shard of a fleet. Usually started by `shardfleet local up` or by the operator.",
        epilog=f"Example: {REDIS_URL_VARIABLE}=redis://127.0.0.1:6379 shardfleet shard --shard arena-0 --ordinal 0 "
        "--config arena.json --listen 127.0.0.1:0",
    )
    result.add_argument("--shard", required=True, help="this shard's name, <fleet>-<ordinal>")
    result.add_argument("--ordinal", required=True, type=int)
    result.add_argument("--config", required=True, type=Path, help="JSON file of the fleet's settings")
    result.add_argument("--listen", default="127.0.0.1:0", help="host:port for gRPC; port 0 takes a free one")
    result.add_argument("--advertise", metavar="HOST", help="the host that peers dial; default: the one of --listen")
    result.add_argument("--health", default="", help="host:port that answers health alone, in plain text")
    result.add_argument("--metrics", default="", help="host:port that answers GET /metrics, for Prometheus")
    result.add_argument("--tls", type=Path, metavar="DIR", help="mutual TLS on links: ca.crt, tls.crt and tls.key")
    result.add_argument("--trace", type=Path, help="folder for the per-tick trace")
    result.add_argument(
        "--on-sigterm",
        choices=("settle", "drain"),
        default="settle",
        help="settle: rest with the entities, to be resumed; drain: hand them over once the layout says to whom",
    )
    result.add_argument(
        "--log-format",
        default=os.environ.get(LOG_FORMAT_VARIABLE, "text"),
        metavar="text|json",
        help=f"default: {LOG_FORMAT_VARIABLE}, or text",
    )
    result.add_argument("--parent-pid", type=int, default=0, help="end when this process is no longer the parent")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one shard. Returns the exit code."""
    arguments = parser().parse_args(argv)
    about: dict[str, Callable[[], Any]] = {"shard": lambda: arguments.shard}
    try:
        text = f"%(asctime)s %(levelname)s {arguments.shard} %(name)s: %(message)s"
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter_for(arguments.log_format, text=text, about=about))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(arguments, about))
    except UsageError as error:
        print(f"shardfleet: error: {error}", file=sys.stderr)
        return ExitCode.SCHEMA if isinstance(error, SchemaChanged) else ExitCode.WRONG_USE
    except ShardfleetError as error:
        log.exception("%s", error.code)
        return ExitCode.INVARIANT


async def _run(arguments: argparse.Namespace, about: dict[str, Callable[[], Any]]) -> int:
    """``about``: gets what log lines say of this process, as it becomes known."""
    config = _read_config(arguments.config)
    about.update(fleet=lambda: config.name, namespace=lambda: config.namespace)
    url = _redis_url()
    clock = SystemClock(offset_us=int(os.environ.get(CLOCK_OFFSET_VARIABLE, "0")))
    reader = reader_for(config.simulation, config.dimensions)
    schema = reader.schema
    simulation = load(config.simulation, world_for(config), config.parameters)
    beside = [asyncio.create_task(_end_without_parent(arguments.parent_pid))]
    store = RedisStore(url, config.identity)
    try:
        joined = await _join(store, config, reader)
    except SchemaChanged:
        await store.close()  # so that what it says is its last words
        raise
    grid = TickGrid(config.tick_rate)
    peers = LinkedPeers(clock, skew_limit_us=config.skew_limit_us)
    tls = TlsFolder(arguments.tls) if arguments.tls is not None else None
    credentials = tls.credentials if tls is not None else INSECURE
    server = ShardServer(arguments.listen, schema=schema, credentials=credentials, health_address=arguments.health)
    address = await server.bind()
    if arguments.advertise:
        address = f"{arguments.advertise}:{address.rpartition(':')[2]}"
    runtime = ServerAuthorityRuntime(
        shard=arguments.shard,
        ordinal=arguments.ordinal,
        address=address,
        config=config,
        schema=schema,
        simulation=simulation,
        clock=clock,
        peers=peers,
        generation=joined.generation,
        rng=np.random.default_rng([arguments.ordinal, clock.now_unix_us()]),
        trace=arguments.trace is not None,
    )
    about["epoch"] = lambda: runtime.context.epoch
    manager = ServerAuthorityManager(
        runtime=runtime,
        store=store,
        clock=clock,
        peers=peers,
        links=_links(arguments, config, clock, HandoffPacketManager(schema, grid, also=reader.schemas), credentials),
        trace=_trace(arguments, config),
        set_ready=server.set_ready,
    )
    await server.start(links=manager.links, api=ShardService(manager))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, manager.drain if arguments.on_sigterm == "drain" else manager.settle)
    if tls is not None:
        beside.append(asyncio.create_task(tls.follow(manager.links.renew_credentials)))
    log.info("serving on %s", address)
    try:
        async with shard_signals(manager, metrics=arguments.metrics, environ=os.environ):
            return await manager.run()
    finally:
        for task in beside:
            task.cancel()
        await server.stop()
        await store.close()


async def _join(store: RedisStore, config: FleetConfig, reader: RowReader) -> Joined:
    """Waits for a Redis that does not answer: whoever starts this process could do no more than start it again."""
    told = ""
    while True:
        try:
            await store.connect()
            await store.join(founds=False)
            await wait_until_open(store, config)
            return await store.join(reader.schema, takes=reader.takes, simulation=config.simulation, founds=False)
        except StoreUnavailable as error:
            if str(error) != told:
                log.warning("waiting for Redis: %s", error)
            told = str(error)
        await asyncio.sleep(REDIS_CHECK_S)


async def wait_until_open(store: RedisStore, config: FleetConfig) -> None:
    """A Redis that restarted first hears what living shards know. Where none lives, nobody says anything."""
    told = False
    while True:
        (reply,) = await store.execute([CallRoll(call_ms=max(config.lease_us // 1_000, MIN_CALL_MS))])
        if isinstance(reply, Rolled) and reply.phase is RollPhase.OPEN:
            return
        if isinstance(reply, Refused):  # it restarted again
            await store.join(founds=False)
        elif not told:
            log.info("Redis restarted: waiting for the end of the roll-call")
            told = True
        await asyncio.sleep(ROLL_CALL_CHECK_S)


def _redis_url() -> str:
    url = os.environ.get(REDIS_URL_VARIABLE, "")
    if not url:
        raise UsageError(
            f"the environment variable {REDIS_URL_VARIABLE} is not set; it says where the fleet's Redis is"
        )
    return url


def _links(
    arguments: argparse.Namespace,
    config: FleetConfig,
    clock: SystemClock,
    packets: HandoffPacketManager,
    credentials: Credentials,
) -> Callable[[ServerAuthorityManager], HandoffConnectionManager]:
    def links(manager: ServerAuthorityManager) -> HandoffConnectionManager:
        leases = HandoffConnectionLeaseCoordinator(
            manager.link_lease, hello=manager.hello, clock=clock, ttl_us=config.link_lease_ttl_us
        )
        return HandoffConnectionManager(
            hello=manager.hello,
            ordinal=arguments.ordinal,
            packets=packets,
            clock=clock,
            generator=random.Random(f"{arguments.shard}/{clock.now_unix_us()}"),
            on_frame=manager.on_frame,
            on_up=manager.on_link_up,
            on_down=manager.on_link_down,
            leases=leases if config.link_lease == "Enabled" else None,
            limits=LinkLimits(inactivity_us=config.link_inactivity_us),
            credentials=credentials,
        )

    return links


def _trace(arguments: argparse.Namespace, config: FleetConfig) -> Callable[[int, int], TraceWriter] | None:
    """Opens the trace of an epoch, where one is wanted."""
    if not arguments.trace:
        return None
    grid = TickGrid(config.tick_rate)

    def trace(epoch: int, origin_tick: int) -> TraceWriter:
        return TraceWriter(
            arguments.trace,
            arguments.shard,
            epoch,
            dimensions=config.dimensions,
            dt_us=grid.duration_us,
            origin_tick=origin_tick,
            tick_rate=grid.rate,
        )

    return trace


def _read_config(path: Path) -> FleetConfig:
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    config = FleetConfig.from_json(text)
    config.validate()
    return config


async def _end_without_parent(parent: int) -> None:
    """A shard whose supervisor was killed must not go on unseen; its rows are in Redis."""
    if not parent:
        return
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(PARENT_CHECK_S)
    log.error("the supervising process is gone")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
