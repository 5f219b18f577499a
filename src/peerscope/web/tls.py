"""TLS from the operator's files, which are read again when they change: certificates are renewed in place."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path

from peerscope.alerts.expiry import Expiry
from peerscope.errors import ConfigError

LOOK_INTERVAL_S = 2.0
FILE_BYTES_MAX = 1024 * 1024
RENEWAL = "replace the files of web.tls_cert and web.tls_key in place"

log = logging.getLogger(__name__)


class TlsFiles:
    """What the dashboard proves its name with."""

    def __init__(self, cert: str, key: str) -> None:
        """Raises `ConfigError` that names the setting and what is wrong with its file."""
        self.context = server_context(cert, key)
        """Stays the same object; new connections see what was read last."""
        self.ending = file_ending(cert)
        """Of the certificate that is shown; None where its file does not tell."""
        self._cert, self._key = cert, key
        self._seen = self._stamps()

    async def run(self) -> None:
        """Read the files again when they change, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            self.look()

    def look(self) -> None:
        """Take in files that changed. Where they are wrong, perhaps half replaced, what was read before holds."""
        stamps = self._stamps()
        if stamps in (self._seen, None):
            return
        self._seen = stamps
        try:
            server_context(self._cert, self._key)  # first elsewhere: a context is spoilt by half of a pair
            self.context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (ConfigError, OSError) as error:  # ssl.SSLError is an OSError
            log.warning("%s; the dashboard goes on with the certificate read before", error)
            return
        self.ending = file_ending(self._cert)
        log.info("the dashboard's certificate was read again")

    def _stamps(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            found = [os.stat(place) for place in (self._cert, self._key)]
        except OSError:
            return None  # being replaced
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def file_ending(cert: str) -> Expiry | None:
    """When the certificate in a PEM file ends: the first one, which is the server's own. The roots behind it may end
    earlier and do no harm. None where the file cannot be read."""
    from cryptography import x509  # a megabyte, for agents with TLS only

    try:
        with Path(cert).open("rb") as file:
            first = x509.load_pem_x509_certificates(file.read(FILE_BYTES_MAX))[0]
        begins_at, ends_at = first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp()
    except (OSError, ValueError, IndexError, OverflowError):
        return None
    return Expiry("web.tls_cert", cert, begins_at, ends_at, RENEWAL)


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """What a server needs to prove its name: a chain of certificates and its key, both PEM.

    Raises `ConfigError` that names the setting and what is wrong with its file.
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
            f"web.tls_key: {key} is encrypted, and an agent has nobody to ask for the password; "
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
    """OpenSSL asks for a password; without this it would ask the terminal."""


def _no_password() -> str:
    raise _EncryptedKey
