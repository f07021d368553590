"""The command's name and its exit codes. Imports nothing: every part of the command line may import it."""

from __future__ import annotations

PROGRAM = "shardfleet"
EXIT_OK, EXIT_BROKEN, EXIT_USAGE = 0, 1, 2
"""Done; an invariant broke or a check failed; wrong use: nothing was done."""
EXIT_INTERRUPTED = 130
