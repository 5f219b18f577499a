"""Secrets in files: read when they are used, so that they can be replaced while the agent runs, and never shown."""

from __future__ import annotations

import base64
from pathlib import Path

from peerscope.errors import ConfigError
from peerscope.export.config import RemoteWriteConfig

SECRET_BYTES_MAX = 16 * 1024


def authorization(config: RemoteWriteConfig) -> str | None:
    """The value of the header `Authorization`, None where none is wanted. Raises `ConfigError`."""
    if config.bearer_token_file:
        return f"Bearer {read_secret(config.bearer_token_file, 'bearer_token_file')}"
    if config.password_file:
        pair = f"{config.username}:{read_secret(config.password_file, 'password_file')}"
        return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    return None


def read_secret(name: str, key: str) -> str:
    """The line in this file. Raises `ConfigError` where it cannot be read, others can read it, or it is no secret."""
    place = Path(name).expanduser()
    where = f"export.remote_write.{key}: {place}"
    try:
        with place.open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
            mode = place.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError(f"{where} can be read by others (mode {mode & 0o777:04o}). Run: chmod 600 {place}")
    secret = data.decode("utf-8", "replace").rstrip("\r\n")
    is_text = secret.isprintable() and "\ufffd" not in secret and (secret.isascii() or key == "password_file")
    if not secret or not is_text or len(data) > SECRET_BYTES_MAX:
        raise ConfigError(f"{where} does not hold one line of text")
    return secret
