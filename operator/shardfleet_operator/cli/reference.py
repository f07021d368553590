"""Writes docs/reference/cli.md from the commands' own help: ``python -m shardfleet_operator.cli.reference [--check]``.

With ``--check`` nothing is written; the exit code says whether the file is what the commands say today.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from ..reference_page import ReferencePage, cell
from . import kubectl
from .app import EPILOG, build
from .exits import PROGRAM

COMMAND = "python -m shardfleet_operator.cli.reference"

HEADER = f"""# The command `{PROGRAM}`

<!-- Written by `{COMMAND}`. Change the commands' own help instead. -->

{EPILOG} Errors are one line on standard error, `{PROGRAM}: error: ...`: what is wrong, where, and what to do.
With `--json` standard output holds one JSON object and nothing else. Colours are used only in a terminal, and never
where `NO_COLOR` is set.

A running fleet is found by its data folder (`--data`, or the only fleet under `.shardfleet`), or by
`--redis URL --fleet NAME`.
"""

CLUSTER = f"""# The command `{kubectl.PROGRAM}`

{kubectl.HELP} kubectl finds it where the program `kubectl-shardfleet`, which is installed with `{PROGRAM}`, is on the
PATH. It looks through a forward to the operator's pod, so it needs no way to the fleet's Redis, and no password.
"""


def render() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(build(with_local=True))
    parts = [HEADER]
    for path, command in _walk(root, (PROGRAM,)):
        parts.append(_section(path, command))
    parts.append(CLUSTER)
    for path, command in _walk(typer.main.get_command(kubectl.build()), tuple(kubectl.PROGRAM.split())):
        parts.append(_section(path, command))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in sorted(group.commands.items(), key=lambda item: item[0] != "local"):
        here = (*path, name)
        if hasattr(command, "commands"):
            yield from _walk(command, here)
        else:
            yield here, command


def _section(path: Sequence[str], command: Any) -> str:
    lines = [f"## `{' '.join(path)}`", "", *_prose(command.help or ""), ""]
    if path == (PROGRAM, "shard"):  # has a parser of its own, so that it stays light
        return "\n".join(lines)
    context = command.make_context(" ".join(path), [], resilient_parsing=True)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    lines += ["```", usage, "```", "", "| | |", "| --- | --- |"]
    records = (parameter.get_help_record(context) for parameter in command.params)
    lines += [f"| `{cell(names)}` | {cell(text)} |" for names, text in filter(None, records)]
    return "\n".join([*lines, ""])


def _prose(help_text: str) -> Iterator[str]:
    """Click's ``\\b`` marks a block that keeps its lines: an example."""
    for block in inspect.cleandoc(help_text).replace("\b\n", "\b").split("\n\n"):
        if not block.startswith("\b"):
            yield " ".join(block.split())
        else:
            title, *commands = block.removeprefix("\b").splitlines()
            yield title
            yield ""
            yield "```sh"
            yield from (line.strip() for line in commands)
            yield "```"
        yield ""


PAGE = ReferencePage(file=Path("docs/reference/cli.md"), command=COMMAND, source="the commands say", render=render)

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
