"""The Go programs that a node image is made of."""

from __future__ import annotations

from tests.cluster import versions
from tests.cluster.golang import GoProgram

COMPONENT_NAMES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubeadm",
    "kubectl",
    "kubelet",
)


def kubernetes_flags(version: str) -> dict[str, str]:
    """What the programs of Kubernetes say when asked for their version; without it they say v0.0.0 and refuse peers."""
    major, minor, _ = version.removeprefix("v").split(".")
    return {
        "k8s.io/component-base/version.gitVersion": version,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/component-base/version.gitTreeState": "clean",
        "k8s.io/client-go/pkg/version.gitVersion": version,
        "k8s.io/client-go/pkg/version.gitMajor": major,
        "k8s.io/client-go/pkg/version.gitMinor": minor,
    }


COMPONENTS = GoProgram(
    name="components",
    module="k8s.io/kubernetes",
    version=versions.KUBERNETES,
    package=".",
    source="components",
    flags=kubernetes_flags(versions.KUBERNETES),
    staged=True,
)
ETCD = GoProgram(name="etcd", module="go.etcd.io/etcd/server/v3", version=versions.ETCD, package=".", source="etcd")
COREDNS = GoProgram(
    name="coredns", module="github.com/coredns/coredns", version=versions.COREDNS, package=".", source="coredns"
)
LOCAL_PATH_PROVISIONER = GoProgram(
    name="local-path-provisioner",
    module="github.com/rancher/local-path-provisioner",
    version=versions.LOCAL_PATH_PROVISIONER,
    package="github.com/rancher/local-path-provisioner",
    flags={"main.VERSION": versions.LOCAL_PATH_PROVISIONER},
)
PAUSE = GoProgram(name="pause", module="", version="v1", package=".", source="pause")

NODE_PROGRAMS = (COMPONENTS, ETCD, COREDNS, LOCAL_PATH_PROVISIONER, PAUSE)
