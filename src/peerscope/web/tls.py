"""TLS from the operator's files."""

from __future__ import annotations

import ssl

from peerscope.errors import ConfigError


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
