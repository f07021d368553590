"""The cluster's pure parts: runc's wrapper, tools' versions, the node image's content, the command line, the record."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster import (
    choice,
    debian,
    golang,
    node_image,
    own_docker,
    programs,
    record,
    runc_wrapper,
    tools,
    versions,
)
from tests.cluster.__main__ import NOTHING_RUNS, main, parser
from tests.cluster.debian import RootFilesystem
from tests.cluster.paths import REPOSITORY, Layout
from tests.cluster.progress import ClusterError, run
from tests.cluster.record import Record

IMAGES = [
    *(f"registry.k8s.io/{name}:{versions.KUBERNETES}" for name in node_image.CONTAINER_COMPONENTS),
    f"registry.k8s.io/coredns/coredns:{versions.COREDNS}",
    "registry.k8s.io/pause:3.10.1",
    f"registry.k8s.io/etcd:{versions.ETCD.removeprefix('v')}-0",
]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(repository=REPOSITORY, cache=tmp_path / "cache", runtime=tmp_path / "run")


def test_capabilities_that_a_machine_lacks() -> None:
    assert runc_wrapper.lacking_capabilities("Name:\tx\nCapBnd:\t000001fffeffffff\n") == {"CAP_SYS_RESOURCE"}
    assert runc_wrapper.lacking_capabilities("CapBnd:\t000001ffffffffff\n") == set()
    assert runc_wrapper.lacking_capabilities("no such line") == set()


def test_a_process_asks_for_nothing_that_it_cannot_get() -> None:
    asked = {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "permitted": ["CAP_SYS_RESOURCE"]},
        "rlimits": [{"type": "RLIMIT_NOFILE"}],
        "oomScoreAdj": -999,
    }
    assert runc_wrapper.without(asked, {"CAP_SYS_RESOURCE"}) == {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_CHOWN"], "permitted": []},
        "rlimits": [],
    }
    other = runc_wrapper.without(asked, {"CAP_CHOWN"})
    assert other["oomScoreAdj"] == -999 and other["rlimits"] == asked["rlimits"]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["create", "--bundle", "/b", "id"], "/b"),
        (["create", "-b", "/b"], "/b"),
        (["create", "--bundle=/b"], "/b"),
        (["create", "--bundle"], None),
        (["state", "id"], None),
    ],
)
def test_options_of_runc(arguments: list[str], value: str | None) -> None:
    assert runc_wrapper.option(arguments, "--bundle", "-b") == value


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("kind v0.33.0 go1.26.8 linux/amd64", (0, 33, 0)),
        ("v3.22.0+gabc", (3, 22, 0)),
        ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0", (1, 32, 4)),
        ("unknown", None),
    ],
)
def test_versions_in_a_tools_words(text: str, version: tools.Version | None) -> None:
    assert tools.version_in(text) == version


def test_a_tool_on_the_path_must_be_new_enough_and_of_the_same_major_version() -> None:
    assert tools.will_do((3, 14, 0), oldest=(3, 14, 0))
    assert not tools.will_do((3, 13, 9), oldest=(3, 14, 0))
    assert not tools.will_do((4, 0, 0), oldest=(3, 14, 0))
    assert not tools.will_do(None, oldest=(3, 14, 0))


def test_an_old_tool_without_go_is_reported_with_what_to_do(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "bin" / "helm"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho v3.1.0\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    monkeypatch.setattr("tests.cluster.golang.go_version", lambda: None)
    with pytest.raises(
        ClusterError, match=r"helm 3\.14\.0 or newer is missing; the one on the PATH.*helm\.sh.*Go 1\.25"
    ):
        tools.find("helm", layout)
    old.write_text("#!/bin/sh\necho v3.16.2\n")
    assert tools.find("helm", layout) == old


def test_kubectl_is_part_of_the_components_once_they_are_built(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("tests.cluster.golang.go_version", lambda: None)
    with pytest.raises(ClusterError, match=r"kubectl .* is missing"):
        tools.find("kubectl", layout)
    components = golang.binary_path(programs.COMPONENTS, layout)
    components.parent.mkdir(parents=True)
    components.write_text("x")
    kubectl = tools.find("kubectl", layout)
    assert kubectl.name == "kubectl" and kubectl.resolve() == components.resolve()
    assert tools.find("kubectl", layout) == kubectl


def test_kubeadms_images_are_those_that_are_built() -> None:
    node_image.check_versions(IMAGES)
    assert node_image.one_of(IMAGES, "coredns") == f"registry.k8s.io/coredns/coredns:{versions.COREDNS}"
    with pytest.raises(ClusterError, match="wants images that nothing here makes"):
        node_image.check_versions([*IMAGES, "registry.k8s.io/new:v1"])
    with pytest.raises(ClusterError, match=r"names 0 images of pause"):
        node_image.check_versions([name for name in IMAGES if "pause" not in name])
    with pytest.raises(ClusterError, match=r"wants 9\.9\.9-0"):
        node_image.check_versions([name.replace(versions.ETCD.removeprefix("v"), "9.9.9") for name in IMAGES])


def test_the_node_images_context_names_every_image(layout: Layout, tmp_path: Path) -> None:
    components = tmp_path / "components-built"
    components.write_text("x")
    context = tmp_path / "context"
    context.mkdir()
    node_image.fill_context(context, layout, components, pause="registry.k8s.io/pause:3.10.1")
    texts = {path.name: path.read_text() for path in context.rglob("*") if path.is_file()}
    assert not [name for name, text in texts.items() if "@PAUSE@" in text or "@SHELL@" in text or "@PROVI" in text]
    assert 'sandbox_image = "registry.k8s.io/pause:3.10.1"' in texts["containerd.toml"]
    for word in texts["Dockerfile"].split():
        if "/" not in word and word in ("entrypoint", "prepare-kubelet", "resolv.conf", "kubelet.service"):
            assert word in texts, f"the Dockerfile copies {word}"
    for name in ("default-cni.yaml", "default-storage.yaml"):
        for document in yaml.safe_load_all(texts[name]):
            assert document["apiVersion"] and document["kind"] and document["metadata"]["name"]
    json.loads(next(d for d in yaml.safe_load_all(texts["default-storage.yaml"]) if d["kind"] == "ConfigMap")["data"][
        "config.json"
    ])  # fmt: skip


def test_the_node_images_name_changes_with_its_files(layout: Layout, tmp_path: Path) -> None:
    copied = Layout(repository=tmp_path, cache=layout.cache, runtime=layout.runtime)
    for path in layout.sources.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            target = copied.sources / path.relative_to(layout.sources)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    name = node_image.node_image_name(layout)
    assert node_image.node_image_name(copied) == name and name.startswith(f"shardfleet/node:{versions.KUBERNETES}-")
    for changed in ("node/entrypoint", "node/manifests/default-cni.yaml", "go/etcd/main.go"):
        with (copied.sources / changed).open("a") as file:
            file.write("\n")
        other = node_image.node_image_name(copied)
        assert other != name
        name = other


def test_the_networks_do_not_overlap_and_stay_in_the_range_for_tests() -> None:
    config = yaml.safe_load((REPOSITORY / "kind-config.yaml").read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    pods = ipaddress.ip_network(config["networking"]["podSubnet"])
    services = ipaddress.ip_network(config["networking"]["serviceSubnet"])
    nodes = ipaddress.ip_network(own_docker.SUBNET)
    reserved = ipaddress.ip_network("198.18.0.0/15")
    entrypoint = (REPOSITORY / "tests/cluster/node/entrypoint").read_text()
    kept = [
        ipaddress.ip_network(found) for found in re.findall(r"ip route replace (?:unreachable )?(\S+/\d+)", entrypoint)
    ]
    assert list(ipaddress.collapse_addresses(kept)) == [reserved]  # type: ignore[type-var]
    for network in (pods, services, nodes):
        assert network.subnet_of(reserved)  # type: ignore[arg-type]
    assert not pods.overlaps(services) and not pods.overlaps(nodes) and not services.overlaps(nodes)


def test_a_root_filesystems_key_changes_with_its_content() -> None:
    keys = {
        RootFilesystem(name="x", packages=["a", "b"]).key,
        RootFilesystem(name="x", packages=["a"]).key,
        RootFilesystem(name="x", packages=["a", "b"], files={"f": b"1"}).key,
        RootFilesystem(name="x", packages=["a", "b"], links={"f": "1"}).key,
    }
    assert len(keys) == 4
    assert RootFilesystem(name="y", packages=["b", "a"]).key in keys


def test_the_python_base_asks_the_index_that_the_machine_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(b"certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.org/simple")
    filesystem = node_image.python_base()
    assert filesystem.files["etc/ssl/certs/ca-certificates.crt"] == b"certificates"
    assert b"index-url = https://index.example.org/simple" in filesystem.files["etc/pip.conf"]


def test_modes() -> None:
    assert choice.mode_from({}) == "auto"
    assert choice.mode_from({"SHARDFLEET_CLUSTER": "docker"}) == "docker"
    with pytest.raises(ClusterError, match=r"SHARDFLEET_CLUSTER is 'hub'; it can be one of auto"):
        choice.mode_from({"SHARDFLEET_CLUSTER": "hub"})


def test_everything_that_is_missing_is_named_at_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.cluster.golang.go_version", lambda: "1.19")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    missing = "\n".join(choice.missing_for_own(layout, packages=["debootstrap", "docker.io"]))
    for word in (
        "root",
        "apt-get install --no-install-recommends debootstrap docker.io",
        "Go 1.25 or newer",
        "is 1.19",
    ):
        assert word in missing
    monkeypatch.setattr("sys.platform", "darwin")
    assert choice.missing_for_own(layout, packages=[]) == ["Linux: containers need its kernel"]


def test_packages_are_named_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.cluster.debian.find_program", lambda name: "/bin/ip" if name == "ip" else None)
    monkeypatch.setattr("tests.cluster.debian.KEYRING", tmp_path / "absent.gpg")
    assert debian.missing_packages() == ["debian-archive-keyring", "debootstrap", "docker.io"]


def test_the_record_is_kept_and_a_broken_one_still_says_that_something_was_started(layout: Layout) -> None:
    assert record.read(layout) is None
    for written in (Record(own_docker=True, ready=False), Record(own_docker=False, ready=True)):
        record.write(layout, written)
        assert record.read(layout) == written
    layout.record.write_text('{"own_doc')
    assert record.read(layout) == Record(own_docker=True, ready=False)
    record.remove(layout)
    assert record.read(layout) is None


def test_a_pid_file_whose_number_another_process_has_counts_for_nothing(layout: Layout) -> None:
    docker = own_docker.OwnDocker(layout)
    assert docker.pid() is None
    docker.pid_file.parent.mkdir(parents=True)
    docker.pid_file.write_text("1")
    assert docker.pid() is None


def test_a_docker_that_was_started_with_another_cache_is_left_alone(layout: Layout, tmp_path: Path) -> None:
    docker = own_docker.OwnDocker(layout)
    docker.pid_file.parent.mkdir(parents=True)
    words = ["--pidfile", str(docker.pid_file), "--data-root", str(tmp_path / "elsewhere")]
    command = [sys.executable, "-c", "print(flush=True); input()", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()  # from here on /proc has its command line
        docker.pid_file.write_text(str(process.pid))
        # Both start and stop ask for it first. They are not called: where this fails, they would act on the machine.
        try:
            with pytest.raises(ClusterError, match=r"with its data in .*elsewhere; take it away from there"):
                docker.pid()
        finally:
            process.communicate(b"\n")


def test_our_own_docker_is_not_reached_by_the_persons_settings(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "production")
    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    environment = own_docker.OwnDocker(layout).docker.environment
    assert environment["DOCKER_HOST"] == f"unix://{layout.runtime}/docker.sock"
    assert "DOCKER_CONTEXT" not in environment


def test_the_cache_follows_the_persons_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Layout.from_environment({"XDG_CACHE_HOME": str(tmp_path)}).cache == tmp_path / "shardfleet" / "cluster"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert Layout.from_environment({}).cache == tmp_path / "me" / ".cache" / "shardfleet" / "cluster"


def test_commands_without_a_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(repository=tmp_path, cache=tmp_path / "cache", runtime=tmp_path / "run")
    monkeypatch.setattr("tests.cluster.paths.Layout.from_environment", lambda: layout)
    assert main(["status"]) == NOTHING_RUNS
    assert "make kind-up" in capsys.readouterr().out
    assert main(["load", str(tmp_path / "image.tar")]) == 1
    assert "error: no kind cluster 'shardfleet' of ours runs; 'make kind-up'" in capsys.readouterr().err
    assert main(["down"]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_build_arguments_need_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    options = parser().parse_args(["image", "--build-arg", "BASE=python:3.11-slim", "--build-arg", "X=a=b"])
    assert dict(options.build_arg) == {"BASE": "python:3.11-slim", "X": "a=b"}
    assert parser().parse_args(["image", "--also", "rain:1=examples/rain"]).also == [("rain:1", "examples/rain")]
    with pytest.raises(SystemExit):
        parser().parse_args(["image", "--build-arg", "BASE"])
    assert "'BASE' is not NAME=VALUE" in capsys.readouterr().err


def test_a_failed_command_is_reported_with_its_end_and_its_log(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"(?s)failed with 3 \(all of it: .*step.log\):\n    last words"):
        run(["sh", "-c", "echo last words; exit 3"], log=tmp_path / "step.log")
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        run(["no-such-program"])
    with pytest.raises(ClusterError, match="did not end within"):
        run(["sleep", "5"], timeout_s=0.1)
    assert run(["echo", "word"]) == "word\n"
