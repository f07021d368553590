"""Environment variables: each that product code reads, or a file names, is declared once, and so in the reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from shardfleet_operator.cli import environment_reference
from shardfleet_shard import environment

from .test_repository import ROOT, texts

DECLARATION = "shard/shardfleet_shard/environment.py"
DECLARED = {name for variable in environment.VARIABLES for name in variable.names}
CONSTANTS = {name for name in vars(environment) if re.fullmatch(r"[A-Z_]+_VARIABLES?", name)}
OURS = re.compile(r"\b(?:SHARDFLEET|ATLASNET)_[A-Z_]+\b")
NAME = re.compile(r"(?:SHARDFLEET|ATLASNET|OTEL)_[A-Z_]*")
IN_TEMPLATE = re.compile(r"\bname: ([A-Z][A-Z0-9_]+)\b")


def product() -> Iterator[tuple[str, str]]:
    for path, text in texts():
        if path.startswith(("operator/", "shard/", "charts/", "crds/")) or path == "Dockerfile":
            yield path, text


def is_environment(node: ast.expr) -> bool:
    """``os.environ``, or what a function was handed of it."""
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def reads(tree: ast.AST) -> Iterator[ast.expr]:
    """What stands for the name, wherever a variable is read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and is_environment(node.value):
            yield node.slice
        elif isinstance(node, ast.Compare) and any(map(is_environment, node.comparators)):
            yield node.left
        elif isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "envvar")
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            of_environment = isinstance(function, ast.Attribute) and is_environment(function.value)
            if called == "getenv" or (of_environment and called in ("get", "pop", "setdefault")):
                yield node.args[0]


Parents = dict[ast.AST, ast.AST]


def parents_of(tree: ast.AST) -> Parents:
    return {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def sources(name: ast.Name, parents: Parents) -> list[ast.expr]:
    """What the variable ``name`` of the code is set to, or runs over, in the nearest scope that says so."""

    def is_same(target: ast.expr) -> bool:
        return isinstance(target, ast.Name) and target.id == name.id

    node: ast.AST = name
    while node in parents:
        node = parents[node]
        loops = [node] if isinstance(node, ast.For) else getattr(node, "generators", [])
        found = [loop.iter for loop in loops if is_same(loop.target)]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            inside = [one for one in ast.walk(node) if isinstance(one, ast.Assign)]
            found += [one.value for one in inside if any(map(is_same, one.targets))]
        if found:
            return found
    return []


def is_declared(name: ast.expr, parents: Parents) -> bool:
    """Whether it is a constant of the declaration, a part of one, or a variable that holds nothing else."""
    while isinstance(name, ast.Subscript):
        name = name.value
    if not isinstance(name, ast.Name):
        return False
    if name.id.isupper():
        return name.id in CONSTANTS
    found = sources(name, parents)
    return bool(found) and all(is_declared(one, parents) for one in found)


def undeclared(code: str) -> list[str]:
    """Reads of a variable by another name than a declared one, and such names as literals."""
    tree = ast.parse(code)
    parents = parents_of(tree)
    wrong = [ast.unparse(name) for name in reads(tree) if not is_declared(name, parents)]
    literals = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return wrong + [value for value in literals if isinstance(value, str) and NAME.fullmatch(value)]


def test_code_takes_the_names_of_what_it_reads_from_the_declaration() -> None:
    codes = [(path, text) for path, text in product() if path.endswith(".py") and path != DECLARATION]
    assert sum(len(list(reads(ast.parse(text)))) for _, text in codes) > 15
    assert [(path, wrong) for path, text in codes if (wrong := undeclared(text))] == []


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["HOME"]',
        'os.getenv("HOME")',
        'environ.get("HOME", "")',
        'here = "HOME" in os.environ',
        'typer.Option("--x", envvar="HOME")',
        'for name in ("HOME", REDIS_URL_VARIABLE):\n    os.environ.get(name)',
        "HOME_VARIABLE = str()\nos.environ.get(HOME_VARIABLE)",
        'name = f"OTEL_{word}_EXPORTER"',
        'variables = {"SHARDFLEET_NEW": 1}',
    ],
)
def test_a_name_that_is_not_declared_would_be_found(code: str) -> None:
    assert undeclared(code)


@pytest.mark.parametrize(
    "code",
    [
        "os.environ[REDIS_URL_VARIABLE]",
        "any(os.environ.get(name) for name in SCREEN_VARIABLES)",
        "exporter = EXPORTER_VARIABLES[signal]\nenviron.get(exporter)",
        'raise UsageError("set SHARDFLEET_REDIS_URL to it")',
    ],
)
def test_a_name_that_is_declared_is_none_of_them(code: str) -> None:
    assert not undeclared(code)


def test_files_name_what_is_declared_alone() -> None:
    named = {(path, name) for path, text in product() for name in OURS.findall(text)}
    named |= {
        (path, name)
        for path, text in product()
        if path.startswith("charts/shardfleet/templates/")
        for name in IN_TEMPLATE.findall(text)
    }
    assert len(named) > 5
    assert sorted((path, name) for path, name in named if name not in DECLARED) == []


def test_nothing_is_declared_that_nobody_uses() -> None:
    used = "\n".join(text for path, text in product() if path.endswith(".py") and path != DECLARATION)
    assert {name for name in CONSTANTS if not re.search(rf"\b{name}\b", used)} == set()
    held: set[str] = set()
    for name in CONSTANTS:
        value = getattr(environment, name)
        for one in value.values() if isinstance(value, dict) else [value]:
            held.update([one] if isinstance(one, str) else one)
    assert held == DECLARED
    assert len(DECLARED) == sum(len(variable.names) for variable in environment.VARIABLES), "one is declared twice"


def test_the_page_is_up_to_date_and_has_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert environment_reference.PAGE.main(["--check"]) == 0, f"run {environment_reference.COMMAND}"
    page = environment_reference.render()
    assert all(f"`{name}`" in page for name in DECLARED)
