"""The run's Valkey: the shipped one with the shipped settings, but on TCP, so that it can be cut off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from shardfleet_operator.local.embedded_redis import SETTINGS, server_binary
from shardfleet_operator.platforms import child

from tests.patience import PATIENCE_S

from . import namespaces

PORT = 6379
DISK_BYTES = 1536 << 20
"""More than twice the size at which the append-only file is rewritten."""
SPARE_BYTES = 64 << 10
FILL_TRIES = 20


class Server:
    """One server after the other on the same address.

    Args:
        folder: for its data; a small file system of its own is mounted there where ``isolated``.
        isolated: inside the run's namespaces, on the Redis node; otherwise on the loopback.
    """

    def __init__(self, folder: Path, *, isolated: bool, port: int) -> None:
        self.folder = folder
        self.isolated = isolated
        self.host = namespaces.node_address(namespaces.REDIS) if isolated else "127.0.0.1"
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        if isolated:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)], check=True)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def client(self) -> Any:
        """With no retries of its own: a Redis that is away, which refuses at once, is what is being looked at."""
        return redis.Redis(
            host=self.host,
            port=self.port,
            socket_timeout=10.0,
            socket_connect_timeout=10.0,
            retry=Retry(NoBackoff(), 0),
        )

    def start(self) -> None:
        """On the data that are there; returns once it serves. Raises ``RuntimeError`` with its last words."""
        settings = SETTINGS | {
            "port": str(self.port),
            "bind": self.host,
            "protected-mode": "no",
            "dir": str(self.folder),
        }
        del settings["unixsocketperm"]
        log = self.folder.with_suffix(".log")
        settings["logfile"] = str(log)
        command = [str(server_binary()), *(word for name, value in settings.items() for word in (f"--{name}", value))]
        if self.isolated:
            command = namespaces.command_in(namespaces.REDIS, command)
        first = [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), str(int(signal.SIGKILL))]
        program = [shutil.which(command[0]) or command[0], *command[1:]]
        self._process = subprocess.Popen([*first, *program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while not self.serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Valkey did not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.005)

    def serves(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> int:
        """Returns when the signal had been sent, in Unix microseconds."""
        if self._process is not None:
            self._process.kill()
        sent_us = time.time_ns() // 1000
        if self._process is not None:
            self._process.wait()
        return sent_us

    def forget(self) -> None:
        """While it is down: all its data are gone."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def size_bytes(self) -> dict[Path, int]:
        """Of each append-only file, for ``cut_back``."""
        return {path: path.stat().st_size for path in self.folder.glob("appendonlydir/*.incr.aof")}

    def cut_back(self, sizes: dict[Path, int]) -> None:
        """While it is down: what it appended since ``size_bytes`` is forgotten, as by a disk that was not synced."""
        for path, size in sizes.items():
            if path.exists():
                with path.open("r+b") as file:
                    file.truncate(size)

    def fill_disk(self) -> None:
        """Nothing more can be written, from a few pages on. Raises ``RuntimeError`` where the disk cannot be shrunk."""
        for _ in range(FILL_TRIES):  # it is refused where more is on it by then
            if self._resize(shutil.disk_usage(self.folder).used + SPARE_BYTES):
                return
        raise RuntimeError(f"{self.folder}: its file system does not get smaller")

    def free_disk(self) -> None:
        self._resize(DISK_BYTES)

    def _resize(self, size_bytes: int) -> bool:
        command = ["mount", "-o", f"remount,size={size_bytes}", str(self.folder)]
        return not subprocess.run(command, check=False, capture_output=True).returncode
