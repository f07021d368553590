"""Starts a program that must not outlive the supervisor. Run as a file; the supervisor never imports it.

    python -I -S child.py PARENT_PID SIGNAL PROGRAM ARGUMENT...

On Linux the kernel sends SIGNAL to the program when the thread that started it ends, however it ends; the promise
survives ``exec``. Elsewhere there is no such promise: a shard looks at its parent's pid itself (``--parent-pid``),
and the next start ends a Redis that was left behind. A ``preexec_fn`` would do the same without a second start of
Python, but it runs Python between fork and exec, which deadlocks where threads are.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent_pid, signal_number, *program = arguments
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != int(parent_pid):  # it ended before the promise was made
            sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
