"""Everything that a running shard tells an operations room, as far as anybody wants it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

from ..authority_manager import ServerAuthorityManager
from .endpoint import metrics_served
from .otlp import MetricsExport, is_wanted, resource
from .shard import read_shard, resource_of, shard_text
from .tracing import TransferTracer

log = logging.getLogger(__name__)

SERVICE = "shardfleet-shard"


@contextlib.asynccontextmanager
async def shard_signals(
    manager: ServerAuthorityManager, *, metrics: str, environ: Mapping[str, str]
) -> AsyncIterator[None]:
    """Metrics for Prometheus at the address ``metrics`` ('' for none), and by OTLP metrics and traces of transfers.

    Raises:
        UsageError: an address or a variable that cannot be used.
    """
    context = manager.runtime.context
    started_us = context.clock.now_unix_us()
    signals = [signal for signal in ("traces", "metrics") if is_wanted(signal, environ)]
    closing: list[Callable[[], Awaitable[None]]] = []

    async def close() -> None:
        await asyncio.gather(*(one() for one in closing))  # all have the same moment

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(close)
        if metrics:
            where = await stack.enter_async_context(metrics_served("--metrics", metrics, partial(shard_text, manager)))
            log.info("metrics on http://%s/metrics", where)
        if signals:
            about = resource(SERVICE, f"{context.shard}-{started_us}", resource_of(manager), environ)
            log.info("%s go out by OTLP", " and ".join(signals))
        if "traces" in signals:
            tracer = TransferTracer.from_environment(about, environ)
            closing.append(tracer.close)
            context.sample, manager.take_spans = tracer.sample, tracer.take
        if "metrics" in signals:
            export = MetricsExport(partial(read_shard, manager), about, start_us=started_us, environ=environ)
            closing.append(export.close)
        yield
