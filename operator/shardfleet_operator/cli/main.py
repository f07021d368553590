"""Where the command ``shardfleet`` begins: which part of it is to be loaded, and what a failure looks like.

A shard process must stay small, so ``shardfleet shard`` goes on to shardfleet_shard.process before anything of the
command line's own (typer, tables, YAML) is imported. Every other command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from .exits import EXIT_BROKEN, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, PROGRAM


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        argv: the arguments without the program's name; None: the process' own.
    """
    die_of_sigterm(os.getpid())
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["shard"]:
        from shardfleet_shard.process import main as shard_main

        return int(shard_main(arguments[1:]) or 0)
    from .app import invoke

    return guarded(invoke, arguments, program=PROGRAM)


def die_of_sigterm(pid: int) -> None:
    """Lets SIGTERM end a command that has not begun its work, also where it is a container's process 1.

    The kernel drops what process 1 does not handle, and the kubelet says it only once: a pod that is deleted while
    its modules are still being loaded would wait until the end of its grace. Commands that have something to put in
    order replace this handler.
    """
    if pid == 1:
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))


def guarded(invoke: Callable[[Sequence[str]], int], argv: Sequence[str] | None, *, program: str) -> int:
    """The exit code of ``invoke``, which is called with the arguments; its errors become one line on stderr.

    Args:
        argv: as of ``main``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(invoke, arguments, program)
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is left to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _run(invoke: Callable[[Sequence[str]], int], arguments: list[str], program: str) -> int:
    from shardfleet_shard.errors import InvariantError, ShardfleetError

    from .app import usage_message

    try:
        code = invoke(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ShardfleetError as error:
        _complain(program, str(error))
        return EXIT_BROKEN if isinstance(error, InvariantError) else EXIT_USAGE
    except Exception as error:
        message = usage_message(error)
        if message is None:
            raise
        if message:
            _complain(program, message)
        return EXIT_USAGE


def _complain(program: str, message: str) -> None:
    """One line on stderr, whatever the message holds."""
    from .output import style

    line = " ".join(message.split())
    print(f"{program}: {style('error', 'red', stream=sys.stderr)}: {line}", file=sys.stderr)
