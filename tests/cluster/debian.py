"""Debian packages: which are missing here, and root filesystems made of them for images that no hub gives."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import versions
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, run, step

PROGRAM_PACKAGES = {
    "containerd": "docker.io",
    "debootstrap": "debootstrap",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "runc": "docker.io",
}
"""Programs that a cluster without a hub needs on the machine, with the package that brings each."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_NEEDED = ("dev/*", "proc/*", "sys/*", "usr/share/doc/*", "usr/share/locale/*", "usr/share/man/*",
              "var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFilesystem:
    """A Debian of few packages, kept as one tar."""

    name: str
    packages: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by path without a leading slash."""

    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links: path without a leading slash to target."""

    @property
    def key(self) -> str:
        """Twelve hex digits that change with the content."""
        parts = (versions.DEBIAN, sorted(self.packages), sorted(self.files.items()), sorted(self.links.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    def tar(self, layout: Layout) -> Path:
        """Where its tar is, or will be."""
        return layout.cache / "debian" / f"{self.name}-{versions.DEBIAN}-{self.key}.tar"


def missing_packages() -> list[str]:
    """The packages to install before a cluster can run without a hub, in alphabetical order."""
    missing = {package for program, package in PROGRAM_PACKAGES.items() if find_program(program) is None}
    if not KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def find_program(name: str) -> str | None:
    """A program's path; also from the folders that only root has on its PATH."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)


def install(packages: Sequence[str], layout: Layout) -> None:
    """Install packages on this machine; for CI machines, where nobody is there to be asked."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"apt-get install {' '.join(packages)}"), _no_services():
        run(["apt-get", "update", "-q"], environment=environment, log=layout.logs / "apt-update.log")
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        run(command, environment=environment, log=layout.logs / "apt-install.log")


@contextmanager
def _no_services() -> Iterator[None]:
    # Debian's packages start their service when they are installed; the machine's Docker is not ours to start.
    if SERVICE_POLICY.exists():
        yield
        return
    SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    SERVICE_POLICY.chmod(0o755)
    try:
        yield
    finally:
        SERVICE_POLICY.unlink()


def build(filesystem: RootFilesystem, layout: Layout) -> Path:
    """Make the tar of a root filesystem unless the cache has it, and return its path.

    Raises:
        ClusterError: debootstrap failed, or this is not root.
    """
    target = filesystem.tar(layout)
    if target.exists():
        return target
    if os.geteuid() != 0:
        raise ClusterError("debootstrap makes device files and needs root")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"Debian {versions.DEBIAN} with {filesystem.name}'s packages"),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{filesystem.name}-") as folder,
    ):
        _fill(filesystem, Path(folder) / "root", layout)
        archive = Path(folder) / "root.tar"
        excluded = [f"--exclude=./{pattern}" for pattern in NOT_NEEDED]
        run(["tar", "--numeric-owner", *excluded, "-C", Path(folder) / "root", "-cf", archive, "."])
        archive.rename(target)
    return target


def _fill(filesystem: RootFilesystem, root: Path, layout: Layout) -> None:
    packages = layout.cache / "debian" / "packages"
    packages.mkdir(exist_ok=True)
    command = [
        find_program("debootstrap") or "debootstrap",
        "--variant=minbase",
        f"--cache-dir={packages}",
        f"--keyring={KEYRING}",
        f"--include={','.join(sorted(filesystem.packages))}",
        versions.DEBIAN,
        str(root),
    ]
    if mirror := os.environ.get("SHARDFLEET_DEBIAN_MIRROR"):
        command.append(mirror)
    # A caller's PATH may lack the folders that hold dpkg's helpers inside the new root.
    environment = {**os.environ, "PATH": SYSTEM_PATH}
    run(command, environment=environment, log=layout.logs / f"debootstrap-{filesystem.name}.log", nice=True)
    for name, content in filesystem.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, link_target in filesystem.links.items():
        (root / name).symlink_to(link_target)
