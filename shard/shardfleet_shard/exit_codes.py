"""What a shard process ends with. The plan reads the same numbers; a signal's end is another one."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    RESIGNED = 0
    """In order."""
    INVARIANT = 1
    """A bug, or Redis answered what it never should."""
    WRONG_USE = 2
    SUPERSEDED = 3
    """A newer epoch of the shard exists."""
    SIMULATION = 4
    """The plugin failed again and again."""
    GENERATION = 5
    """Redis restarted or was replaced."""
    SCHEMA = 6
    """The fleet's entities have other columns, and the simulation has no upgrade from them."""
