"""The cluster itself: up, down, its state, and images loaded into its nodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import archive, record, tools
from tests.cluster.choice import Choice, choose
from tests.cluster.docker import Docker, running_docker
from tests.cluster.own_docker import OwnDocker
from tests.cluster.paths import CLUSTER_NAME, Layout
from tests.cluster.progress import ClusterError, answers, run, say, step
from tests.cluster.record import Record

NODES_TIMEOUT_S = 180
ADDONS = (("kube-system", "deployment/coredns"), ("local-path-storage", "deployment/local-path-provisioner"))
NAME_OPTION = ("--name", CLUSTER_NAME)


def up(layout: Layout, *, mode: str, install: bool, retain: bool = False) -> None:
    """Bring the cluster up; nothing to do where it runs already.

    Args:
        layout: The folders.
        mode: One of ``choice.MODES``.
        install: Whether missing Debian packages may be installed.
        retain: Whether nodes that did not come up are left there to be looked at.

    Raises:
        ClusterError: Something is missing or failed.
    """
    started = time.monotonic()
    if _runs(layout):
        say(f"kind cluster '{CLUSTER_NAME}' runs already; KUBECONFIG={layout.kubeconfig}")
        return
    if record.read(layout) is not None:
        say("  note   an earlier start or stop did not come to its end: its rest is taken away first")
        _take_away(layout)
    choice = choose(layout, mode=mode, install=install)
    kind = tools.find("kind", layout)
    _refuse_foreign(kind, choice.docker)
    kubectl = tools.find("kubectl", layout)
    record.write(layout, Record(own_docker=choice.docker.own, ready=False))
    _create(layout, choice, kind=kind, retain=retain)
    _wait_for_addons(layout, kubectl)
    record.write(layout, Record(own_docker=choice.docker.own, ready=True))
    seconds = time.monotonic() - started
    say(f"kind cluster '{CLUSTER_NAME}' runs after {seconds:.0f} s; KUBECONFIG={layout.kubeconfig}")


def down(layout: Layout) -> None:
    """Take the cluster away, and the Docker with it where that is our own.

    Raises:
        ClusterError: The machine's Docker, in which the nodes run, does not answer.
    """
    started = time.monotonic()
    if _take_away(layout):
        say(f"kind cluster '{CLUSTER_NAME}' is gone, after {time.monotonic() - started:.0f} s")
    else:
        say(f"no kind cluster '{CLUSTER_NAME}' of ours runs: nothing to do")


def load(layout: Layout, archives: Sequence[Path]) -> None:
    """Load image archives (as ``docker save`` writes them) into every node.

    Raises:
        ClusterError: No cluster runs, or a file is no image archive.
    """
    docker = cluster_docker(layout)
    names = {path: archive.names_in(path) for path in archives}
    kind = tools.find("kind", layout)
    for path, images in names.items():
        with step(f"{', '.join(images)}, into every node"):
            _kind(kind, docker, "load", "image-archive", path, *NAME_OPTION)


def status(layout: Layout) -> str:
    """What runs, in a few lines."""
    current = record.read(layout)
    if current is None:
        return f"no kind cluster '{CLUSTER_NAME}' of ours runs; 'make kind-up' brings one up"
    where = f"our own Docker ({OwnDocker(layout).socket})" if current.own_docker else "this machine's Docker"
    lines = [f"kind cluster '{CLUSTER_NAME}' in {where}, {'' if current.ready else 'not '}brought up to the end"]
    if _api_answers(layout):
        nodes = run([tools.find("kubectl", layout), "--kubeconfig", layout.kubeconfig, "get", "nodes"])
        return "\n".join([*lines, f"KUBECONFIG={layout.kubeconfig}", nodes.rstrip()])
    return "\n".join([*lines, "its apiserver does not answer; 'make kind-up' makes it anew"])


def cluster_docker(layout: Layout) -> Docker:
    """The Docker that the running cluster's nodes are in.

    Raises:
        ClusterError: No cluster of ours runs.
    """
    current = record.read(layout)
    docker = None if current is None else _docker_of(current, layout)
    if docker is None:
        raise ClusterError(f"no kind cluster '{CLUSTER_NAME}' of ours runs; 'make kind-up' brings one up")
    return docker


def _runs(layout: Layout) -> bool:
    """Whether our cluster is there and whole; its kubeconfig is then written for this checkout.

    Raises:
        ClusterError: It answers, but not all of its nodes are Ready: a person should look before it is thrown away.
    """
    current = record.read(layout)
    docker = _docker_of(current, layout) if current is not None and current.ready else None
    if docker is None:
        return False
    kind = tools.find("kind", layout)
    if CLUSTER_NAME not in _kind(kind, docker, "get", "clusters").split():
        return False
    _kind(kind, docker, "export", "kubeconfig", *NAME_OPTION, "--kubeconfig", layout.kubeconfig)
    if not _api_answers(layout):
        return False
    try:
        _wait_for_nodes(layout, tools.find("kubectl", layout), timeout_s=60)
    except ClusterError as error:
        raise ClusterError(
            f"kind cluster '{CLUSTER_NAME}' runs, but is not well. Look at it with KUBECONFIG={layout.kubeconfig}, "
            f"or 'make kind-down' and bring it up anew.\n{error}"
        ) from error
    return True


def _take_away(layout: Layout) -> bool:
    current = record.read(layout)
    own = OwnDocker(layout)
    found = current is not None
    if current is not None and not current.own_docker:
        docker = running_docker()
        if docker is None:
            raise ClusterError("the nodes run in this machine's Docker, which does not answer: start it first")
        with step("the nodes, removed"):
            _kind(
                tools.find("kind", layout), docker, "delete", "cluster", *NAME_OPTION, "--kubeconfig", layout.kubeconfig
            )
    if own.pid() is not None or layout.runtime.exists():
        with step("our own Docker, stopped with all that ran in it"):
            found = own.stop() or found
    layout.kubeconfig.unlink(missing_ok=True)
    record.remove(layout)
    return found


def _docker_of(current: Record, layout: Layout) -> Docker | None:
    if not current.own_docker:
        return running_docker()
    own = OwnDocker(layout)
    return own.docker if own.pid() is not None else None


def _refuse_foreign(kind: Path, docker: Docker) -> None:
    if docker.own:
        return  # nobody else starts anything in it
    if CLUSTER_NAME in _kind(kind, docker, "get", "clusters").split():
        raise ClusterError(
            f"a kind cluster named '{CLUSTER_NAME}' runs that was not started by this command. "
            f"If it is no longer wanted: kind delete cluster --name {CLUSTER_NAME}"
        )


def _create(layout: Layout, choice: Choice, *, kind: Path, retain: bool) -> None:
    layout.kubeconfig.parent.mkdir(exist_ok=True)
    if choice.docker.own:
        _remove_stopped(choice.docker)
    with step("kind create cluster: three nodes"):
        _kind(
            kind, choice.docker, "create", "cluster", *NAME_OPTION, "--image", choice.node_image, "--config",
            layout.kind_config, "--kubeconfig", layout.kubeconfig, "--wait", f"{NODES_TIMEOUT_S}s",
            *(["--retain"] if retain else []), log=layout.logs / "kind-create.log",
        )  # fmt: skip


def _remove_stopped(docker: Docker) -> None:
    # Nodes of a cluster whose Docker was killed with them: they came back stopped when it was started again.
    if containers := docker.command("ps", "--all", "--quiet").split():
        docker.command("rm", "--force", "--volumes", *containers)


def _wait_for_addons(layout: Layout, kubectl: Path) -> None:
    with step("nodes, name service and storage, ready"):
        _wait_for_nodes(layout, kubectl, timeout_s=NODES_TIMEOUT_S)
        for namespace, name in ADDONS:
            run([kubectl, "--kubeconfig", layout.kubeconfig, "--namespace", namespace, "rollout", "status", name,
                 f"--timeout={NODES_TIMEOUT_S}s"])  # fmt: skip


def _wait_for_nodes(layout: Layout, kubectl: Path, *, timeout_s: int) -> None:
    run([kubectl, "--kubeconfig", layout.kubeconfig, "wait", "--for=condition=Ready", "node", "--all",
         f"--timeout={timeout_s}s"])  # fmt: skip


def _api_answers(layout: Layout) -> bool:
    kubectl = tools.find("kubectl", layout)
    return answers([kubectl, "--kubeconfig", layout.kubeconfig, "--request-timeout=10s", "get", "--raw", "/readyz"])


def _kind(kind: Path, docker: Docker, *words: str | Path, log: Path | None = None) -> str:
    environment = {name: value for name, value in docker.environment.items() if name != "KUBECONFIG"}
    # The machine may have podman too; the choice has been made.
    environment["KIND_EXPERIMENTAL_PROVIDER"] = "docker"
    return run([kind, *words], environment=environment, log=log)
