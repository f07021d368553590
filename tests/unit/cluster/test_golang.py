"""Programs from Go modules: go.mod, linker flags, replace lines and the cache's keys."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.cluster import golang, programs, versions
from tests.cluster.golang import GoProgram
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError

PROGRAM = GoProgram(name="tool", module="example.org/tool", version="v1.2.3", package="example.org/tool/cmd/tool")

KUBERNETES_GO_MOD = """\
module k8s.io/kubernetes

require (
\tgithub.com/spf13/cobra v1.9.1
\tk8s.io/api v0.0.0
\tk8s.io/klog/v2 v2.130.1
\tk8s.io/client-go v0.0.0
)

replace (
\tk8s.io/client-go => ./staging/src/k8s.io/client-go
\tk8s.io/api => ./staging/src/k8s.io/api
)
"""


def test_every_staged_module_is_replaced_by_its_published_version() -> None:
    assert golang.staging_replaces(KUBERNETES_GO_MOD, "v1.34.4") == {
        "k8s.io/api": "k8s.io/api v0.34.4",
        "k8s.io/client-go": "k8s.io/client-go v0.34.4",
    }


def test_staged_modules_are_found_without_replace_lines() -> None:
    # A workspace (go.work) took the replace lines' place; the requirements without a version stayed.
    without = KUBERNETES_GO_MOD.partition("replace (")[0]
    assert sorted(golang.staging_replaces(without, "v1.34.4")) == ["k8s.io/api", "k8s.io/client-go"]


@pytest.mark.parametrize("version", ["1.34.4", "v2.0.0", "v1.34", "v1.34.4-rc.1"])
def test_a_version_that_the_parts_could_not_have_is_refused(version: str) -> None:
    with pytest.raises(ClusterError, match="not a version of Kubernetes"):
        golang.staging_replaces(KUBERNETES_GO_MOD, version)


def test_another_modules_go_mod_is_refused() -> None:
    with pytest.raises(ClusterError, match="names no module under"):
        golang.staging_replaces("module example.org/other\n", "v1.34.4")


def test_go_mod() -> None:
    text = golang.go_mod(PROGRAM, replaces={"b": "c v1.0.0", "a v0.1.0": "d v2.0.0"}, go_version="1.26")
    assert text == (
        "module shardfleet.dev/cluster/tool\n\ngo 1.26\n\nrequire example.org/tool v1.2.3\n\n"
        "replace a v0.1.0 => d v2.0.0\nreplace b => c v1.0.0\n"
    )


def test_go_mod_of_a_program_that_needs_only_gos_library() -> None:
    text = golang.go_mod(dataclasses.replace(PROGRAM, module=""), replaces={}, go_version="1.26")
    assert text == "module shardfleet.dev/cluster/tool\n\ngo 1.26\n"


def test_linker_flags_name_every_value_in_order() -> None:
    assert golang.linker_flags({"b.Version": "2", "a.version": "v1"}) == "-s -w -X a.version=v1 -X b.Version=2"


def test_kubernetes_says_its_version_in_every_place() -> None:
    flags = programs.kubernetes_flags("v1.34.4")
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        assert flags[f"{package}.gitVersion"] == "v1.34.4"
        assert (flags[f"{package}.gitMajor"], flags[f"{package}.gitMinor"]) == ("1", "34")


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(PROGRAM, version="v1.2.4"),
        dataclasses.replace(PROGRAM, package="example.org/tool/cmd/other"),
        dataclasses.replace(PROGRAM, flags={"main.version": "v1.2.3"}),
        dataclasses.replace(PROGRAM, replaces={"a": "b v1.0.0"}),
        dataclasses.replace(PROGRAM, staged=True),
    ],
)
def test_the_cache_key_changes_with_what_is_built(changed: GoProgram) -> None:
    assert golang.cache_key(changed, {}) != golang.cache_key(PROGRAM, {})


def test_the_cache_key_changes_with_our_source() -> None:
    keys = {
        golang.cache_key(PROGRAM, sources) for sources in ({}, {"main.go": b"a"}, {"main.go": b"b"}, {"x.go": b"a"})
    }
    assert len(keys) == 4
    assert golang.cache_key(PROGRAM, {"main.go": b"a"}) == golang.cache_key(PROGRAM, {"main.go": b"a"})


def test_programs_of_our_own_have_their_source(tmp_path: Path) -> None:
    layout = Layout.from_environment({"XDG_CACHE_HOME": str(tmp_path)})
    for program in programs.NODE_PROGRAMS:
        assert bool(golang.sources_of(program, layout)) == bool(program.source), program.name
        path = golang.binary_path(program, layout)
        assert path.is_relative_to(tmp_path / "shardfleet") and program.version in path.parent.name


def test_the_components_main_knows_every_name_that_a_node_calls(tmp_path: Path) -> None:
    layout = Layout.from_environment({"XDG_CACHE_HOME": str(tmp_path)})
    source = (layout.sources / "go" / "components" / "main.go").read_text()
    assert [name for name in programs.COMPONENT_NAMES if f'"{name}"' not in source] == []


def test_one_kubernetes_version_everywhere() -> None:
    assert versions.HUB_NODE_IMAGE.partition(":")[2].startswith(versions.KUBERNETES.rpartition(".")[0] + ".")
