"""Runs a scenario: ``> command`` lines, the output of each underneath.

Everything that happens is output, so a scenario's file holds the whole expected behaviour. ``#`` lines and empty ones
are for the reader and stay where they are.
"""

from __future__ import annotations

from shardfleet_shard.core.requests import Request
from shardfleet_shard.store.memory_state import State

from .commands import COMMANDS
from .world import Process, World

PROMPT = "> "
INDENT = "  "
ERROR = "impossible: "


class Interpreter:
    """One scenario's world. A command that cannot be says ``impossible: ...``, which no scenario may hold."""

    def __init__(self) -> None:
        self.world: World = None  # type: ignore[assignment]  # until `shards`
        self.snapshot: State | None = None
        self.aside: list[tuple[Process, Request]] = []

    def run(self, text: str) -> str:
        """The whole file again, with the output as it is now."""
        lines = []
        for line in text.splitlines():
            if line.startswith(PROMPT):
                lines.append(line)
                lines.extend(INDENT + said for said in self.execute(line.removeprefix(PROMPT)))
            elif not line.startswith(INDENT):
                lines.append(line)
        return "\n".join(lines) + "\n"

    def execute(self, line: str) -> list[str]:
        name, *arguments = line.split()
        if name not in COMMANDS:
            raise ValueError(f"{line!r}: no such command; there are {', '.join(COMMANDS)}")
        if self.world is None and name != "shards":
            raise ValueError(f"{line!r}: a scenario begins with `shards`")
        try:
            COMMANDS[name](self, arguments)
        except (IndexError, LookupError, AssertionError) as error:
            self.say(f"{ERROR}{error}")
        said, self.world.log = self.world.log, []
        return said

    def named(self, names: list[str]) -> list[Process]:
        return [self.world.find(name) for name in names] or list(self.world.living)

    def say(self, line: str) -> None:
        self.world.log.append(line)
