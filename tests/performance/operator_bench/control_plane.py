"""etcd, kube-apiserver, kube-scheduler and kwok as plain processes on loopback ports; nodes without machines."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from shardfleet_operator.resource.schema import crd

from tests.cluster import golang, tools
from tests.cluster.paths import Layout
from tests.cluster.programs import COMPONENTS, ETCD
from tests.cluster.progress import ClusterError, exclusive
from tests.integration.servers import free_port

from ..bench.fleet import BenchmarkError
from .access import ADMIN, KWOK, OPERATOR, SCHEDULER, Client, Tokens, User

CONFIG = Path(__file__).with_name("config")
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
PODS_PER_NODE = 110
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of what is started. ``components`` is whichever part of Kubernetes it is called as."""

    etcd: Path
    components: Path
    kwok: Path

    @classmethod
    def find(cls) -> Self:
        """Builds what is missing; Kubernetes takes some minutes. Raises ``BenchmarkError``: no Go, or a failure."""
        layout = Layout.from_environment()
        programs = (ETCD, COMPONENTS, tools.TOOLS["kwok"].program)
        try:
            if any(not golang.binary_path(program, layout).exists() for program in programs):
                with exclusive(layout.tools_lock):
                    for program in programs:
                        golang.build(program, layout)
            return cls(*(golang.binary_path(program, layout) for program in programs))
        except ClusterError as error:
            raise BenchmarkError(str(error)) from error


class Server:
    """One process with a log of its own, ended by its own id."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                list(command),
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # a terminal's Ctrl-C reaches the benchmark alone, which then ends all in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def fail_if_ended(self) -> None:
        if (code := self._process.poll()) is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise BenchmarkError(f"{self.name} ended with code {code}; the end of {self.log}:\n{last}")

    def wait(self, what: str, true: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not true():
            self.fail_if_ended()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name}: {what} within {timeout_s:.0f} s; see {self.log}")
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ControlPlane:
    """A cluster of its own in ``folder``, from ``with`` to the end of it.

    Attributes:
        audit_log: a line for each call of the operator's.
        servers: by name.
    """

    def __init__(self, programs: Programs, folder: Path, *, pods: int) -> None:
        self.folder = folder
        self.audit_log = folder / "audit.log"
        self.servers: dict[str, Server] = {}
        self._programs = programs
        self._nodes = math.ceil(pods / PODS_PER_NODE) + 1
        self._tokens = Tokens(folder)
        self._port = free_port()
        self.url = f"https://127.0.0.1:{self._port}"

    @property
    def pids(self) -> dict[str, int]:
        return {name: server.pid for name, server in self.servers.items()}

    def kubeconfig(self, user: User) -> Path:
        return self._tokens.kubeconfig(user, self.url, self._authority)

    @property
    def _authority(self) -> Path:
        """The apiserver's own certificate, which it signed itself."""
        return self.folder / "apiserver.crt"

    def __enter__(self) -> Self:
        try:
            self._start_apiserver(self._start_etcd())
            self.servers["kube-apiserver"].wait("it makes no certificate", self._authority.exists)
            self.admin = Client(self.kubeconfig(ADMIN))
            self.servers["kube-apiserver"].wait("it is not ready", lambda: self.admin.answers("/readyz"))
            self._prepare()
            self._start_scheduler()
            stages = CONFIG / "stages.yaml"
            options = ["--manage-all-nodes=true", "--cidr=198.18.0.0/16", f"--config={stages}"]
            self._start("kwok", self._programs.kwok, [*options, f"--kubeconfig={self.kubeconfig(KWOK)}"])
            self.servers["kwok"].wait("its nodes are not ready", self._are_nodes_ready)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for server in reversed(self.servers.values()):
            server.stop()

    # --- servers -----------------------------------------------------------------------------------------------

    def _start(self, name: str, program: Path, options: Sequence[str]) -> None:
        self.servers[name] = Server(name, [str(program), *options], self.folder)

    def _start_component(self, name: str, options: Sequence[str]) -> None:
        """Kubernetes' parts are one program, which does as it is called."""
        link = self.folder / "bin" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(self._programs.components)
        self._start(name, link, options)

    def _start_etcd(self) -> str:
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        data = self.folder / "etcd"
        self._start(
            "etcd",
            self._programs.etcd,
            [
                f"--data-dir={data}",
                f"--listen-client-urls={clients}",
                f"--advertise-client-urls={clients}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--log-level=warn",
                # How fast this machine's disk is must not be what is measured, nor look like a leader that is gone.
                *("--unsafe-no-fsync", "--heartbeat-interval=500", "--election-timeout=5000"),
            ],
        )
        return clients

    def _start_apiserver(self, etcd: str) -> None:
        audit = self.folder / "audit.yaml"
        audit.write_text((CONFIG / "audit.yaml").read_text().replace("OPERATOR", OPERATOR.name))
        key = self.folder / "service-accounts.key"
        key.write_bytes(_private_key())
        self._start_component(
            "kube-apiserver",
            [
                f"--etcd-servers={etcd}",
                *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self._port}"),
                f"--cert-dir={self.folder}",  # it makes its own certificate there
                *("--service-cluster-ip-range=198.19.0.0/24", "--endpoint-reconciler-type=none"),
                f"--token-auth-file={self._tokens.path}",
                "--authorization-mode=AlwaysAllow",
                "--anonymous-auth=false",
                *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
                "--service-account-issuer=https://bench.invalid",
                # Nobody is there to take away the taint that this puts on a new node.
                "--disable-admission-plugins=TaintNodesByCondition",
                *(f"--audit-policy-file={audit}", f"--audit-log-path={self.audit_log}"),
            ],
        )

    def _start_scheduler(self) -> None:
        config = self.folder / "scheduler.yaml"
        text = (CONFIG / "scheduler.yaml").read_text().replace("KUBECONFIG", str(self.kubeconfig(SCHEDULER)))
        config.write_text(text)
        self._start_component("kube-scheduler", [f"--config={config}", "--secure-port=0"])

    # --- what is in it -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.admin.create(CRDS, crd())
        for number in range(self._nodes):
            self.admin.create("/api/v1/nodes", _node(f"node-{number}"))

        def is_served() -> bool:
            return self.admin.answers("/apis/shardfleet.dev/v1alpha1/shardfleets?resourceVersion=0")

        self.servers["kube-apiserver"].wait("it does not serve ShardFleets", is_served)
        self.servers["kube-apiserver"].wait(
            "it has no namespace default", lambda: self.admin.answers("/api/v1/namespaces/default")
        )

    def _are_nodes_ready(self) -> bool:
        nodes = self.admin.get("/api/v1/nodes?resourceVersion=0")["items"]
        return len(nodes) == self._nodes and all(
            any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions") or ())
            for node in nodes
        )


def _node(name: str) -> dict[str, object]:
    room = {"cpu": "64", "memory": "256Gi", "pods": str(PODS_PER_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": room, "allocatable": room},
    }


def _private_key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
