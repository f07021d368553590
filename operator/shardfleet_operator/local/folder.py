"""A fleet's data folder: what is in it, who uses it, and how other commands find the fleet by it.

DATA/shardfleet.json   the folder's version and the world that it holds
DATA/lock              held (flock) by the running supervisor, its pid inside
DATA/fleet.json        the running fleet: pid, Redis, config; mode 0600, for a Redis URL may hold a password
DATA/config.json       what the shard processes get
DATA/report.json       the last run's report
DATA/redis/            the embedded Redis' files
DATA/logs/             SHARD.log
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import DataFolderError, SpecError, UsageError

from ..plan import Process, ProcessState
from ..platforms.local import LocalProcess
from ..whole_file import write_whole

VERSION = 1
ROOT = Path(".shardfleet")
EMBEDDED = "embedded"
APPEND_ONLY_FOLDER, REMOVED_FOLDER = "appendonlydir", "removed"
"""Under DATA/redis: Valkey's own name for its log, and what local/removed_files.py keeps."""
_INSTEAD = "put it back from a copy of the folder, or choose another --data"

_IMMUTABLE = {
    "spec.tickRate": "tick_rate",
    "spec.world.min": "world_low",
    "spec.world.max": "world_high",
    "spec.simulation.name": "simulation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningFleet:
    """What ``fleet.json`` says of the fleet that runs, or ran last, in a folder."""

    fleet: str
    pid: int
    redis_url: str
    file: str
    """The fleet's file, absolute."""
    started_unix_us: int
    tls: str = ""
    """The folder of the links' certificate, absolute; '' for plain text."""
    version: int = VERSION


class DataFolder:
    """One fleet's folder. Reading needs no lock; ``lock`` comes before any change."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def __repr__(self) -> str:
        return f"DataFolder({self.path})"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    # --- finding a fleet ---------------------------------------------------------------------------------------

    @classmethod
    def default_for(cls, fleet: str) -> DataFolder:
        return cls(ROOT / fleet)

    @classmethod
    def discover(cls, data: Path | None = None) -> DataFolder:
        """The folder that ``--data`` names, or the only one under ``.shardfleet``.

        Raises:
            DataFolderError: no such folder, or another version's.
            UsageError: none under ``.shardfleet``, or several.
        """
        if data is not None:
            folder = cls(data)
            if not folder.exists():
                raise DataFolderError(f"{data}: not a fleet's data folder (no shardfleet.json in it)")
        else:
            found = sorted(path.parent for path in ROOT.glob("*/shardfleet.json"))
            if not found:
                raise UsageError(
                    f"no fleet under {ROOT}/ here: start one with 'shardfleet local up', or name its --data"
                )
            running = [path for path in found if cls(path).is_running()]
            if len(found) > 1 and len(running) != 1:
                raise UsageError(f"several fleets under {ROOT}/: choose one with --data ({', '.join(map(str, found))})")
            folder = cls(found[0] if len(found) == 1 else running[0])
        folder.read_world()
        return folder

    def exists(self) -> bool:
        return (self.path / "shardfleet.json").is_file()

    def running_fleet(self) -> RunningFleet:
        """The fleet that runs here now.

        Raises:
            DataFolderError: none does.
        """
        fleet = self.last_fleet()
        if fleet is None or not self.is_running():
            raise DataFolderError(f"{self.path}: its fleet does not run; start it with 'shardfleet local up'")
        return fleet

    def last_fleet(self) -> RunningFleet | None:
        data = self._read("fleet.json")
        if data is None or data.get("version") != VERSION:
            return None
        return RunningFleet(**data)

    # --- using it ----------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether some supervisor holds the lock."""
        try:
            with (self.path / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def lock(self) -> None:
        """Makes the folder this process' own until ``unlock``, or until the process ends.

        Raises:
            DataFolderError: something else is in it, or a running supervisor holds it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise DataFolderError(f"{self.path}: not a folder; choose another --data")
        if self.path.is_dir() and not self.exists() and _has_other_files(self.path):
            raise DataFolderError(f"{self.path}: holds other files than a fleet's; choose another --data")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.path / "lock").open("a+")
        except OSError as error:
            raise DataFolderError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --data"
            ) from error
        if not _take(file):
            file.seek(0)
            pid = file.read().strip() or "unknown"
            file.close()
            raise DataFolderError(f"{self.path}: its fleet runs already (pid {pid}); 'shardfleet local down' ends it")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock = file

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check_world(self, config: FleetConfig, redis: str, *, fresh: bool) -> bool:
        """Checks that the folder's world, if it holds one, is ``config``'s. Changes nothing.

        Args:
            redis: ``EMBEDDED``, or the user's Redis URL without its password.
            fresh: the folder's world is to be forgotten.
        Returns:
            Whether that world goes on.
        Raises:
            DataFolderError: another version's folder, or another fleet's, or another world's.
        """
        if fresh:
            self._check_owner(config.name)
            return False
        world = self.read_world()
        if world is not None:
            self._compare(world, config, redis)
        # One that was refused before it began is none.
        return world is not None and self.config.exists()

    def begin_world(self, config: FleetConfig, redis: str, *, fresh: bool) -> None:
        """Writes down whose world it is from now on; ``fresh``: after the former one was removed. Needs the lock."""
        if fresh and self.exists():
            self._remove_world()
        self.redis.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        immutable = {field: _plain(getattr(config, name)) for field, name in _IMMUTABLE.items()}
        self._write("shardfleet.json", {"version": VERSION, "fleet": config.name, "redis": redis, "world": immutable})

    def read_world(self) -> dict[str, Any] | None:
        """``shardfleet.json``, or None where there is none. Raises ``DataFolderError`` for another version's."""
        data = self._read("shardfleet.json")
        if data is not None and data.get("version") != VERSION:
            raise DataFolderError(
                f"{self.path}: a data folder of version {data.get('version')}, this program writes {VERSION}; "
                "choose another --data, or --fresh to start anew"
            )
        return data

    def begin_run(self) -> None:
        """The last supervisor's pid goes, which might be taken for this one's. Its report stays until a run begins."""
        self.logs.mkdir(exist_ok=True)
        self._unlink("fleet.json", "processes.json")

    def write_config(self, config: FleetConfig) -> None:
        """What the shards get, and what the world was last run with."""
        self.config.write_text(config.to_json())

    def stored_config(self) -> FleetConfig | None:
        """What the world was last run with; None before its first run, or where another version wrote it."""
        try:
            return FleetConfig.from_json(self.config.read_text())
        except (OSError, SpecError):
            return None  # shardfleet.json has all of it that must not change

    def write_fleet(
        self, fleet: str, redis_url: str, file: Path, *, started_unix_us: int, tls: Path | None = None
    ) -> None:
        """From now on other commands find the fleet, with this process as its supervisor."""
        running = RunningFleet(
            fleet=fleet,
            pid=os.getpid(),
            redis_url=redis_url,
            file=str(file.absolute()),
            started_unix_us=started_unix_us,
            tls=str(tls) if tls is not None else "",
        )
        self._write("fleet.json", asdict(running))

    def write_processes(self, processes: Sequence[LocalProcess]) -> None:
        """For ``local status``."""
        self._write("processes.json", {"processes": [asdict(one) for one in processes]})

    def read_processes(self) -> list[LocalProcess]:
        """As the supervisor last saw them."""
        stored = (self._read("processes.json") or {}).get("processes", [])
        return [LocalProcess(**{**one, "process": _process_from(one["process"])}) for one in stored]

    def write_report(self, report: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        """``outcome``: ``exit_code``, ``faults`` and ``note``, which the report itself has no place for."""
        self._write("outcome.json", outcome)
        self._write("report.json", report)

    def read_report(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """(report, outcome) of the last run, or None where it ended without one."""
        report, outcome = self._read("report.json"), self._read("outcome.json")
        return None if report is None or outcome is None else (report, outcome)

    def forget_report(self) -> None:
        self._unlink("outcome.json", "report.json")

    # --- inside ------------------------------------------------------------------------------------------------

    def _compare(self, world: Mapping[str, Any], config: FleetConfig, redis: str) -> None:
        if world["fleet"] != config.name:
            raise DataFolderError(
                f"{self.path}: holds fleet {world['fleet']!r}, not {config.name!r}; choose another --data, or --fresh"
            )
        if world["redis"] != redis:
            use = "without --redis" if world["redis"] == EMBEDDED else f"with --redis {world['redis']}"
            raise DataFolderError(f"{self.path}: its world lives in another Redis; run it {use}, or use --fresh")
        for field, name in _IMMUTABLE.items():
            mine, theirs = _plain(getattr(config, name)), world["world"].get(field)
            if mine != theirs:
                raise DataFolderError(
                    f"{field}: {mine} here, but {self.path} holds a world made with {theirs}; it can't change, "
                    "use --fresh to start anew"
                )

    def _check_owner(self, fleet: str) -> None:
        owner = (self._read("shardfleet.json") or {}).get("fleet")
        if self.exists() and owner != fleet:
            raise DataFolderError(
                f"{self.path}: holds fleet {owner!r}, not {fleet!r}; --fresh removes only a fleet's own; "
                "choose another --data"
            )

    def _remove_world(self) -> None:
        """Removes what this program wrote and nothing else."""
        for folder in (APPEND_ONLY_FOLDER, REMOVED_FOLDER):
            shutil.rmtree(self.redis / folder, ignore_errors=True)
        for pattern in ("redis/valkey.*", "redis/dump.rdb", "redis/temp-*", "logs/*.log"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        self._unlink("fleet.json", "processes.json", "outcome.json", "report.json", "config.json", "shardfleet.json")

    def _unlink(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            data = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataFolderError(f"{self.path / name}: cannot be read ({error}); {_INSTEAD}") from error
        if not isinstance(data, dict):
            raise DataFolderError(f"{self.path / name}: not a JSON object; {_INSTEAD}")
        return data

    def _write(self, name: str, data: Mapping[str, Any]) -> None:
        """As a whole or not at all, readable by the user alone."""
        write_whole(self.path / name, ((json.dumps(data, indent=1) + "\n").encode(),), mode=0o600)


def _process_from(stored: Mapping[str, Any]) -> Process:
    return Process(**{**stored, "state": ProcessState(stored["state"])})


def trace_folder(path: Path | None, *, resumed: bool) -> Path | None:
    """``path``, absolute and made.

    Raises:
        UsageError: it cannot be made, or holds the traces of another world, which would be checked as this one's.
    """
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--trace {path}: cannot be made ({error.strerror}); choose another folder") from error
    if not resumed and any(path.glob("*.trace")):
        raise UsageError(f"--trace {path}: holds the traces of another world; choose an empty folder")
    return path.absolute()


def without_password(url: str) -> str:
    """A Redis URL as it may be shown and stored."""
    head, _, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    options = [option for option in query.split("&") if option and option.split("=")[0] not in ("password", "username")]
    shown = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    return f"{shown}?{'&'.join(options)}" if options else shown


def _take(file: IO[str], *, tries: int = 5) -> bool:
    """A few tries: ``is_running`` of another command holds the lock for an instant."""
    for _ in range(tries):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


def _has_other_files(path: Path) -> bool:
    return any(entry.name not in ("lock", "redis", "logs") for entry in path.iterdir())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
