"""The file of ``shardfleet backup``: one line of JSON about the fleet, then its keys. Reading checks every byte.

After the line: for each key the length of its name (u32, little-endian), the name, the length of its data, the data.
The line's ``sha256`` is of all that follows it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardfleet_shard.errors import DataFolderError
from shardfleet_shard.store.fleet_copy import META, FleetCopy
from shardfleet_shard.store.keys import FORMAT

from .whole_file import write_whole

VERSION = 1
MAX_LINE_BYTES = 1_000_000
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A fleet as of ``unix_us``.

    Attributes:
        server: of which Redis it is, for people.
        entities: alive then.
        config: the settings of a world that lives in a data folder, as JSON; '' for a fleet in a Redis of its own.
    """

    fleet: str
    unix_us: int
    server: str
    entities: int
    keys: FleetCopy
    config: str = ""


def write_backup(path: Path, backup: Backup) -> int:
    """As a whole or not at all, readable by the user alone. Returns its size in bytes.

    Raises:
        DataFolderError: it cannot be written.
    """
    body = b"".join(_pack(backup.keys))
    line = {
        "shardfleet_backup": VERSION,
        "format": FORMAT,
        "fleet": backup.fleet,
        "unix_us": backup.unix_us,
        "server": backup.server,
        "entities": backup.entities,
        "keys": len(backup.keys),
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "config": backup.config,
    }
    try:
        return write_whole(path, (json.dumps(line).encode() + b"\n", body), mode=0o600)
    except OSError as error:
        raise DataFolderError(f"{path}: cannot be written ({error.strerror}); choose another file with -o") from error


def read_backup(path: Path) -> Backup:
    """The whole of it, checked.

    Raises:
        DataFolderError: it cannot be read, is no backup, of another version, cut short or damaged.
    """
    try:
        with path.open("rb") as file:
            line, body = file.readline(MAX_LINE_BYTES), file.read()
    except OSError as error:
        raise DataFolderError(
            f"{path}: cannot be read ({error.strerror}); name a file of 'shardfleet backup'"
        ) from error
    about = _about(path, line)
    if len(body) != about["bytes"]:
        raise DataFolderError(
            f"{path}: cut short, {len(body)} of {about['bytes']} bytes; take another copy of the file"
        )
    if hashlib.sha256(body).hexdigest() != about["sha256"]:
        raise DataFolderError(f"{path}: damaged, its checksum does not match; take another copy of the file")
    keys = tuple(_unpack(body))
    if len(keys) != about["keys"] or META not in dict(keys):
        raise DataFolderError(f"{path}: {len(keys)} keys, not the {about['keys']} of a whole fleet; take another copy")
    return Backup(
        fleet=about["fleet"],
        unix_us=about["unix_us"],
        server=about["server"],
        entities=about["entities"],
        keys=keys,
        config=about["config"],
    )


def _about(path: Path, line: bytes) -> dict[str, Any]:
    try:
        about = json.loads(line)
        version = about["shardfleet_backup"]
    except (ValueError, KeyError, TypeError):
        raise DataFolderError(f"{path}: not a file of 'shardfleet backup'") from None
    if version != VERSION or about.get("format") != FORMAT:
        raise DataFolderError(
            f"{path}: a backup of version {version} with data of format {about.get('format')!r}, this program reads "
            f"{VERSION} and {FORMAT!r}; use the version of shardfleet that wrote it"
        )
    kinds = {"fleet": str, "unix_us": int, "server": str, "entities": int, "keys": int, "bytes": int, "config": str}
    if wrong := [name for name, kind in kinds.items() if not isinstance(about.get(name), kind)]:
        raise DataFolderError(f"{path}: damaged, its first line has no {wrong[0]}; take another copy of the file")
    result: dict[str, Any] = about
    return result


def _pack(keys: FleetCopy) -> Iterator[bytes]:
    for name, data in keys:
        packed = name.encode()
        yield _LENGTH.pack(len(packed)) + packed + _LENGTH.pack(len(data))
        yield data


def _unpack(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Its checksum was right, so its lengths are."""
    view, at = memoryview(body), 0

    def take() -> bytes:
        nonlocal at
        (length,) = _LENGTH.unpack_from(view, at)
        start, at = at + _LENGTH.size, at + _LENGTH.size + length
        return bytes(view[start:at])

    while at < len(body):
        yield take().decode(), take()
