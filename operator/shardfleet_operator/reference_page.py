"""A page under docs/reference that is made of the code: one way to write it, and to say whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .cli.exits import EXIT_BROKEN, EXIT_OK, EXIT_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePage:
    """
    Attributes:
        file: below the repository, the folder in which the command is run.
        command: what writes it.
        source: what it is made of, as the end of "not what ... says".
        render: the whole page.
    """

    file: Path
    command: str
    source: str
    render: Callable[[], str]

    def main(self, arguments: Sequence[str]) -> int:
        """Writes the page, or only checks it with ``--check``; returns the exit code."""
        if arguments not in ([], ["--check"]):
            print(f"usage: {self.command} [--check]", file=sys.stderr)
            return EXIT_USAGE
        page = self.render()
        if arguments:
            if self.file.is_file() and self.file.read_text(encoding="utf-8") == page:
                return EXIT_OK
            print(f"{self.file} is not what {self.source}: run {self.command}", file=sys.stderr)
            return EXIT_BROKEN
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(page, encoding="utf-8")
        return EXIT_OK


def cell(text: str) -> str:
    """``text`` as a table takes it: one line, no bars."""
    return " ".join(text.split()).replace("|", "\\|")


def inline_yaml(value: Any) -> str:
    """``value`` on one line, as a file has it."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
