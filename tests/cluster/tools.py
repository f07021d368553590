"""The command-line tools around a cluster: taken from the PATH where new enough, else built from their Go modules."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import golang, versions
from tests.cluster.golang import GoProgram
from tests.cluster.paths import Layout
from tests.cluster.programs import COMPONENTS, kubernetes_flags
from tests.cluster.progress import ClusterError

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool, how it is asked for its version, and the program that is built where the PATH has none that will do."""

    program: GoProgram
    version_command: Sequence[str]
    oldest: Version
    """From here on, within the same major version, one on the PATH will do."""

    where: str
    """Where a person gets it who has no Go."""

    part_of: GoProgram | None = None
    """A larger program that is this tool when called by its name; once that is built, nothing needs to be."""


def _helm_flags() -> dict[str, str]:
    _, minor, _ = versions.KUBERNETES.split(".")
    flags = {"helm.sh/helm/v3/internal/version.version": versions.HELM}
    # Without these, helm template and lint take every cluster for v1.20.
    for package in ("chartutil", "lint/rules"):
        flags[f"helm.sh/helm/v3/pkg/{package}.k8sVersionMajor"] = "1"
        flags[f"helm.sh/helm/v3/pkg/{package}.k8sVersionMinor"] = minor
    return flags


_KUBERNETES_MINOR = int(versions.KUBERNETES.split(".")[1])

TOOLS: dict[str, Tool] = {
    tool.program.name: tool
    for tool in (
        Tool(
            program=GoProgram(
                name="kind", module="sigs.k8s.io/kind", version=versions.KIND, package="sigs.k8s.io/kind"
            ),
            version_command=["version"],
            oldest=(0, 30, 0),
            where="https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
        ),
        Tool(
            program=GoProgram(
                name="kubectl",
                module="k8s.io/kubernetes",
                version=versions.KUBERNETES,
                package="k8s.io/kubernetes/cmd/kubectl",
                flags=kubernetes_flags(versions.KUBERNETES),
                staged=True,
            ),
            version_command=["version", "--client"],
            # kubectl is supported one minor version away from its cluster.
            oldest=(1, _KUBERNETES_MINOR - 1, 0),
            where="https://kubernetes.io/docs/tasks/tools",
            part_of=COMPONENTS,
        ),
        Tool(
            program=GoProgram(
                name="helm",
                module="helm.sh/helm/v3",
                version=versions.HELM,
                package="helm.sh/helm/v3/cmd/helm",
                flags=_helm_flags(),
            ),
            version_command=["version", "--short"],
            oldest=(3, 14, 0),
            where="https://helm.sh/docs/intro/install",
        ),
        Tool(
            program=GoProgram(
                name="kubeconform",
                module="github.com/yannh/kubeconform",
                version=versions.KUBECONFORM,
                package="github.com/yannh/kubeconform/cmd/kubeconform",
                flags={"main.version": versions.KUBECONFORM},
            ),
            version_command=["-v"],
            oldest=(0, 6, 0),
            where="https://github.com/yannh/kubeconform/releases",
        ),
        Tool(
            program=GoProgram(
                name="kwok",
                module="sigs.k8s.io/kwok",
                version=versions.KWOK,
                package="sigs.k8s.io/kwok/cmd/kwok",
                flags={"sigs.k8s.io/kwok/pkg/consts.Version": versions.KWOK},
            ),
            version_command=["--version"],
            oldest=(0, 7, 0),
            where="https://kwok.sigs.k8s.io/docs/user/installation",
        ),
        Tool(
            program=GoProgram(
                name="helm-unittest",
                module="github.com/helm-unittest/helm-unittest",
                version=versions.HELM_UNITTEST,
                package="github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
                # The replace line of its own go.mod, which counts only there.
                replaces={
                    "github.com/vmware-labs/yaml-jsonpath v0.3.2": "github.com/helm-unittest/yaml-jsonpath v0.4.0"
                },
            ),
            # It has no word for its version, so one on the PATH is never taken.
            version_command=[],
            oldest=(1, 0, 0),
            where="https://github.com/helm-unittest/helm-unittest/releases",
        ),
    )
}


def version_in(text: str) -> Version | None:
    """The first version that a tool's words name, like v1.34.4; None when there is none."""
    found = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def will_do(found: Version | None, *, oldest: Version) -> bool:
    """Whether a version is new enough and has the same major number, so that its options mean the same."""
    return found is not None and found[0] == oldest[0] and found >= oldest


def find(name: str, layout: Layout) -> Path:
    """A tool's path: built before, else on the PATH and new enough, else built now.

    Raises:
        ClusterError: There is no such tool, or no way to get it; with the ways there are.
    """
    if name not in TOOLS:
        raise ClusterError(f"no tool named '{name}'; there are {', '.join(sorted(TOOLS))}")
    tool = TOOLS[name]
    built = golang.binary_path(tool.program, layout)
    if built.exists():
        return built
    on_path = shutil.which(name)
    if on_path and tool.version_command and will_do(_version_of(on_path, tool), oldest=tool.oldest):
        return Path(on_path)
    if tool.part_of is not None and (whole := golang.binary_path(tool.part_of, layout)).exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        built.unlink(missing_ok=True)  # a link to one that is gone
        built.symlink_to(whole)
        return built
    if missing := golang.missing_go():
        oldest = ".".join(map(str, tool.oldest))
        found = f"; the one on the PATH, {on_path}, is older" if on_path else ""
        raise ClusterError(f"{name} {oldest} or newer is missing{found}. Install it ({tool.where}), or {missing}")
    return golang.build(tool.program, layout)


def _version_of(path: str, tool: Tool) -> Version | None:
    try:
        result = subprocess.run(
            [path, *tool.version_command], capture_output=True, text=True, timeout=20, check=False
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return version_in(result.stdout + result.stderr)
