"""Damaged files of the state directory: kept beside, said in one log line, and shown by `doctor`.

A power cut, a full disk or an editor can leave any of them as garbage. The agent never spoils what may still be of use
to somebody, and never stops for a file that it can do without: it renames it to NAME.damaged-DATE and goes on as if it
was not there. How many are kept is bounded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

MARK = ".damaged-"
SAME_MAX = 2
"""Damaged files of one name that are kept: the newest."""
ALL_MAX = 16
"""The same in one directory."""
log = logging.getLogger(__name__)


def put_damaged_aside(place: Path, reason: str, loss: str, *, parts: Sequence[str] = ()) -> Path | None:
    """Rename a damaged file, and say so; where it lies then, None where it cannot be renamed.

    `reason`: what is wrong with it; `loss`: what goes on without it; `parts`: ends of the names of files that belong to
    it and go with it.
    """
    aside = _free(place)
    try:
        os.replace(place, aside)
    except OSError as error:
        log.warning("%s is damaged (%s): %s; it cannot be put aside: %s", place, reason, loss, error.strerror)
        return None
    for end in parts:
        with contextlib.suppress(OSError):  # mostly it is not there
            os.replace(place.with_name(place.name + end), aside.with_name(aside.name + end))
    log.warning("%s was damaged (%s): %s; the damaged file is kept as %s", place, reason, loss, aside.name)
    _clear(place)
    return aside


def damaged_files(directory: Path) -> list[Path]:
    """Those that were put aside, by name."""
    with contextlib.suppress(OSError):
        return sorted(place for place in directory.iterdir() if MARK in place.name)
    return []


def _free(place: Path) -> Path:
    """A name that no file has."""
    now_ns = time.time_ns()
    stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_ns // 10**9))}.{now_ns % 10**9 // 1000:06d}"
    for number in range(1, 1000):
        aside = place.with_name(f"{place.name}{MARK}{stamp}{f'-{number}' if number > 1 else ''}")
        if not aside.exists():
            break
    return aside


def _clear(place: Path) -> None:
    """Delete the oldest of too many."""
    found = sorted(damaged_files(place.parent), key=lambda one: one.name.rpartition(MARK)[2])
    same = [one for one in found if one.name.startswith(place.name + MARK)]
    for old in {*same[: max(0, len(same) - SAME_MAX)], *found[: max(0, len(found) - ALL_MAX)]}:
        with contextlib.suppress(OSError):
            old.unlink()
