"""Who asks the apiserver: a user with a token for each program, the kubeconfigs that carry it, and a plain client."""

from __future__ import annotations

import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from ..bench.fleet import BenchmarkError

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class User:
    """Groups decide the priority at which the apiserver takes the requests, as they do in a cluster."""

    name: str
    groups: str = ""


OPERATOR = User("system:serviceaccount:shardfleet-system:shardfleet", "system:serviceaccounts")
SCHEDULER = User("system:kube-scheduler")
KWOK = User("system:node:kwok", "system:nodes")
DRIVER = User("driver", "system:masters")
ADMIN = User("admin", "system:masters")
USERS = (OPERATOR, SCHEDULER, KWOK, DRIVER, ADMIN)


class Tokens:
    """A token for each of ``USERS``, and the file in which the apiserver looks them up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "tokens.csv"
        self._tokens = {user.name: secrets.token_hex(16) for user in USERS}
        lines = [f'{self._tokens[user.name]},{user.name},{user.name},"{user.groups}"' for user in USERS]
        self.path.touch(mode=0o600)
        self.path.write_text("\n".join(lines) + "\n")

    def kubeconfig(self, user: User, server: str, authority: Path) -> Path:
        """Writes one for ``user``; only we may read it."""
        path = self.folder / f"{user.name.rpartition(':')[2]}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": "default"}}],
            "clusters": [{"name": "bench", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "bench", "user": {"token": self._tokens[user.name]}}],
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


@dataclass(frozen=True, slots=True)
class Access:
    """What a kubeconfig of ours says."""

    server: str
    token: str
    authority: str

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        return cls(cluster["server"], user["token"], cluster["certificate-authority"])

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)


class Client:
    """Calls without a library between, so that what is counted is what was asked."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = Access.of(kubeconfig)
        self._context = self._access.context()

    def text(self, path: str) -> str:
        return self._call("GET", path, None, "application/json")

    def get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text(path))
        return found

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        self._call("POST", path, body, "application/json")

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        self._call("PATCH", path, body, "application/strategic-merge-patch+json")

    def delete(self, path: str) -> None:
        self._call("DELETE", path, None, "application/json")

    def answers(self, path: str) -> bool:
        try:
            self.text(path)
        except (OSError, BenchmarkError):
            return False
        return True

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, kind: str) -> str:
        request = urllib.request.Request(
            self._access.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._access.token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._context) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise BenchmarkError(f"{method} {path}: {error.code} {said}") from error
