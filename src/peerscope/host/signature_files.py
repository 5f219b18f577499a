"""Reads the signatures of threats: those of the package, overlaid by an operator's own file."""

from __future__ import annotations

from pathlib import Path

from peerscope.errors import ConfigError
from peerscope.threats.signatures import FILE_BYTES_MAX, Signatures, packaged, parse


def load_signatures(own: str = "") -> Signatures:
    """`own`: path of the operator's file, or "". Raises `ConfigError`, which names the file and the mistake."""
    defaults = packaged()
    if not own:
        return parse(defaults)
    try:
        with Path(own).open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"threats.signatures_file: {own} cannot be read: {error}") from None
    return parse(defaults, text, f"threats.signatures_file: {own}")
