"""What documents tell people to type exists: commands, their options, and the chart's values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import yaml
from shardfleet_operator.cli import app, kubectl

from .test_repository import ROOT, tracked_files

COMMAND = re.compile(r"(?:^[ \t]*|`|&& |\b[A-Z_]+=\S+ )((?:kubectl )?shardfleet [^`\n]+)", re.MULTILINE)
"""At the beginning of a line or of a quotation, or after a variable: elsewhere it is a kind, a user or a release."""
CODE = re.compile(r"^```.*?^```|^ {4}.+$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
"""Fenced blocks, indented lines, and what stands between backticks."""
ENDS = {"|", ">", "&&", ";", "...", "&"}
SET = re.compile(r"--set(?:-string)? ([\w.]+)=")


def pages() -> Iterator[tuple[str, str]]:
    for path in tracked_files():
        if path.suffix == ".md":
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def trees() -> dict[str, Any]:
    return {
        "shardfleet": typer.main.get_command(app.build(with_local=True)),
        "kubectl": typer.main.get_command(kubectl.build()),
    }


def quoted(text: str) -> Iterator[str]:
    for code in CODE.findall(text):
        yield from COMMAND.findall(code.replace("\\\n", " "))


def wrong(command: str, roots: dict[str, Any]) -> str | None:
    """What of ``command`` does not exist, or None."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # a quotation that ends on another line
        words = command.split()
    node = roots[words[0]]
    words = words[1:] if words[0] == "shardfleet" else words[2:]
    while words and hasattr(node, "commands"):
        name, words = words[0], words[1:]
        if name in node.commands:
            node = node.commands[name]
        elif name.startswith("-"):
            return None if name in ("--help", "--version", "-h") else name
        else:
            return name
    known = {name for parameter in getattr(node, "params", ()) for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word in ENDS:
            break
        option = word.partition("=")[0]
        if option.startswith("-") and len(option) > 1 and option not in known | {"--help", "-h"}:
            return f"{option} of {node.name}"
    return None


def test_every_command_that_a_page_quotes_exists() -> None:
    roots = trees()
    found = [(name, command) for name, text in pages() for command in quoted(text)]
    assert len(found) > 60
    faults = [f"{name}: {command}: {fault}" for name, command in found if (fault := wrong(command, roots))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("shardfleet frobnicate", "frobnicate"),
        ("shardfleet local up --fast -f x", "--fast of up"),
        ("kubectl shardfleet report", "report"),
        ("shardfleet local up -f x | grep -v y", None),
        ("shardfleet check DIR --bound 3 # --not an option", None),
    ],
)
def test_what_does_not_exist_would_be_found(command: str, fault: str | None) -> None:
    assert wrong(command, trees()) == fault


def test_every_value_of_the_chart_that_a_page_sets_exists() -> None:
    values = yaml.safe_load((ROOT / "charts" / "shardfleet" / "values.yaml").read_text())
    keys = {(name, key) for name, text in pages() for key in SET.findall(text)}
    assert len(keys) > 5
    for name, key in sorted(keys):
        node: Any = values
        for part in key.split("."):
            assert isinstance(node, dict) and (part in node or not node), f"{name}: --set {key}"
            node = node.get(part)


def test_every_file_that_a_command_reads_is_there() -> None:
    """`-f examples/orbit.yaml` and the like: those that lie in the repository."""
    named = {
        (name, path)
        for name, text in pages()
        for path in re.findall(r"(?:-f |apply -f |python3? )((?:examples|charts|tests)/[\w./-]+\w)", text)
    }
    assert named
    assert not {(name, path) for name, path in named if not (ROOT / path).exists()}
