"""runc for a machine that lacks some of root's capabilities: never ask for what can't be granted.

``docker run --privileged`` asks for every capability there is, and runc refuses to start a container when one of them
can't be had, as inside many sandboxes. This takes the ones that the machine lacks out of the container's configuration
(and of what ``docker exec`` asks for), and with CAP_SYS_RESOURCE also raised limits and a lowered out-of-memory score.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RUNC_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""In the kernel's order: a capability's place is its bit."""


def lacking_capabilities(process_status: str) -> set[str]:
    """The capabilities that a process can't have, by the bounding set in its /proc/<pid>/status."""
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", process_status, re.MULTILINE)
    bounding = int(found[1], 16) if found else ~0
    return {f"CAP_{name}" for bit, name in enumerate(CAPABILITIES) if not bounding >> bit & 1}


def without(process: dict[str, Any], lacking: set[str]) -> dict[str, Any]:
    """A process description of the runtime specification without what needs the capabilities in ``lacking``."""
    result = dict(process)
    granted = process.get("capabilities") or {}
    result["capabilities"] = {kind: [name for name in names if name not in lacking] for kind, names in granted.items()}
    if "CAP_SYS_RESOURCE" in lacking:
        result["rlimits"] = []
        result.pop("oomScoreAdj", None)
    return result


def option(arguments: Sequence[str], *names: str) -> str | None:
    """The value of a command line's option, written as ``--name value`` or ``--name=value``; None when not given."""
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else next(iter(arguments[index + 1 : index + 2]), None)
    return None


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a JSON file in place; a file that isn't there is left to runc to complain about."""
    if path.exists():
        path.write_text(json.dumps(change(json.loads(path.read_text()))))


def main(arguments: Sequence[str]) -> None:
    """Change the descriptions that the command line names, then become runc."""
    lacking = lacking_capabilities(Path("/proc/self/status").read_text())
    if lacking:
        if bundle := option(arguments, "--bundle", "-b"):
            rewrite(Path(bundle) / "config.json", lambda spec: {**spec, "process": without(spec["process"], lacking)})
        if process := option(arguments, "--process", "-p"):
            rewrite(Path(process), lambda spec: without(spec, lacking))
    os.environ["PATH"] = RUNC_PATH
    os.execvp("runc", ["runc", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
