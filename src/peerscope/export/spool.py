"""A queue of requests on disk: one file for each, oldest first, of bounded size.

A file is the very body that will be sent, so nothing is encoded twice, and what a killed agent had queued is complete:
each file appears whole, by a rename after it was synced, or not at all. Its name is a growing number and how many
samples it holds: `000000000042-350`. Taking the oldest away is deleting a file; there is no index to repair.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from pathlib import Path

from msgspec import Struct

from peerscope.damage import put_damaged_aside

BLOCK_BYTES = 4096
"""Files take whole blocks of a disk, and count as so many."""
_NAME = re.compile(r"(\d{12,15})-(\d{1,9})")

log = logging.getLogger(__name__)


class Batch(Struct, frozen=True):
    """One request that waits."""

    number: int
    samples: int
    held_bytes: int
    """On disk."""

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.number:012d}-{self.samples}"


class Spool:
    """The queue in one directory. Its methods read and write files, and any thread may call them. The first one finds
    what an earlier life left; if that cannot be done, it raises `OSError`, and the next one tries again."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        """Nothing is opened yet."""
        self.held_bytes = 0
        self.samples = 0
        """Of all that waits."""
        self._path = path
        self._bytes_max = bytes_max
        self._batches: deque[Batch] = deque()
        self._leaving: Batch | None = None
        """What is being sent: dropping it would make it both sent and dropped."""
        self._next = 0
        """Number of the next request; 0 before the first look at the directory."""
        self._lock = threading.Lock()

    def put(self, data: bytes, samples: int) -> int:
        """Queue one request; how many samples had to go for it, its own where it is too large. Raises `OSError`."""
        with self._lock:
            self._open()
            batch = Batch(self._next, samples, held(len(data)))
            if batch.held_bytes > self._bytes_max:
                return samples
            dropped = self._make_room(self._bytes_max - batch.held_bytes)
            if self.held_bytes + batch.held_bytes > self._bytes_max:
                return dropped + samples
            self._write(batch.name, data)
            self._next += 1
            self._batches.append(batch)
            self.held_bytes += batch.held_bytes
            self.samples += samples
            return dropped

    def first(self) -> tuple[Batch, bytes] | None:
        """The oldest request, which stays until it is removed; None where nothing waits. Raises `OSError`."""
        with self._lock:
            self._open()
            while self._batches:
                batch = self._batches[0]
                try:
                    data = (self._path / batch.name).read_bytes()
                except FileNotFoundError:
                    log.warning("%s of the queue has vanished, with %d samples", self._path / batch.name, batch.samples)
                    self._drop(0)
                    continue
                except IsADirectoryError:
                    data = b""
                if not data:  # no request is empty: it would stand at the head of the queue for ever
                    loss = f"its {batch.samples} samples are not sent"
                    put_damaged_aside(self._path / batch.name, "it is no request", loss)
                    self._drop(0)
                else:
                    self._leaving = batch
                    return batch, data
            return None

    def remove(self, batch: Batch) -> None:
        """The oldest request was taken, or never will be. Raises `OSError`."""
        with self._lock:
            if self._batches and self._batches[0] == batch:
                self._drop(0)
            self._leaving = None

    def keep(self) -> None:
        """What was being sent waits again."""
        with self._lock:
            self._leaving = None

    def _open(self) -> None:
        if self._next:
            return
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for place in self._path.iterdir():
            name = _NAME.fullmatch(place.name)
            if name:
                found.append(Batch(int(name[1]), int(name[2]), held(place.stat().st_size)))
            elif place.suffix == ".new":
                place.unlink()
        self._batches = deque(sorted(found, key=lambda batch: batch.number))
        self.held_bytes = sum(batch.held_bytes for batch in found)
        self.samples = sum(batch.samples for batch in found)
        self._next = self._batches[-1].number + 1 if self._batches else 1

    def _make_room(self, bytes_max: int) -> int:
        """Drop the oldest down to so many bytes; the number of their samples."""
        dropped = 0
        while self.held_bytes > bytes_max and self._batches[-1] != self._leaving:
            dropped += self._drop(1 if self._batches[0] == self._leaving else 0)
        return dropped

    def _drop(self, index: int) -> int:
        batch = self._batches[index]
        (self._path / batch.name).unlink(missing_ok=True)
        del self._batches[index]
        self.held_bytes -= batch.held_bytes
        self.samples -= batch.samples
        return batch.samples

    def _write(self, name: str, data: bytes) -> None:
        draft = self._path / f"{name}.new"
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._path / name)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        directory = os.open(self._path, os.O_RDONLY)  # the name as well must outlive a crash of the machine
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def held(size_bytes: int) -> int:
    """What a file of this size takes."""
    return -(-max(1, size_bytes) // BLOCK_BYTES) * BLOCK_BYTES
