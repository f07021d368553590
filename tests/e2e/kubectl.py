"""kubectl and helm as a person uses them, with patience and progress."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]


class Refused(Exception):
    """A command that ended with something else than 0; its text is what the command said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Paths of the programs; the cluster is the one of ``KUBECONFIG``."""

    kubectl: str
    helm: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Tools:
        """``KUBECTL`` and ``HELM`` name programs; left out, those on the PATH."""
        values = os.environ if environment is None else environment
        return cls(kubectl=values.get("KUBECTL") or "kubectl", helm=values.get("HELM") or "helm")


def say(text: str) -> None:
    """Progress, also while pytest holds a test's output back."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.__stderr__, flush=True)


def run(command: list[str], *, text: str | None = None, timeout_s: float = 120) -> str:
    """The command's stdout.

    Raises:
        Refused: it ended with another code than 0, or not in time.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{' '.join(command[:6])} did not end in {timeout_s:.0f} s") from error
    if done.returncode:
        raise Refused(f"{' '.join(command[:8])}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def until(
    what: str, look: Callable[[], T | None], *, timeout_s: float, every_s: float = 0.5, tell: Callable[[], str] = str
) -> T:
    """What ``look`` returns once it is neither None nor False.

    Raises:
        AssertionError: it did not come in time; ``tell`` says what there was instead.
    """
    began = told = time.monotonic()
    while True:
        found = look()
        now = time.monotonic()
        if found is not None and found is not False:
            say(f"{what}: after {now - began:.1f} s")
            return found
        if now - began > timeout_s:
            raise AssertionError(f"{what}: not in {timeout_s:.0f} s; {tell()}")
        if now - told > 15:
            told = now
            say(f"{what}: waiting for {now - began:.0f} s; {tell()[:300]}")
        time.sleep(every_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """kubectl in one namespace."""

    tools: Tools
    namespace: str

    def __call__(self, *words: str, text: str | None = None, timeout_s: float = 120) -> str:
        return run([self.tools.kubectl, "-n", self.namespace, *words], text=text, timeout_s=timeout_s)

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Each in the namespace that it names, else in this one."""
        for body in objects:
            namespace = body["metadata"].get("namespace", self.namespace)
            run([self.tools.kubectl, "-n", namespace, "apply", "-f", "-"], text=json.dumps(body))

    def items(self, kind: str, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("get", kind, *words)["items"]
        return found

    def exists(self, kind: str, name: str) -> bool:
        return bool(self("get", kind, name, "--ignore-not-found", "-o", "name").strip())
