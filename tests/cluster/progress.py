"""Steps that say how long they take, commands whose output goes to a log, and the one error that users see.

Everything here is written to stderr: stdout carries only what a caller asked for (a tool's path).
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HEARTBEAT_S = 30.0
"""A step that takes longer says so this often, so that nobody takes a cold build for a hanging one."""

LOG_TAIL_LINES = 15


class ClusterError(Exception):
    """Something is missing or failed; the message names it and says what to do."""


def say(text: str) -> None:
    """Print one line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce ``title``, repeat it every ``HEARTBEAT_S``, and end with the time that it took."""
    started = time.monotonic()
    finished = threading.Event()

    def heartbeat() -> None:
        while not finished.wait(HEARTBEAT_S):
            say(f"  ...    {title}: {time.monotonic() - started:.0f} s so far")

    say(f"  ...    {title}")
    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        say(f"  failed {title}, after {time.monotonic() - started:.0f} s")
        raise
    finally:
        finished.set()
        thread.join()
    say(f"  done   {title}: {time.monotonic() - started:.0f} s")


def run(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 1800.0,
    nice: bool = False,
) -> str:
    """Run a command to its end and return its stdout.

    Args:
        command: The program and its arguments.
        log: File for both outputs; the return value is then empty.
        cwd: Working directory.
        environment: The whole environment; the caller's own when left out.
        timeout_s: After this long the command is killed.
        nice: Leave the processors to everybody else.

    Raises:
        ClusterError: The command is missing, failed or took too long; with the end of its output.
    """
    words = [*(("nice", "-n", "10") if nice else ()), *map(str, command)]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    try:
        if log is None:
            result = subprocess.run(
                words, cwd=cwd, env=environment, timeout=timeout_s, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            stdout, words_of_failure = result.stdout, result.stderr + result.stdout
        else:
            with log.open("w") as output:
                result = subprocess.run(
                    words, cwd=cwd, env=environment, timeout=timeout_s, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=output, text=True, check=False,
                )  # fmt: skip
            stdout, words_of_failure = "", log.read_text(errors="replace")
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"'{' '.join(words)}' did not end within {timeout_s:.0f} s") from error
    if result.returncode != 0:
        tail = "\n".join("    " + line for line in words_of_failure.strip().splitlines()[-LOG_TAIL_LINES:])
        where = "" if log is None else f" (all of it: {log})"
        raise ClusterError(f"'{' '.join(words)}' failed with {result.returncode}{where}:\n{tail}")
    return stdout


def answers(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, timeout_s: float = 30.0
) -> bool:
    """Whether a command exists and ends with success in time."""
    try:
        run(command, environment=environment, timeout_s=timeout_s)
    except ClusterError:
        return False
    return True


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold the lock file; wait, and say so, while another command has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("  ...    waiting for another 'python -m tests.cluster' to finish")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
