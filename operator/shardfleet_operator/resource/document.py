"""One YAML document as plain data, with the line of every field.

Reads what kubectl reads: no duplicate keys, no tags, dates stay text. Must not know what a ShardFleet is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from shardfleet_shard.errors import SpecError, UsageError

from .schema import join

# Larger than any object that an apiserver stores, and a bound to what aliases can blow up.
MAX_FILE_BYTES = 1_500_000
MAX_NODES = 200_000
MAX_DEPTH = 64

_NULL, _BOOL, _INT, _FLOAT, _STR, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "merge")
)


class FleetFileError(SpecError):
    """Faults in a fleet's file, each with its line: ``FILE:LINE: FIELD: what is wrong and what to do``.

    Attributes:
        messages: one line a fault, in the file's order.
    """

    def __init__(self, faults: list[tuple[str, str]], *, source: str, lines: dict[str, int]) -> None:
        def line_of(path: str) -> int:
            while path and path not in lines:
                path = path[: max(path.rfind("."), path.rfind("["), 0)]
            return lines.get(path, 0)

        ordered = sorted(faults, key=lambda fault: line_of(fault[0]))
        super().__init__(ordered, source=source)
        self.messages = []
        for path, message in ordered:
            line = line_of(path)
            self.messages.append(f"{source}:{line}: {path}: {message}" if line else f"{source}: {path}: {message}")
        self.args = ("; ".join(self.messages),)


@dataclass(slots=True)
class Document:
    """``data`` with ``lines``: field path ('spec.world.min[0]') -> line, counted from 1."""

    data: Any
    source: str
    lines: dict[str, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """PyYAML's, without dates, base-60 numbers and the like, which YAML readers in Go don't have."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    (_NULL, r"~|null|Null|NULL|", [*"~nN", ""]),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    (_INT, r"[-+]?[0-9]+", [*"-+0123456789"]),
    (_FLOAT, r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    (_FLOAT, r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", [*"-+."]),
    (_MERGE, r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def read_document(path: Path) -> Document:
    """The one document of a YAML (or JSON) file.

    Raises:
        UsageError: no such file, not text, not YAML, no or several documents.
        FleetFileError: a key twice.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{path}: {len(content)} bytes are too many for a fleet's file (at most {MAX_FILE_BYTES})")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    return parse_document(text, source=str(path))


def parse_document(text: str, *, source: str) -> Document:
    """As ``read_document``, of a text."""
    loader = _Loader(text)
    try:
        nodes: list[yaml.Node] = []
        while loader.check_node():
            node: Any = loader.get_node()
            if not (node.tag == _NULL and not node.value):  # '---' at the end, as kubectl passes over it
                nodes.append(node)
        if not nodes:
            raise UsageError(f"{source}: is empty; a ShardFleet is expected")
        if len(nodes) > 1:
            line = nodes[1].start_mark.line + 1
            raise UsageError(f"{source}:{line}: a second document begins; give each fleet a file of its own")
        reader = _Reader(source)
        document = Document(reader.value(nodes[0], "", 0), source, reader.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise UsageError(f"{where}: not YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{source}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UsageError(f"{source}: nested too deeply") from error
    finally:
        loader.dispose()
    if reader.faults:
        raise FleetFileError(reader.faults, source=source, lines=reader.lines)
    return document


class _Reader:
    """Makes data of nodes, keeping lines. Aliases are followed, so nodes are counted."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[str, int] = {}
        self.faults: list[tuple[str, str]] = []
        self.count = 0

    def value(self, node: yaml.Node, path: str, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise UsageError(f"{self.source}:{node.start_mark.line + 1}: too large or nested too deeply")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                bases = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for base in bases:
                    values = self.value(base, path, depth + 1)
                    if not isinstance(values, dict):
                        raise UsageError(f"{self.source}:{key_node.start_mark.line + 1}: << needs a mapping")
                    merged = {**values, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise UsageError(f"{self.source}:{key_node.start_mark.line + 1}: a field's name must be plain text")
            key = str(key_node.value)
            where = join(path, key)
            if key in result:
                self.faults.append((where, f"is there twice, again in line {key_node.start_mark.line + 1}"))
            self.lines.setdefault(where, key_node.start_mark.line + 1)
            result[key] = self.value(value_node, where, depth + 1)
        return {**merged, **result}

    def _scalar(self, node: yaml.Node) -> Any:
        text, line = str(node.value), node.start_mark.line + 1
        try:
            if node.tag == _NULL:
                return None
            if node.tag == _BOOL:
                return text.lower() == "true"
            if node.tag == _INT:
                return int(text)
            if node.tag == _FLOAT:
                return float(re.sub(r"\.(?=[iInN])", "", text))
        except ValueError as error:
            raise UsageError(f"{self.source}:{line}: {text[:40]!r} is not a number") from error
        if node.tag == _STR:
            return text
        raise UsageError(f"{self.source}:{line}: the tag {node.tag} means nothing here; write plain values")
