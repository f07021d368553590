"""The command from outside: exit codes, messages, and what it costs to start."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shardfleet_operator.cli.main import main
from shardfleet_operator.local.folder import EMBEDDED, DataFolder
from shardfleet_operator.resource import load_fleet, to_config

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
ORBIT = ROOT / "examples" / "orbit.yaml"
COMMANDS = [
    ("transfers",), ("entity",), ("spawn",), ("despawn",), ("watch",), ("check",), ("report",), ("config",),
    ("validate",), ("simulation", "list"), ("simulation", "check"),
]  # fmt: skip


def shardfleet(
    *arguments: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHARDFLEET", "ATLASNET"))}
    return subprocess.run(
        [sys.executable, "-m", "shardfleet_operator.cli", *map(str, arguments)],
        cwd=cwd,
        env={**kept, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def one_line_error(result: subprocess.CompletedProcess[str]) -> str:
    """The error's text; fails unless it is the only thing that was said."""
    assert result.stdout == ""
    assert re.fullmatch(r"shardfleet: error: [^\n]+\n", result.stderr), result.stderr
    return result.stderr.removeprefix("shardfleet: error: ").rstrip("\n")


# --- starting --------------------------------------------------------------------------------------------------


def test_help_is_fast() -> None:
    """In processor time: 0.07 s of both clocks on an idle machine, but this one may be busy."""
    assert min(_processor_seconds() for _ in range(4)) < 0.3


def _processor_seconds() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shardfleet("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["shard", "--help"]])
def test_nothing_heavy_is_imported_to_start(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom shardfleet_operator.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print('MODULES', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    modules = set(result.stdout.rpartition("MODULES")[2].split())
    heavy = {"rich", "kopf", "kubernetes", "pandas", "pyarrow", "yaml", "jsonschema", "celpy"}
    assert not modules & heavy
    if arguments[0] == "shard":
        assert "typer" not in modules
    else:
        assert not modules & {"numpy", "redis", "grpc"}


def test_no_arguments_show_help_and_fail() -> None:
    result = shardfleet()
    assert result.returncode == 2 and "transfers" in result.stderr and "error" not in result.stderr


def test_version() -> None:
    assert re.fullmatch(r"shardfleet \d+\.\d+\.\d+\n", shardfleet("--version").stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "-h"]) == 0
    assert f"Example:\n    shardfleet {' '.join(command)}" in capsys.readouterr().out


def test_first_lines_of_help_are_whole() -> None:
    shown = shardfleet("--help").stdout + shardfleet("simulation", "--help").stdout
    assert "..." not in shown.replace("[ARGS]...", "")


# --- wrong use -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "No such command 'frobnicate'; see 'shardfleet --help'"),
        (["entity"], "Missing argument 'ID'; see 'shardfleet entity --help'"),
        (["entity", "x"], "Invalid value for 'ID'"),
        (["entity", "-1"], "No such option: -1"),
        (["entity", str(2**64)], "Invalid value for 'ID'"),
        (["config"], "Missing option '--file' / '-f'"),
        (["config", "-f", "/nowhere/fleet.yaml"], "/nowhere/fleet.yaml"),
        (["spawn"], "Missing option '--position'"),
        (["spawn", "--position", "here"], "--position here: not numbers"),
        (["spawn", "--position", "1"], "a world has 2 or 3 dimensions, not 1"),
        (["spawn", "--position", "1,nan"], "every number must be finite"),
        (["spawn", "--position", "1,2", "--velocity", "1,2,3"], "3 numbers, but --position has 2"),
        (["spawn", "--position", "1,2", "--column", "mass"], "--column mass: must be NAME=VALUE, such as mass=2.5"),
        (["spawn", "--position", "1,2", "--column", "mass=big"], "--column mass=big big: not numbers"),
        (["watch", "--interval", "fast"], "--interval: 'fast' is not a duration such as 60ms"),
        (["watch", "--ids", "1,x"], "--ids 1,x: not numbers"),
        (["watch", "--ids", "-1"], "ids are whole numbers from 0 to 2^64 - 1"),
        (["transfers", "--fleet", "arena"], "in which Redis? Add --redis URL, or set SHARDFLEET_REDIS_URL"),
        (["transfers", "--redis", "redis://127.0.0.1:1"], "which fleet in it? Add --fleet NAME"),
        (["transfers", "--data", "x", "--fleet", "arena"], "leave --fleet out"),
        (["transfers", "--data", "x", "--redis", "redis://127.0.0.1:1"], "--data and --redis: x says itself"),
        (["entity", "1", "--redis", "redis://127.0.0.1:1", "--data", "x"], "leave --redis out"),
        (["watch", "--redis", "redis://h", "--fleet", "arena", "--data", "x"], "leave --redis out"),
        (["transfers", "--data", "/nowhere"], "/nowhere"),
        (["transfers"], "no fleet under .shardfleet"),
        (["transfers", "--redis", "redis://127.0.0.1:1", "--fleet", "arena"], "127.0.0.1:1"),
        (["transfers", "--redis", "http://secret@x", "--fleet", "arena"], "Redis URL cannot be read"),
        (["transfers", "--redis", "redis://127.0.0.1:1", "--fleet", "A b"], "fleet name 'A b'"),
        (["simulation", "check", "nosuch"], "no simulation 'nosuch' is installed; there are: linear, orbit, replay"),
        (["simulation", "check", "orbit", "--parameters", "{"], "--parameters: not JSON"),
        (["simulation", "check", "orbit", "--parameters", "[]"], "--parameters: must be one JSON object"),
        (["simulation", "check", "orbit", "--parameters", "@/nowhere"], "--parameters: /nowhere: cannot be read"),
        (["simulation", "check", "orbit", "--parameters", '{"radius": "x"}'], "spec.simulation.parameters.radius"),
        (["check", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHARDFLEET_REDIS_URL", raising=False)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"shardfleet: error: [^\n]+\n", captured.err), captured.err
    assert says in captured.err


def test_a_data_folder_goes_before_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHARDFLEET_REDIS_URL", "redis://127.0.0.1:1")
    assert main(["transfers", "--data", "/nowhere"]) == 2
    assert "/nowhere: not a fleet's data folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("was", "becomes", "field"),
    [
        ("tickRate: 20", "tickRate: 25", "spec.tickRate: 25 here"),
        ("max: [120, 120]", "max: [120, 121]", "spec.world.max: [120.0, 121.0] here"),
        ("name: orbit", "name: linear", "spec.simulation.name: linear here"),
    ],
)
def test_a_world_is_not_run_on_with_other_laws(
    was: str, becomes: str, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    config = to_config(load_fleet(ORBIT), {})
    folder.begin_world(config, EMBEDDED, fresh=False)
    folder.write_config(config)
    folder.unlock()
    other, text = tmp_path / "fleet.yaml", ORBIT.read_text()
    assert text.count(was) == 1
    other.write_text(text.replace(was, becomes))
    assert main(["local", "up", "-f", str(other), "--data", str(folder.path), "--duration", "1"]) == 2
    captured = capsys.readouterr()
    assert re.fullmatch(r"shardfleet: error: [^\n]+\n", captured.err), captured.err
    assert captured.out == "" and field in captured.err and "--fresh" in captured.err
    assert folder.stored_config() == config


def test_wrong_use_from_outside(tmp_path: Path) -> None:
    result = shardfleet("transfers", cwd=tmp_path)
    assert result.returncode == 2 and "no fleet under .shardfleet" in one_line_error(result)


def test_passwords_are_not_repeated(tmp_path: Path) -> None:
    url = "redis://:geheim@127.0.0.1:1"
    result = shardfleet("transfers", "--fleet", "arena", cwd=tmp_path, environment={"SHARDFLEET_REDIS_URL": url})
    assert "127.0.0.1:1" in one_line_error(result) and "geheim" not in result.stderr


# --- files -----------------------------------------------------------------------------------------------------


def test_config_names_every_source() -> None:
    result = shardfleet(
        "config", "-f", ORBIT, "--json", environment={"ATLASNET_ENTITY_HANDOFF_TRANSFER_DELAY_US": "80000"}
    )
    assert (result.returncode, result.stderr) == (0, "")
    shown = json.loads(result.stdout)
    settings = {row["field"]: (row["value"], row["source"]) for row in shown["settings"]}
    assert settings["spec.handoff.delay"] == ("80ms", "ATLASNET_ENTITY_HANDOFF_TRANSFER_DELAY_US")
    assert settings["spec.replicas"] == ("4", "spec")
    assert settings["spec.lease"] == ("3s", "default")
    text = shardfleet("config", "-f", ORBIT).stdout.splitlines()
    assert text[0].split() == ["FIELD", "VALUE", "FROM"] and len(text) == len(settings) + 1


def test_validate(tmp_path: Path) -> None:
    good = shardfleet("validate", "-f", ORBIT)
    assert good.returncode == 0 and "is valid" in good.stdout
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(ORBIT.read_text().replace("replicas: 4", "replicas: -1"))
    result = shardfleet("validate", "-f", wrong)
    assert result.returncode == 2 and "spec.replicas" in one_line_error(result)
    as_json = shardfleet("validate", "-f", wrong, "--json")
    answer = json.loads(as_json.stdout)
    assert (as_json.returncode, as_json.stderr) == (2, "")
    assert answer["valid"] is False and [fault["field"] for fault in answer["faults"]] == ["spec.replicas"]


def test_validate_checks_the_simulation_too(tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text(ORBIT.read_text().replace("    name: orbit\n", "    name: nosuch\n"))
    result = shardfleet("validate", "-f", unknown)
    assert result.returncode == 2 and "no simulation 'nosuch' is installed" in one_line_error(result)


def test_simulation_list_and_check() -> None:
    listed = json.loads(shardfleet("simulation", "list", "--json").stdout)
    assert {row["name"] for row in listed["simulations"]} >= {"linear", "orbit", "replay"}
    checked = shardfleet("simulation", "check", "orbit", "--json")
    assert checked.returncode == 0 and json.loads(checked.stdout)["ok"] is True


def test_check_of_an_empty_folder(tmp_path: Path) -> None:
    result = shardfleet("check", tmp_path)
    assert result.returncode == 2 and str(tmp_path) in one_line_error(result)


# --- output ----------------------------------------------------------------------------------------------------


def in_terminal(environment: Mapping[str, str]) -> bytes:
    """What ``config`` writes where a person looks."""
    leader, follower = pty.openpty()
    try:
        arguments = [sys.executable, "-m", "shardfleet_operator.cli", "config", "-f", str(ORBIT)]
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
        process = subprocess.Popen(arguments, stdout=follower, stderr=follower, env={**clean, **environment}, cwd=ROOT)
        os.close(follower)
        output = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # Linux: the other side has closed
                break
            if not piece:
                break
            output += piece
        assert process.wait(PATIENCE_S) == 0
    finally:
        os.close(leader)
    return output


def test_colours_only_in_a_terminal_that_wants_them() -> None:
    assert b"\x1b[1m" in in_terminal({"TERM": "xterm"})
    assert b"\x1b" not in in_terminal({"TERM": "xterm", "NO_COLOR": "1"})
    assert b"\x1b" not in in_terminal({"TERM": "dumb"})
    assert "\x1b" not in shardfleet("config", "-f", ORBIT, environment={"TERM": "xterm"}).stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "shardfleet_operator.cli", "config", "-f", str(ORBIT)],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (0, b"")


# --- exit codes of checks that fail -----------------------------------------------------------------------------


def test_a_failed_check_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from shardfleet_operator import checker
    from shardfleet_shard.core.exactness import Fault
    from shardfleet_shard.simulations import check
    from shardfleet_shard.simulations.check import CheckResult

    def broken(*_: Any, **__: Any) -> CheckResult:
        return CheckResult(name="x", lines=("FAULT a: b",), faults=(Fault(rule="a", message="b"),))

    monkeypatch.setattr(check, "run", broken)
    assert main(["simulation", "check", "x"]) == 1
    assert capsys.readouterr().out == "FAULT a: b\n"

    failing = checker.CheckReport(directory="d", bound_ticks=100, counts={"A1 overlap": 1})
    monkeypatch.setattr(checker, "check_directory", lambda _, **__: failing)
    assert main(["check", "d"]) == 1
    assert "failed: 1 violations" in capsys.readouterr().out
    assert main(["check", "d", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_broken_invariant_ends_with_1_and_other_errors_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shardfleet_operator.cli import app
    from shardfleet_shard.errors import InvariantError, StoreUnavailable

    def raising(error: Exception) -> int:
        def invoke(_: Any) -> int:
            raise error

        monkeypatch.setattr(app, "invoke", invoke)
        return main(["transfers"])

    assert raising(InvariantError("3 is not 4")) == 1
    assert raising(StoreUnavailable("nobody\nanswers")) == 2
    assert raising(KeyboardInterrupt()) == 130  # type: ignore[arg-type]
    assert capsys.readouterr().err == "shardfleet: error: 3 is not 4\nshardfleet: error: nobody answers\n"
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        raising(ZeroDivisionError())


@pytest.mark.parametrize(("pid", "code"), [(1, 128 + signal.SIGTERM), (2, -signal.SIGTERM)])
def test_sigterm_ends_a_command_that_has_not_begun(pid: int, code: int) -> None:
    """Process 1 needs a handler for it; any other process would hide by one that it was killed."""
    program = (
        "import os, signal\nfrom shardfleet_operator.cli.main import die_of_sigterm\n"
        f"die_of_sigterm({pid})\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_S, check=False)
    assert done.returncode == code
