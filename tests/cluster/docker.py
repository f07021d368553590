"""A Docker to talk to: the one that runs on the machine, or (see ``own_docker``) one started for the cluster alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.debian import find_program
from tests.cluster.progress import answers, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """Where the docker and kind commands find their daemon."""

    environment: Mapping[str, str]
    own: bool
    """Whether the daemon was started by this code and serves nothing else."""

    def command(self, *words: str | Path, log: Path | None = None, timeout_s: float = 900.0) -> str:
        """Run ``docker`` with these words and return its stdout.

        Raises:
            ClusterError: It failed; with the end of its output.
        """
        return run(["docker", *words], environment=self.environment, log=log, timeout_s=timeout_s)

    def has_image(self, name: str) -> bool:
        """Whether the daemon has the image already."""
        return answers(["docker", "image", "inspect", name], environment=self.environment)


def running_docker() -> Docker | None:
    """The Docker that the person's own settings lead to; None where none answers."""
    if find_program("docker") is None or not answers(["docker", "info"], timeout_s=20.0):
        return None
    return Docker(environment=dict(os.environ), own=False)
