"""Mutual TLS from a folder with ca.crt, tls.crt and tls.key, whose content may be replaced while the shard runs.

A replaced folder counts whole or not at all: as long as the key does not belong to the certificate, the former files
stay in force. A server takes new files with the next handshake; a client with its next dial.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from ..errors import UsageError
from .streams import Credentials

log = logging.getLogger(__name__)

CHECK_S = 5.0
"""How often the folder is looked at; a kubelet takes a minute anyway to bring a changed Secret."""

NAMES = ("ca.crt", "tls.crt", "tls.key")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM. ``authorities`` may hold several: the former and the coming one, while they are changed."""

    authorities: bytes
    certificate: bytes
    key: bytes

    @property
    def channel(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.authorities, self.key, self.certificate)

    @property
    def server(self) -> Any:
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.authorities)


class TlsFolder:
    """The files of one shard.

    Raises:
        UsageError: a file cannot be read or is not PEM, or they do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files = self._read()
        self._server = grpc.dynamic_ssl_server_credentials(
            self.files.server, lambda: self.files.server, require_client_authentication=True
        )

    @property
    def credentials(self) -> Credentials:
        """As of now; the server's half goes on to follow the folder."""
        return Credentials(server=self._server, channel=self.files.channel)

    def reload(self) -> bool:
        """Reads the folder again; bad files leave the former in force. Returns whether there are others now."""
        try:
            files = self._read()
        except UsageError as error:
            log.warning("the certificate's folder is left as it was: %s", error)
            return False
        changed, self.files = files != self.files, files
        return changed

    async def follow(self, renewed: Callable[[Credentials], None]) -> None:
        """Calls ``renewed`` with each new set of files, until canceled."""
        while True:
            await asyncio.sleep(CHECK_S)
            if self.reload():
                log.info("the certificate was renewed")
                renewed(self.credentials)

    def _read(self) -> TlsFiles:
        authorities, certificate, key = (self._folder / name for name in NAMES)
        files = TlsFiles(_certificates_in(authorities), _certificates_in(certificate), _content_of(key))
        try:
            # A password, so that OpenSSL does not ask the terminal for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
        except ssl.SSLError as error:
            if error.reason is None:  # not OpenSSL's objection to a key that it has read
                raise UsageError(
                    f"--tls: {key}: not a PEM key without a password; put the certificate's there"
                ) from error
            raise UsageError(
                f"--tls: {self._folder}: {certificate.name} and {key.name} do not belong together; make them anew"
            ) from error
        return files


def _content_of(path: Path) -> bytes:
    """Raises ``UsageError``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"--tls: {path}: cannot be read: {error.strerror}; the folder must hold {', '.join(NAMES)}"
        ) from error


def _certificates_in(path: Path) -> bytes:
    """The file's content, one certificate at least. Raises ``UsageError``."""
    content = _content_of(path)
    try:
        # PEM is ASCII; what else the file says, a name above a certificate for instance, need not be.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:  # the latter: it is empty
        raise UsageError(f"--tls: {path}: no PEM certificate in it; put one there") from error
    return content
