"""Writes the page where it belongs, and nowhere else."""

from __future__ import annotations

import stat
from pathlib import Path

from shardfleet_shard.errors import UsageError

from ..whole_file import write_whole
from .page import GENERATOR

PAGE_NAME = "report.html"
LOOKED_AT_BYTES = 1024


def check_place(path: Path) -> None:
    """Before any work: may a page be written to ``path``?

    Raises:
        UsageError: its folder is not there, or something other than a page of ours stands at ``path``.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such directory; make it, or choose another file with -o")
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path}: is there and not an ordinary file; choose another file with -o")
        with path.open("rb") as file:
            begin = file.read(LOOKED_AT_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); choose another file with -o") from error
    if begin and f'name="generator" content="{GENERATOR}"'.encode() not in begin:
        raise UsageError(f"{path}: is there and no page of '{GENERATOR}'; choose another file with -o")


def write_page(path: Path, page: str) -> int:
    """As a whole or not at all; an older page is replaced. Returns the size in bytes.

    Raises:
        UsageError: see ``check_place``, or the disk refuses.
    """
    check_place(path)
    try:
        return write_whole(path, (page.encode(),), mode=0o666)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another file with -o") from error
