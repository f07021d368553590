"""Every version that the cluster and its tools are made of, in one place.

A change here changes the keys of what is kept in the cache, so the next start builds what it touches and no more.
"""

from __future__ import annotations

KUBERNETES = "v1.34.4"
"""The newest minor version whose kubelet still works with containerd 1.6, the newest in Debian 12."""

KIND = "v0.33.0"
HUB_NODE_IMAGE = "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
"""The node image that kind's release notes name for this version of kind and Kubernetes."""

ETCD = "v3.6.5"
COREDNS = "v1.12.1"
"""These two are the versions that kubeadm of ``KUBERNETES`` asks for; the node image's build compares them."""

LOCAL_PATH_PROVISIONER = "v0.0.30"

HELM = "v3.22.0"
KUBECONFORM = "v0.8.0"
KWOK = "v0.8.0"
HELM_UNITTEST = "v1.1.2"

DEBIAN = "bookworm"
NODE_PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "dbus",
    "ethtool",
    "hostname",
    "iproute2",
    "iptables",
    "kmod",
    "procps",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
    "util-linux",
)
PROXY_PACKAGES = ("conntrack", "iptables", "kmod")
"""What kube-proxy calls; the same small base serves the storage provisioner's helper pods, which need a shell."""

PYTHON_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
"""What the hub's ``python:3.11-slim`` has, as far as a Dockerfile can tell."""
