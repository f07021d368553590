"""Network namespaces of one run: a router in the middle, a namespace a node, and cuts between any two of them.

    redis 10.77.1.2 ---- router (the driver, the supervisor) ---- shard n 10.77.(10+n).2

The driver's whole process tree lives in namespaces of its own (network, mounts, processes), which ``main`` enters by
``unshare`` before anything else: the machine's own network is never touched, and all of it is gone with the last
process. A cut is a routing rule of the router that drops what passes from one node to the other: nobody is told, as
with a cable.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSIDE_VARIABLE = "SHARDFLEET_CHAOS_NAMESPACES"
REDIS = 1
FIRST_SHARD = 10
_NAMES = Path("/run/netns")
_MARKER = "network"
_CLONE_NEWNET = 0x40000000


def node_of(ordinal: int) -> int:
    """The node's number of a shard."""
    return FIRST_SHARD + ordinal


def node_address(node: int) -> str:
    return f"10.77.{node}.2"


def address_of(ordinal: int) -> str:
    """Where a shard listens."""
    return node_address(node_of(ordinal))


def inside() -> bool:
    return INSIDE_VARIABLE in os.environ


def unshare_command() -> tuple[list[str], str]:
    """(what to put before a command so that it runs in namespaces of its own, '') or ([], why that cannot be)."""
    if sys.platform != "linux":
        return [], "network namespaces are Linux' alone"
    missing = [name for name in ("unshare", "nsenter", "ip", "mount") if shutil.which(name) is None]
    if missing:
        return [], f"{', '.join(missing)} not found (Debian: apt-get install util-linux iproute2)"
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid():
        command += ["--user", "--map-root-user"]
    probe = "ip link add probe0 type veth peer name probe1 && ip rule add blackhole && mount -t tmpfs none /run"
    tried = subprocess.run([*command, "sh", "-c", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        return [], f"neither root nor allowed to make namespaces ({tried.stderr.strip().splitlines()[-1:]})"
    return command, ""


class Network:
    """Made once, inside the namespaces. ``folder`` gets a marker by which launchers find their way in."""

    def __init__(self, folder: Path, shards: int) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        _ip("link set lo up")
        for node in (REDIS, *map(node_of, range(shards))):
            _ip(f"netns add n{node}", f"link add v{node} type veth peer name eth0 netns n{node}")
            _ip(f"addr add 10.77.{node}.1/24 dev v{node}", f"link set v{node} up")
            inner = (f"addr add {node_address(node)}/24 dev eth0", "link set eth0 up", "link set lo up")
            _ip(*inner, f"route add default via 10.77.{node}.1", namespace=f"n{node}")
        (folder / _MARKER).touch()

    def cut(self, one: int, other: int) -> None:
        """Nothing passes between two nodes any more, in either direction."""
        _ip(*(f"rule add {_between(a, b)}" for a, b in ((one, other), (other, one))))

    def heal(self, one: int, other: int) -> None:
        _ip(*(f"rule del {_between(a, b)}" for a, b in ((one, other), (other, one))))


def command_in(node: int, command: Sequence[str]) -> list[str]:
    """``command`` as run in a node's namespace, under the same process id."""
    return ["nsenter", f"--net={_NAMES / f'n{node}'}", "--", *command]


def enter(folder: Path, shard: str) -> bool:
    """Moves this process into its shard's namespace; False where the run has no network of its own."""
    if not (folder / _MARKER).exists():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    with (_NAMES / f"n{node_of(int(shard.rpartition('-')[2]))}").open() as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    return True


def _between(a: int, b: int) -> str:
    return f"from {node_address(a)} to {node_address(b)} blackhole"


def _ip(*lines: str, namespace: str = "") -> None:
    """All by one process: two rules of a cut lie within a millisecond."""
    words = ["ip", *(("-n", namespace) if namespace else ()), "-batch", "-"]
    done = subprocess.run(words, input="\n".join(lines), text=True, check=False, capture_output=True)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
