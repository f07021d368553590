"""Child processes of the supervisor: started in a session of their own, ended by the pid that was started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_CHILD = str(Path(__file__).with_name("child.py"))


async def start_child(
    program: Sequence[str],
    *,
    parent_death: signal.Signals,
    environment: Mapping[str, str],
    output: IO[bytes],
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Starts ``program`` (its first word an absolute path) with stdout and stderr going to ``output``.

    Must be called from the main thread: on Linux the child gets ``parent_death`` when the calling thread ends.

    Raises:
        OSError: the program cannot be started.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", _CHILD, str(os.getpid()), str(int(parent_death)), *program),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(environment),
        pass_fds=tuple(pass_fds),
        start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor alone, which then settles
    )


async def wait_for_end(process: asyncio.subprocess.Process, timeout_s: float) -> int | None:
    """The exit code (negative: the signal's number), or None if ``process`` still runs after ``timeout_s``."""
    try:
        return await asyncio.wait_for(asyncio.shield(_ended(process)), timeout_s)
    except TimeoutError:
        return process.returncode


async def _ended(process: asyncio.subprocess.Process) -> int:
    return await process.wait()


async def end_child(process: asyncio.subprocess.Process, *, term_s: float, kill_s: float = 5.0) -> int | None:
    """SIGTERM, then SIGKILL after ``term_s`` seconds; returns as ``wait_for_end``."""
    for send, timeout_s in ((process.terminate, term_s), (process.kill, kill_s)):
        if process.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            send()
        await wait_for_end(process, timeout_s)
    return process.returncode


def describe_exit(code: int) -> str:
    """'exit code 3', or 'SIGKILL'."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
