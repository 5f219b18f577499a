"""Follows a log that another program writes: through rotation and truncation, lines half written, and long ones.

Begins at the end of what is there. A file that is cut and has grown beyond where we were before the next look cannot be
told from one that only grew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from peerscope.errors import SourceError

LINE_BYTES_MAX = 65_536
CHUNK_BYTES = 1024 * 1024
LOOK_BYTES_MAX = 16 * 1024 * 1024
"""Read at one look at most; the rest waits for the next."""


class LogFile:
    """One log, by its path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.oversized = 0
        """Lines that were too long to look at."""
        self._file: BinaryIO | None = None
        self._begun = b""
        self._skips = False

    def lines(self) -> Iterator[bytes]:
        """Whole lines since the last call, without their ends. Raises `SourceError` if there never was a file."""
        if self._file is None:
            self._open(at_end=True)
        left = LOOK_BYTES_MAX
        while left > 0:
            assert self._file is not None
            data = self._file.read(min(CHUNK_BYTES, left))
            if not data and not self._renewed():
                return
            left -= len(data)
            yield from self._split(data)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, *, at_end: bool) -> None:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise SourceError(f"the log {self.path} cannot be read: {error.strerror}") from None
        if at_end:
            file.seek(0, os.SEEK_END)
        self.close()
        self._file, self._begun, self._skips = file, b"", False

    def _renewed(self) -> bool:
        """Whether there is another file, or the same one begins anew. Between two files of a rotation there is none."""
        assert self._file is not None
        mine = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            self._open(at_end=False)
            return True
        if mine.st_size < self._file.tell():
            self._file.seek(0)
            self._begun, self._skips = b"", False
            return True
        return False

    def _split(self, data: bytes) -> Iterator[bytes]:
        *whole, self._begun = (self._begun + data).split(b"\n")
        for line in whole:
            if self._skips or len(line) > LINE_BYTES_MAX:
                self.oversized += 1
                self._skips = False
            else:
                yield line
        if len(self._begun) > LINE_BYTES_MAX:  # forget it, and skip what follows up to its end
            self._begun, self._skips = b"", True
