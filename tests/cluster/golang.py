"""Programs built from Go modules: the go.mod that one needs, its linker flags, its place in the cache.

Each program gets a module of its own that requires the wanted version, instead of ``go install package@version``: that
refuses every module whose go.mod has replace lines (Kubernetes, etcd), and could not build programs of our own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, run, step

OLDEST_GO = (1, 25)
STAGED_MODULE = re.compile(r"^\s*(?:replace\s+)?(k8s\.io/[a-z0-9-]+)\s+=>\s+\./staging/", re.MULTILINE)
UNVERSIONED_MODULE = re.compile(r"^\s*(k8s\.io/[a-z0-9-]+) v0\.0\.0$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """One binary and everything that decides what is in it."""

    name: str
    module: str
    """Empty for a program of our own that needs nothing but Go's library."""

    version: str
    package: str
    """What is compiled; ``.`` for the source in ``source``."""

    source: str = ""
    """Folder under tests/cluster/go/ with a main package of our own."""

    flags: Mapping[str, str] = field(default_factory=dict)
    """Values for string variables, by package path and name (the linker's ``-X``)."""

    replaces: Mapping[str, str] = field(default_factory=dict)
    """Module (with or without version) to the module and version that takes its place."""

    staged: bool = False
    """Whether the module keeps its parts under ./staging, as Kubernetes does: each then needs a replace line."""


def linker_flags(values: Mapping[str, str]) -> str:
    """The argument of ``go build -ldflags``: no symbols, and every value of ``values`` set."""
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in sorted(values.items()))])


def staging_replaces(go_mod: str, version: str) -> dict[str, str]:
    """The replace lines for the modules that Kubernetes keeps under ./staging.

    Args:
        go_mod: The go.mod of k8s.io/kubernetes.
        version: Its version, ``v1.34.4``; the parts are published as ``v0.34.4``.

    Raises:
        ClusterError: The go.mod names no such module, so it isn't one of Kubernetes.
    """
    if not re.fullmatch(r"v1\.\d+\.\d+", version):
        raise ClusterError(f"'{version}' is not a version of Kubernetes 1, like v1.34.4")
    names = STAGED_MODULE.findall(go_mod) or UNVERSIONED_MODULE.findall(go_mod)
    if not names:
        raise ClusterError(f"the go.mod of k8s.io/kubernetes {version} names no module under ./staging")
    return {name: f"{name} v0.{version.removeprefix('v1.')}" for name in sorted(set(names))}


def go_mod(program: GoProgram, *, replaces: Mapping[str, str], go_version: str) -> str:
    """The go.mod of the module that builds ``program``; Go itself adds what is required indirectly."""
    lines = [
        f"module shardfleet.dev/cluster/{program.name}",
        "",
        f"go {go_version}",
        "",
        *([f"require {program.module} {program.version}"] if program.module else []),
        "",
        *(f"replace {old} => {new}" for old, new in sorted(replaces.items())),
    ]
    return "\n".join(lines).rstrip() + "\n"


def cache_key(program: GoProgram, sources: Mapping[str, bytes]) -> str:
    """Twelve hex digits that change with anything that goes into the binary but the Go compiler."""
    digest = hashlib.sha256(repr((program.module, program.version, program.package, program.staged)).encode())
    digest.update(repr((sorted(program.flags.items()), sorted(program.replaces.items()))).encode())
    for name, content in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


def sources_of(program: GoProgram, layout: Layout) -> dict[str, bytes]:
    """File name to content of the program's own source; empty where it is all in the module."""
    if not program.source:
        return {}
    return {path.name: path.read_bytes() for path in sorted((layout.sources / "go" / program.source).glob("*.go"))}


def binary_path(program: GoProgram, layout: Layout) -> Path:
    """Where the built program is, or will be."""
    key = cache_key(program, sources_of(program, layout))
    return layout.cache / "bin" / f"{program.name}-{program.version}-{key}" / program.name


def go_version() -> str | None:
    """The installed Go, as ``1.26``; None where there is none."""
    if shutil.which("go") is None:
        return None
    found = re.match(r"go(\d+\.\d+)", run(["go", "env", "GOVERSION"]))
    return found[1] if found else None


def missing_go() -> str:
    """What is wrong with this machine's Go; '' when nothing is."""
    version = go_version()
    oldest = ".".join(map(str, OLDEST_GO))
    if version is None:
        return f"Go {oldest} or newer (https://go.dev/dl)"
    if tuple(map(int, version.split("."))) < OLDEST_GO:
        return f"Go {oldest} or newer; the one on the PATH is {version} (https://go.dev/dl)"
    return ""


def build(program: GoProgram, layout: Layout) -> Path:
    """Build a program unless the cache has it, and return its path.

    Raises:
        ClusterError: There is no Go, or the build failed.
    """
    target = binary_path(program, layout)
    if target.exists():
        return target
    if missing := missing_go():
        raise ClusterError(f"building {program.name} needs {missing}")
    with step(f"{program.name} {program.version}, from its Go module"):
        layout.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=layout.cache, prefix=f"build-{program.name}-") as folder:
            _compile(program, layout, Path(folder))
            # Renamed as a whole: a build that was killed half-way leaves no binary that looks finished.
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / "out").rename(target)
    return target


def _compile(program: GoProgram, layout: Layout, folder: Path) -> None:
    log = layout.logs / f"go-{program.name}.log"
    replaces = dict(program.replaces)
    if program.staged:
        replaces |= staging_replaces(_module_file(program, folder), program.version)
    for name, content in sources_of(program, layout).items():
        (folder / name).write_bytes(content)
    version = go_version()
    assert version is not None, "missing_go() was asked before"
    (folder / "go.mod").write_text(go_mod(program, replaces=replaces, go_version=version))
    run(_build_command(program, folder / "out"), cwd=folder, environment=_environment(), log=log, nice=True)


def _build_command(program: GoProgram, target: Path) -> Sequence[str | Path]:
    flags = linker_flags(program.flags)
    # -mod=mod lets Go write the indirect requirements and go.sum itself, checked against Go's checksum database.
    return ["go", "build", "-mod=mod", "-trimpath", "-ldflags", flags, "-o", target, program.package]


def _module_file(program: GoProgram, folder: Path) -> str:
    text = run(["go", "mod", "download", "-json", f"{program.module}@{program.version}"], cwd=folder)
    found = re.search(r'"GoMod": "([^"]+)"', text)
    if found is None:
        raise ClusterError(f"'go mod download' named no go.mod for {program.module} {program.version}")
    return Path(found[1]).read_text()


def _environment() -> dict[str, str]:
    # Static binaries: they run in images that hold nothing else. No workspace: one of the caller's would be mixed in.
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
