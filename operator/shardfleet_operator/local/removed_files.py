"""Files that Valkey removes give their space back in small steps.

After each rewrite it unlinks the append-only file of before, half a gigabyte. A file system frees that at once, and
until it has, nothing else is synced: Valkey answered nobody for 60 ms (ext4), and with ``appendfsync always`` every
handoff that was under way came late. So each of its files gets a second name, and one that is left with that alone is
cut shorter bit by bit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

STEP_BYTES = 16 << 20
STEP_S = 0.03
"""Between two steps: several times as fast as Valkey can write."""
LOOK_S = 0.5
"""Between two looks for new files; each lives for seconds."""


class RemovedFiles:
    """Second names, in the folder ``names``, of all files in ``folder``; both on one file system."""

    def __init__(self, folder: Path, names: Path) -> None:
        self._folder = folder
        self._names = names

    async def run(self) -> None:
        """Until it is cancelled. Returns where the file system knows no second names: then it goes as it always did."""
        self.forget()
        try:
            while True:
                pause_s = STEP_S if self.step() else LOOK_S
                await asyncio.sleep(pause_s)
        except OSError:
            return
        finally:
            self.forget()

    def step(self) -> bool:
        """Names what is new, and shortens what was removed; False where nothing was. Raises ``OSError``."""
        self._names.mkdir(mode=0o700, exist_ok=True)
        for path in self._folder.glob("*"):
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # named before; or gone meanwhile
                os.link(path, self._names / path.name)
        removed = [path for path in self._names.iterdir() if path.stat().st_nlink == 1]
        for path in removed:
            if (left_bytes := path.stat().st_size - STEP_BYTES) > 0:
                os.truncate(path, left_bytes)
            else:
                path.unlink()
        return bool(removed)

    def forget(self) -> None:
        """Drops the second names, and with them what is left of removed files."""
        shutil.rmtree(self._names, ignore_errors=True)
