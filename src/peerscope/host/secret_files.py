"""Secrets in files of their own. The agent reads them on use and never shows them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from peerscope.errors import ConfigError

BYTES_MAX = 4096


class Secret:
    """Text that no log, message or answer shows. msgspec and json refuse to encode it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, to send it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


def read_secret(place: str, name: str, *, bytes_max: int = BYTES_MAX, strip: str | None = None) -> Secret:
    """Read the text of a file that only its owner can read. Raises `ConfigError`.

    `name`: the setting. `strip`: characters to remove at both ends, by default white space.
    """
    path = Path(place).expanduser()
    try:
        with open(path, "rb", opener=_opener) as file:
            status = os.fstat(file.fileno())
            data = file.read(bytes_max + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{name}: {path} is no file")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(f"{name}: {path} can be read by others (mode {mode:04o}). Run: chmod 600 {path}")
    try:
        text = data.decode().strip(strip)
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > bytes_max or not text.isprintable():
        raise ConfigError(f"{name}: {path} holds no secret: one line of up to {bytes_max} printable characters")
    return Secret(text)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe must not block the start
