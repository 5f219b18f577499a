"""Reads a file whose path others may have chosen."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_regular(path: Path, bytes_max: int) -> bytes:
    """At most so many bytes. Raises OSError, also for anything but a regular file.

    A FIFO without a writer would block the thread for ever, and to open some devices does harm.
    """
    _check(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(file.fileno()))  # it may have been replaced since
        return file.read(bytes_max)


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "it is no regular file")
