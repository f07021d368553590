"""A file that is there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, parts: Iterable[bytes], *, mode: int) -> int:
    """Writes beside ``path``, syncs, and renames; returns the size in bytes.

    A link at ``path`` is replaced, not followed, and so is one that lies in wait where the half-written file goes.

    Args:
        mode: of the new file, before the umask.
    Raises:
        OSError: the disk refuses; ``path`` is as it was.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode), "wb") as file:
        for data in parts:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    part.replace(path)
    return size
