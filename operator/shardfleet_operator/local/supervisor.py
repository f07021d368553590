"""``shardfleet local up``: one fleet on this machine, from its file to its report.

Starts Redis where none is named, takes the world up, and then does the plan's bidding over and over: a process a
shard, started again when it dies. It ends by *settling*: no new transfers, open ones finish, every shard publishes,
resigns and ends; what is still there then is counted and reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import WatchedFileHandler
from pathlib import Path

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.core.clock import Clock
from shardfleet_shard.errors import StoreError, UsageError
from shardfleet_shard.exit_codes import ExitCode
from shardfleet_shard.simulations import registry
from shardfleet_shard.store.redis_store import PATIENT_TIMEOUT_S, RedisStore

from ..plan import ordinal_of
from ..platforms import perform
from ..platforms.local import SHARD_COMMAND, LocalOptions, LocalPlatform, LocalProcess
from ..watchdog import Watchdog
from .embedded_redis import EmbeddedRedis
from .figures import Figures, failure_news
from .folder import EMBEDDED, DataFolder, trace_folder, without_password
from .loops import beside, first_of, within
from .map_child import MapChild, listening_socket
from .planning import LocalPlanner
from .recovery import hanging
from .report import Run, build, faults, why_no_handoffs
from .table import Screen
from .world import Baseline, World, all_claimed, layout_of

log = logging.getLogger(__name__)

RECONCILE_S = 0.15
GATHER_S = 0.25
START_TIMEOUT_S = 60.0
"""Until every cell is claimed for the first time; only a run with a duration ends by it."""
SETTLE_TIMEOUT_S = 30.0
"""Open transfers finish within 2 s; a large last manifest and its place on the disk take a few more, and all of
it several times as long where the machine is busy. Who does not want to wait interrupts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What ``local up`` was asked for.

    Attributes:
        duration_s: counted from the moment at which every cell is claimed; None: until told to end.
        redis_url: None for the embedded one.
        metrics_port: shard N serves its metrics on this port plus N; None: none does.
        tls: of ``checked_folder``; None: links are plain text.
        with_map: serve the live map; ``map_port``: there, or, for None, where it is free.
        shard_command: what runs a shard.
    """

    file: Path
    config: FleetConfig
    folder: DataFolder
    duration_s: float | None = None
    redis_url: str | None = None
    fresh: bool = False
    trace: Path | None = None
    metrics_port: int | None = None
    tls: Path | None = None
    with_map: bool = False
    map_port: int | None = None
    shard_command: Sequence[str] = SHARD_COMMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. ``report`` is None where it was ended at once."""

    report: Mapping[str, object] | None
    faults: tuple[str, ...]
    note: str | None

    @property
    def exit_code(self) -> int:
        return 1 if self.faults else 0


class Supervisor:
    """One run.

    Args:
        environment: inherited by the shards.
    """

    def __init__(self, options: UpOptions, clock: Clock, screen: Screen, *, environment: Mapping[str, str]) -> None:
        self.options = options
        self.config = options.config
        self.folder = options.folder
        self.clock = clock
        self.screen = screen
        self.figures = Figures()
        self.redis: EmbeddedRedis | None = None
        self.world: World
        self.platform: LocalPlatform
        self.watchdog: Watchdog
        self._environment = environment
        self._stored: FleetConfig | None = None
        self._shards: tuple[str, ...] = ()
        self._troubles: list[str] = []
        self._failed = ""
        self._began_us = clock.now_unix_us()
        self._running_since_us: int | None = None
        self._ran_us = 0
        self._runs = asyncio.Event()
        self._settle = asyncio.Event()
        self._abort = asyncio.Event()
        self._changed = asyncio.Event()
        self._claimed = asyncio.Event()
        self._redis_gone = asyncio.Event()
        self._roll_called = False
        """Redis restarted, and its roll-call goes on."""
        self._silent = False
        self._failing: frozenset[str] = frozenset()
        self._written: list[LocalProcess] = []
        self._map: MapChild | None = None

    def interrupt(self, reason: str = "") -> None:
        """The first time the fleet settles, the second time it ends at once."""
        if self._settle.is_set():
            self.screen.say("ending at once")
            self._abort.set()
        else:
            self.screen.say(f"settling{f' ({reason})' if reason else ''}; once more ends at once")
            self._settle.set()

    # --- from beginning to end -----------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Runs the fleet until it has settled.

        Raises:
            UsageError: whatever cannot be run, with what to do.
            StoreError: Redis did not serve when it had to.
        """
        registry.load(self.config.simulation, registry.world_for(self.config), self.config.parameters)
        self.folder.lock()
        try:
            url = self.options.redis_url
            redis_name = EMBEDDED if url is None else without_password(url)
            resumed = self.folder.check_world(self.config, redis_name, fresh=self.options.fresh)
            self._stored = self.folder.stored_config() if resumed else None
            trace = trace_folder(self.options.trace, resumed=resumed)
            with self._map_listens():
                self.folder.begin_run()
                if url is None and not resumed:
                    self.folder.begin_world(
                        self.config, redis_name, fresh=self.options.fresh
                    )  # its Redis starts on that
                with _logged_to(self.folder.logs / "supervisor.log"):
                    return await self._run_here(resumed=resumed, trace=trace)
        finally:
            self.folder.unlock()

    @contextlib.contextmanager
    def _map_listens(self) -> Iterator[None]:
        """Raises ``UsageError``: not at that port."""
        if not self.options.with_map:
            yield
            return
        listener = listening_socket(self.options.map_port)
        self._map = MapChild(self.folder, listener, environment=self._environment)
        try:
            yield
        finally:
            self._map.close()

    async def _run_here(self, *, resumed: bool, trace: Path | None) -> Outcome:
        async with self._redis() as url:
            return await self._run_on(url, resumed=resumed, trace=trace)

    @contextlib.asynccontextmanager
    async def _redis(self) -> AsyncIterator[str]:
        if self.options.redis_url is not None:
            yield self.options.redis_url
            return
        self.redis = await EmbeddedRedis.start(self.folder.redis, say=self.screen.say)
        try:
            yield self.redis.url
        finally:
            await self.redis.stop()

    async def _run_on(self, url: str, *, resumed: bool, trace: Path | None) -> Outcome:
        store = RedisStore(url, self.config.name, timeout_s=PATIENT_TIMEOUT_S)
        self.world = World(store, self.config, self.clock, owned=self.redis is not None)
        try:
            before = await self.world.take_up(
                resumed=resumed, fresh=self.options.fresh, stored=self._stored, say=self.screen.say
            )
            if self.redis is None and not resumed:
                self.folder.begin_world(self.config, without_password(url), fresh=self.options.fresh)
            self.folder.forget_report()
            self.folder.write_config(self.config)  # only now, so that refused settings are never taken for the world's
            self.figures = Figures(before=before.processes, counters_before=before.counters)
            self.folder.write_fleet(
                self.config.name, url, self.options.file, started_unix_us=self._began_us, tls=self.options.tls
            )
            self._make_parts(url, trace)
            try:
                await self._follow()
                settled = await self._end_shards()
            finally:
                await self.platform.end_all(term_s=0.0)
            if self._failed:
                raise UsageError(self._failed)
            return await self._conclude(before, settled=settled)
        finally:
            await store.close()

    def _make_parts(self, url: str, trace: Path | None) -> None:
        options = LocalOptions(
            fleet=self.config.name,
            config=self.folder.config,
            logs=self.folder.logs,
            redis_url=url,
            trace=trace,
            metrics_port=self.options.metrics_port,
            tls=self.options.tls,
            command=self.options.shard_command,
        )
        self.platform = LocalPlatform(
            options, self.clock, self.world.confirm_ended, environment=self._environment, on_end=self._process_ended
        )
        self._planner = LocalPlanner(self.config, self.world, self.figures.newest_of)
        self.watchdog = Watchdog(
            self.world.reader,
            self.clock,
            threshold_us=self.config.discrepancy_threshold_us,
            interval_us=self.config.audit_interval_us,
            lease_us=self.config.lease_us,
            on_news=lambda finding: self.screen.say(f"watchdog: {finding}"),
            say=self.screen.say,
        )

    async def _follow(self) -> None:
        """Until it is time to settle."""
        async with beside(self._reconcile(), self._gather(), self._show(), self._watch(), self._serve_map()):
            if self.options.duration_s is None:
                await self._settle.wait()
                return
            if not await within(first_of(self._runs.wait(), self._settle.wait()), START_TIMEOUT_S):
                self._trouble(f"the fleet did not run within {START_TIMEOUT_S:.0f} s")
            elif not await within(self._settle.wait(), self.options.duration_s):
                self.screen.say(f"settling: {self.options.duration_s:g} s are over")
            self._settle.set()

    async def _end_shards(self) -> bool:
        """Settles. Returns whether all shards resigned; False where it was ended at once."""
        if self._running_since_us is not None:
            self._ran_us = self.clock.now_unix_us() - self._running_since_us
        async with beside(self._gather(), self._show()):
            await first_of(self._settle_shards(), self._abort.wait())
        return not self._abort.is_set()

    async def _settle_shards(self) -> None:
        with contextlib.suppress(StoreError):  # SIGTERM says the same
            await self.world.admin.set_phase("settle")
        for late in await self.platform.end_all(term_s=SETTLE_TIMEOUT_S):
            self._trouble(f"{late.shard} did not settle within {SETTLE_TIMEOUT_S:.0f} s and was killed")

    async def _conclude(self, before: Baseline, *, settled: bool) -> Outcome:
        """Counts what is there, and writes the report."""
        if not settled:
            return Outcome(report=None, faults=("ended at once, without settling",), note=None)
        await self._gather_once()
        await self.watchdog.audit_once()  # what settled since it last looked does not stand any more
        run = Run(
            config=self.config,
            shards=len(self._shards) or self.config.replicas,
            exact=bool(registry.find(self.config.simulation).exact),
            seconds=self._ran_us / 1_000_000,
            stats=self.figures.stats,
            counters_before=before.counters,
            counters_after=await self.world.admin.counters(),
            commands=max(0, await self.world.commands() - before.commands),
            entities=(await self.world.count()).to_dict(),
            transfers_left=len(await self.world.transfers.active()),
            verdicts=self.watchdog.report(),
            troubles=tuple(self._troubles),
        )
        report = build(run)
        outcome = Outcome(report=report, faults=tuple(faults(run, report)), note=why_no_handoffs(run))
        self.folder.write_report(
            report, {"exit_code": outcome.exit_code, "faults": list(outcome.faults), "note": outcome.note}
        )
        return outcome

    # --- what goes on meanwhile ----------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Observe, plan, perform; at once when a process ends."""
        while True:
            self._changed.clear()
            try:
                await self._reconcile_once()
                self._silent = False
            except StoreError as error:
                self._say_silence(error)
            await within(self._changed.wait(), RECONCILE_S)

    async def _reconcile_once(self) -> None:
        if self.redis is not None and self.redis.process.returncode is not None:
            self.screen.say("the embedded Valkey ended by itself; it is started again")
            self.redis = await self.redis.start_again(say=self.screen.say)
        observed = await self.world.observe()
        if self._roll_called or observed.generation != self.world.store.generation:
            await self._call_roll()
            return
        for member in observed.members:
            self.platform.learn_epoch(member.shard, member.epoch)
        for one in hanging(self.watchdog.recovery.wanted, self.platform.processes, observed.members):
            self.screen.say(f"{one.shard} (pid {one.pid}) hangs without a lease: it is ended, and started again")
            self.platform.kill_shard(one.process.ordinal)
        layout = layout_of(observed)
        self._shards = tuple(sorted(layout.shards, key=self._ordinal)) if layout is not None else ()
        actions = await self._planner.next_actions(
            observed, self.platform.observe(), failed=self._failed, now_us=self.clock.now_unix_us()
        )
        performed = await perform(actions, self.platform, self.world.admin, say=self.screen.say)
        self._write_processes()
        if performed.failed:
            self._failed = performed.failed
            self._settle.set()
        if all_claimed(observed):
            self._claimed.set()
            self._redis_gone.clear()
        if self._running_since_us is None and self._claimed.is_set():
            self._running_since_us = self.clock.now_unix_us()
            took_s = (self._running_since_us - self._began_us) / 1_000_000
            self.screen.say(f"{self.config.name}: {len(self._shards)} shards run, {took_s:.1f} s after the start")
            self._runs.set()

    async def _watch(self) -> None:
        """The watchdog, whenever all shards are there: what they left behind when all ended is theirs to recover."""
        while True:
            await self._claimed.wait()
            await first_of(self.watchdog.run(), self._redis_gone.wait())

    async def _serve_map(self) -> None:
        """Once the fleet runs: until then the shards need the processors."""
        if self._map is not None:
            await self._runs.wait()
            self.screen.say(f"the map is at {self._map.url}")
            await self._map.run()

    async def _call_roll(self) -> None:
        """Redis restarted. Its shards tell it what they know; until they have, nothing here can be told from it."""
        if not self._roll_called:
            self._roll_called = True
            self._claimed.clear()
            self._redis_gone.set()
            self.screen.say("Redis restarted: its shards tell it what it may have forgotten")
        if await self.world.is_open():
            self._roll_called = False
            self.screen.say("Redis knows all again")

    async def _gather(self) -> None:
        while True:
            try:
                await self._gather_once()
            except StoreError as error:
                self._say_silence(error)
            await asyncio.sleep(GATHER_S)

    async def _gather_once(self) -> None:
        if self._shards:
            self.figures.take_headers(await self.world.headers(self._shards))
            self.figures.take_counters(await self.world.admin.counters(), self.clock.now_unix_us())
            view = self.figures.view(self._shards, self.platform.processes)
            news, self._failing = failure_news(view, self._failing)
            for line in news:
                self.screen.say(line)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(self.screen.interval_s)
            seconds = (self.clock.now_unix_us() - self._began_us) / 1_000_000
            self.screen.show(self.figures.view(self._shards, self.platform.processes), seconds)

    def _ordinal(self, shard: str) -> int:
        return ordinal_of(shard, self.config.name) or 0

    def _process_ended(self, one: LocalProcess) -> None:
        self._changed.set()
        code, detail = one.process.exit_code, one.process.detail
        if code == ExitCode.INVARIANT:
            self._trouble(f"{one.shard} broke: {detail}")
        elif self._settle.is_set() and code > 0:
            self._trouble(f"{one.shard} did not resign: {detail}")

    def _trouble(self, what: str) -> None:
        """A shard that breaks again and again in the same way is one fault."""
        if what not in self._troubles:
            self._troubles.append(what)

    def _write_processes(self) -> None:
        processes = self.platform.processes
        if processes != self._written:
            self.folder.write_processes(processes)
            self._written = processes

    def _say_silence(self, error: StoreError) -> None:
        if not self._silent:
            self._silent = True
            self.screen.say(str(error))


@contextlib.contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """What is logged goes to a file: the screen belongs to the table."""
    handler = WatchedFileHandler(path, delay=True)  # the file goes with the world
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("shardfleet_operator")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
