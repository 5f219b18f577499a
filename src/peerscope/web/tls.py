"""TLS from the operator's files. The agent reloads files that change, since certificates are renewed in place."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path

from peerscope.alerts.expiry import Expiry
from peerscope.errors import ConfigError

RELOAD_INTERVAL_S = 2.0
FILE_BYTES_MAX = 1024 * 1024
RENEWAL = "replace the files of web.tls_cert and web.tls_key in place"

log = logging.getLogger(__name__)


class TlsFiles:
    """The certificate and key of the dashboard."""

    def __init__(self, cert: str, key: str) -> None:
        """Raise `ConfigError` if a file is unusable."""
        self.context = server_context(cert, key)
        """Stays the same object; new connections use the certificate loaded last."""
        self.ending = file_ending(cert)
        """End of the certificate in use; None if its file cannot be read."""
        self._cert, self._key = cert, key
        self._seen = self._stat()

    async def run(self) -> None:
        """Reload the files when they change, until cancelled."""
        while True:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            self.reload()

    def reload(self) -> None:
        """Load files that changed. If they are unusable, perhaps half replaced, the old certificate stays in use."""
        stamps = self._stat()
        if stamps in (self._seen, None):
            return
        self._seen = stamps
        try:
            server_context(self._cert, self._key)  # a new context first: half of a pair would spoil the one in use
            self.context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (ConfigError, OSError) as error:  # ssl.SSLError is an OSError
            log.warning("%s; the dashboard keeps its old certificate", error)
            return
        self.ending = file_ending(self._cert)
        log.info("reloaded the dashboard's certificate")

    def _stat(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            found = [os.stat(place) for place in (self._cert, self._key)]
        except OSError:
            return None  # being replaced
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def file_ending(cert: str) -> Expiry | None:
    """End of the first certificate in a PEM file, the server's own. Roots after it may end earlier without harm.

    None if the file cannot be read.
    """
    from cryptography import x509  # takes a megabyte, so only agents with TLS load it

    try:
        with Path(cert).open("rb") as file:
            first = x509.load_pem_x509_certificates(file.read(FILE_BYTES_MAX))[0]
        begins_at, ends_at = first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp()
    except (OSError, ValueError, IndexError, OverflowError):
        return None
    return Expiry("web.tls_cert", cert, begins_at, ends_at, RENEWAL)


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """The context of a server with a certificate chain and its key, both PEM.

    Raises `ConfigError` that names the setting and the problem of its file.
    """
    for name, place in (("web.tls_cert", cert), ("web.tls_key", key)):
        try:
            with open(place, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"{name}: cannot read {place}: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except _EncryptedKey:
        raise ConfigError(
            f"web.tls_key: {key} is encrypted, and an agent cannot ask for the password; "
            "write it without one (`openssl pkey -in FILE -out FILE2`) and chmod it to 600"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"web.tls_key: {key} is not the key of the certificate in {cert}") from None
        raise ConfigError(
            f"web.tls_cert, web.tls_key: {cert} must hold PEM certificates, the server's own first, and {key} "
            f"its PEM private key ({error.reason or error})"
        ) from None
    return context


class _EncryptedKey(Exception):
    """Raised when OpenSSL asks for a password, which it would otherwise read from the terminal."""


def _no_password() -> str:
    raise _EncryptedKey
