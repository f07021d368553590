"""A Docker for the cluster alone, where none runs or none can reach a hub.

It has its own data root (in the cache), socket, pid file, configuration, cgroup and bridge, and is told to leave the
machine's packet filter and forwarding as they are: the nodes talk over one bridge, their ports are published by
Docker's proxy, and no node needs the world. So stopping it leaves nothing behind but images in the cache, and another
Docker on the same machine never notices it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster import runc_wrapper
from tests.cluster.debian import SYSTEM_PATH, find_program
from tests.cluster.docker import Docker
from tests.cluster.paths import Layout
from tests.cluster.progress import LOG_TAIL_LINES, ClusterError, answers, run, step

BRIDGE = "shardfleet0"
SUBNET = "198.18.201.0/24"
"""In the range that is reserved for tests of networks (198.18.0.0/15), beside the pods' in kind-config.yaml."""

CGROUP = "shardfleet"
KIND_NETWORK = "kind"
PLUGIN_FOLDER = Path("/run/docker/plugins")
"""dockerd makes this one whatever its options say; taken away again where it was not there before."""

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class OwnDocker:
    """Starts, finds and stops the cluster's own dockerd."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.data_root = layout.cache / "docker"
        self.socket = layout.runtime / "docker.sock"
        self.pid_file = layout.runtime / "dockerd.pid"
        self._made_plugin_folder = layout.runtime / "made-plugin-folder"

    @property
    def docker(self) -> Docker:
        """How the docker and kind commands reach it, without the settings that lead to another one."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        own = {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.layout.cache / "docker-config"),
            # BuildKit is a plugin that Debian's package lacks.
            "DOCKER_BUILDKIT": "0",
            "PATH": f"{kept.get('PATH', '')}:{SYSTEM_PATH}",
        }
        return Docker(environment={**kept, **own}, own=True)

    def pid(self) -> int | None:
        """The process id while it runs; a pid file whose number another process got by now does not count.

        Raises:
            ClusterError: One runs that was started with another cache, by another user or with another XDG_CACHE_HOME.
        """
        try:
            pid = int(self.pid_file.read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        except (OSError, ValueError):
            return None
        if str(self.pid_file) not in arguments:
            return None
        if str(self.data_root) not in arguments:
            theirs = arguments[arguments.index("--data-root") + 1]
            raise ClusterError(
                f"a Docker for a cluster runs already, with its data in {theirs}; take it away from there"
            )
        return pid

    def start(self) -> Docker:
        """Start it unless it runs.

        Raises:
            ClusterError: It did not come up; with the end of its log.
        """
        if self.pid() is not None and answers(["docker", "info"], environment=self.docker.environment):
            return self.docker
        self.stop()  # one that was killed leaves mounts and a bridge, and one that hangs is no use
        with step("a Docker of our own"):
            self._launch()
            networks = self.docker.command("network", "ls", "--format", "{{.Name}}").split()
            if KIND_NETWORK not in networks:
                bridge = f"com.docker.network.bridge.name={BRIDGE}"
                self.docker.command(
                    "network", "create", "--driver", "bridge", "--subnet", SUBNET, "--opt", bridge, KIND_NETWORK
                )
        return self.docker

    def stop(self) -> bool:
        """Stop it with everything that runs in it, and take away what it leaves; whether there was anything."""
        pid = self.pid()
        found = pid is not None or self.layout.runtime.exists()
        if pid is not None:
            if answers(["docker", "info"], environment=self.docker.environment):
                self._remove_containers()
            self._end(pid)
        self._remove_leftovers()
        return found

    def _launch(self) -> None:
        self.layout.runtime.mkdir(parents=True, exist_ok=True)
        if not PLUGIN_FOLDER.parent.exists():
            self._made_plugin_folder.touch()
        log = self.layout.logs / "dockerd.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = self._daemon_command()
        environment = {**self.docker.environment, "PATH": SYSTEM_PATH}
        with log.open("w") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(["docker", "info"], environment=self.docker.environment):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join("    " + line for line in log.read_text().splitlines()[-LOG_TAIL_LINES:])
                raise ClusterError(f"our own Docker did not start (all of its log: {log}):\n{tail}")
            time.sleep(0.3)

    def _daemon_command(self) -> list[str]:
        configuration = self.layout.runtime / "daemon.json"
        configuration.write_text("{}\n")  # not the machine's /etc/docker/daemon.json
        command = [
            find_program("dockerd") or "dockerd",
            *("--config-file", str(configuration)),
            *("--data-root", str(self.data_root)),
            *("--exec-root", str(self.layout.runtime / "exec")),
            *("--pidfile", str(self.pid_file)),
            *("--host", f"unix://{self.socket}"),
            *("--bridge", "none"),
            *("--cgroup-parent", f"/{CGROUP}"),
            *("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"),
            *("--log-level", "warn"),
        ]
        if runc_wrapper.lacking_capabilities(Path("/proc/self/status").read_text()):
            command += ["--add-runtime", f"wrapped={self._install_wrapper()}", "--default-runtime", "wrapped"]
        return command

    def _install_wrapper(self) -> Path:
        # A copy: the checkout and its virtual environment may go while containers run.
        module = self.layout.runtime / "runc_wrapper.py"
        shutil.copyfile(self.layout.sources / "runc_wrapper.py", module)
        python = getattr(sys, "_base_executable", None) or sys.executable
        program = self.layout.runtime / "runc"
        program.write_text(f'#!/bin/sh\nexec "{python}" -I -S "{module}" "$@"\n')
        program.chmod(0o755)
        return program

    def _remove_containers(self) -> None:
        if containers := self.docker.command("ps", "--all", "--quiet").split():
            self.docker.command("rm", "--force", "--volumes", *containers)
        self.docker.command("network", "prune", "--force")
        self.docker.command("volume", "prune", "--force")

    def _end(self, pid: int) -> None:
        # containerd is dockerd's child and ends with it; told directly only where dockerd had to be killed.
        children = _descendants(pid)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            if time.monotonic() > deadline:
                for each in (pid, *children):
                    _kill(each)
                break
            time.sleep(0.1)

    def _remove_leftovers(self) -> None:
        ours = (f"{self.layout.runtime}/", f"{self.data_root}/")
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([path for path in mounts if path.startswith(ours)]):
            run(["umount", "--lazy", mount])
        if Path(f"/sys/class/net/{BRIDGE}").exists():
            run([find_program("ip") or "ip", "link", "delete", BRIDGE])
        for hierarchy in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]:
            _remove_cgroup(hierarchy / CGROUP)
        if self._made_plugin_folder.exists():
            for folder in (PLUGIN_FOLDER, PLUGIN_FOLDER.parent):
                _remove_empty(folder)
        shutil.rmtree(self.layout.runtime, ignore_errors=True)


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []
    return [*children, *(each for child in children for each in _descendants(child))]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove_cgroup(folder: Path) -> None:
    if folder.is_dir():
        for child in folder.iterdir():
            if child.is_dir():
                _remove_cgroup(child)
        _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # gone, or something that is not ours to end or remove is in it
