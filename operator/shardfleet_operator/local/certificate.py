"""The files of ``local up --tls``, looked at before anything starts.

Shards whose links cannot be made would run on, each by itself, with every entity waiting at its border; so whatever
would keep two of them apart is found here. All shards share the folder, and so its one certificate has all their names.
"""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.errors import UsageError
from shardfleet_shard.net.tls import TlsFolder

from ..plan import shard_name

TURNS = 4
"""Of each side of a handshake; TLS 1.3 takes two, and one more for a refusal to arrive."""


def checked_folder(folder: Path, config: FleetConfig) -> Path:
    """``folder``, absolute, in which two shards of the fleet trust each other.

    Raises:
        UsageError: a file is missing or not PEM, they do not belong together, the certificate is over or of another
            authority than ``ca.crt``, or it lacks the name of a shard.
    """
    folder = folder.absolute()
    TlsFolder(folder)
    certificate = folder / "tls.crt"
    try:
        names = _names_shown(folder)
    except ssl.SSLError as error:
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        raise UsageError(
            f"--tls: {certificate}: does not hold before {folder / 'ca.crt'} ({reason}); issue another one by it"
        ) from error
    # Word for word, as a link's Hello is compared with them: a wildcard is the name of no shard.
    missing = [shard for n in range(config.replicas) if (shard := shard_name(config.name, n)) not in names]
    if missing:
        raise UsageError(
            f"--tls: {certificate}: does not name {', '.join(missing)}; issue one with a DNS name for each of the "
            f"{config.replicas} shards"
        )
    return folder


def _names_shown(folder: Path) -> set[str]:
    """The DNS names in the certificate, once two sides with these files have shaken hands, in memory.

    Raises:
        ssl.SSLError: one does not trust the other.
    """
    to_called, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = _context(ssl.PROTOCOL_TLS_CLIENT, folder).wrap_bio(to_caller, to_called)
    called = _context(ssl.PROTOCOL_TLS_SERVER, folder).wrap_bio(to_called, to_caller, server_side=True)
    for _ in range(TURNS):
        for side in (caller, called):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    shown: dict[str, Any] = called.getpeercert() or {}
    return {name for kind, name in shown.get("subjectAltName", ()) if kind == "DNS"}


def _context(protocol: ssl._SSLMethod, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False  # of many names, which the caller compares
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.crt")
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context
