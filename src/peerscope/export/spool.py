"""A queue of requests on disk: one file for each, oldest first, of bounded size.

A file is the body of one request, so nothing is encoded twice. A killed agent leaves only complete files: each is
synced and then renamed. Its name is a growing number, the count of its samples, and their date in Unix milliseconds:
`000000000042-350-1700000000000`. To remove a request, delete its file; there is no index to repair. Earlier versions
wrote names without a date.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from pathlib import Path

from msgspec import Struct

from peerscope.host.damaged_files import put_damaged_aside

BLOCK_BYTES = 4096
"""Files take whole blocks of a disk, so the queue counts whole blocks."""
_NAME = re.compile(r"([0-9]{12,15})-([0-9]{1,9})(?:-([0-9]{1,15}))?")

log = logging.getLogger(__name__)


class Batch(Struct, frozen=True):
    """One request in the queue."""

    number: int
    samples: int
    held_bytes: int
    """Size on disk."""
    at_ms: int | None = None
    """Date of its samples, by the clock of this machine; None in what an earlier version wrote."""

    @property
    def name(self) -> str:
        """Name of its file."""
        dated = "" if self.at_ms is None else f"-{self.at_ms}"
        return f"{self.number:012d}-{self.samples}{dated}"

    def is_due(self, until_ms: float) -> bool:
        """Whether its date is not after this."""
        return self.at_ms is None or self.at_ms <= until_ms


class Spool:
    """The queue in one directory. Any thread may call its methods, which read and write files.

    The first call reads the directory, with the files of earlier runs. If that raises `OSError`, the next call tries
    again.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        """Nothing is opened yet."""
        self.held_bytes = 0
        self.samples = 0
        """Samples in the queue."""
        self._path = path
        self._bytes_max = bytes_max
        self._batches: deque[Batch] = deque()
        self._guarded: set[int] = set()
        """Numbers of requests that are being sent: if dropped as well, they would count twice."""
        self._next = 0
        """Number of the next request; 0 before the directory is read."""
        self._lock = threading.Lock()

    def put(self, data: bytes, samples: int, at_ms: int | None = None) -> int:
        """Queue one request. Returns how many samples were dropped for it, its own if too large. Raises `OSError`."""
        with self._lock:
            self._open()
            batch = Batch(self._next, samples, held(len(data)), at_ms if at_ms is not None and at_ms >= 0 else None)
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

    def look(self, skip: int = 0, until_ms: float = float("inf")) -> Batch | None:
        """The oldest request that is dated before `until_ms`, or the one `skip` places later, or the last one.

        None if there is none. Raises `OSError`.
        """
        with self._lock:
            self._open()
            found = None
            for batch in self._batches:
                if batch.is_due(until_ms):
                    found = batch
                    if not skip:
                        break
                    skip -= 1
            return found

    def read(self, batch: Batch) -> bytes | None:
        """Read the body of a request, and keep it in the queue until `keep` or `remove`. Raises `OSError`.

        Returns None, and forgets the request, if the file is gone or damaged.
        """
        with self._lock:
            try:
                data = (self._path / batch.name).read_bytes()
            except FileNotFoundError:
                log.warning("%s of the queue has vanished, with %d samples", self._path / batch.name, batch.samples)
                self._forget(batch)
                return None
            except IsADirectoryError:
                data = b""
            if not data:  # receivers would refuse an empty request again and again
                place, loss = self._path / batch.name, f"its {batch.samples} samples are not sent"
                put_damaged_aside(place, "it is no request", loss)
                self._forget(batch)
                return None
            self._guarded.add(batch.number)
            return data

    def holds(self, batch: Batch) -> bool:
        """Whether the queue still holds it: it was neither removed nor dropped."""
        with self._lock:
            return batch in self._batches

    def remove(self, batch: Batch) -> None:
        """Remove a request that is done. Raises `OSError`."""
        with self._lock:
            self._forget(batch)  # even if its file stays, which the next run sends again
            (self._path / batch.name).unlink(missing_ok=True)

    def skip(self, batch: Batch) -> None:
        """Forget a request, and leave its file to the next run."""
        with self._lock:
            self._forget(batch)

    def keep(self, batch: Batch) -> None:
        """Let a request wait again that was being sent."""
        with self._lock:
            self._guarded.discard(batch.number)

    def samples_after(self, until_ms: float) -> int:
        """Count samples that are dated after this."""
        with self._lock:
            return sum(batch.samples for batch in self._batches if not batch.is_due(until_ms))

    def _open(self) -> None:
        if self._next:
            return
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for place in self._path.iterdir():
            name = _NAME.fullmatch(place.name)
            if name:
                at_ms = None if name[3] is None else int(name[3])
                found.append(Batch(int(name[1]), int(name[2]), held(place.stat().st_size), at_ms))
            elif place.suffix == ".new":
                place.unlink()
        self._batches = deque(sorted(found, key=lambda batch: batch.number))
        self.held_bytes = sum(batch.held_bytes for batch in found)
        self.samples = sum(batch.samples for batch in found)
        self._next = self._batches[-1].number + 1 if self._batches else 1

    def _make_room(self, bytes_max: int) -> int:
        """Drop the oldest requests until the queue has this size. Returns the number of their samples."""
        dropped = 0
        while self.held_bytes > bytes_max:
            batch = next((batch for batch in self._batches if batch.number not in self._guarded), None)
            if batch is None:
                break
            (self._path / batch.name).unlink(missing_ok=True)
            self._forget(batch)
            dropped += batch.samples
        return dropped

    def _forget(self, batch: Batch) -> None:
        self._guarded.discard(batch.number)
        try:
            self._batches.remove(batch)
        except ValueError:
            return
        self.held_bytes -= batch.held_bytes
        self.samples -= batch.samples

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
        directory = os.open(self._path, os.O_RDONLY)  # the name too must outlive a crash of the machine
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def held(size_bytes: int) -> int:
    """Space on disk of a file of this size."""
    return -(-max(1, size_bytes) // BLOCK_BYTES) * BLOCK_BYTES
