"""Damaged files of the state directory: they are kept, logged in one line, and shown by `doctor`.

A power cut, a full disk or an editor can damage any of them. The agent renames a damaged file that it does not need to
NAME.damaged-DATE, so that an operator can still use it, and continues without. It keeps a limited number of them.
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
"""Damaged files of one name to keep: the newest ones."""
ALL_MAX = 16
"""Damaged files of one directory to keep."""
log = logging.getLogger(__name__)


def put_damaged_aside(place: Path, reason: str, loss: str, *, parts: Sequence[str] = ()) -> Path | None:
    """Rename and log a damaged file. Returns its new path; None if it cannot be renamed.

    `reason`: the damage. `loss`: the effect on the agent. `parts`: suffixes of files that belong to it, to rename too.
    """
    aside = _free(place)
    try:
        os.replace(place, aside)
    except OSError as error:
        log.warning("%s is damaged (%s): %s; it cannot be put aside: %s", place, reason, loss, error.strerror)
        return None
    for end in parts:
        with contextlib.suppress(OSError):  # most do not exist
            os.replace(place.with_name(place.name + end), aside.with_name(aside.name + end))
    log.warning("%s was damaged (%s): %s; the damaged file is kept as %s", place, reason, loss, aside.name)
    _clear(place)
    return aside


def damaged_files(directory: Path) -> list[Path]:
    """Damaged files that were renamed, sorted by name."""
    with contextlib.suppress(OSError):
        return sorted(place for place in directory.iterdir() if MARK in place.name)
    return []


def _free(place: Path) -> Path:
    """Find an unused name."""
    now_ns = time.time_ns()
    stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_ns // 10**9))}.{now_ns % 10**9 // 1000:06d}"
    for number in range(1, 1000):
        aside = place.with_name(f"{place.name}{MARK}{stamp}{f'-{number}' if number > 1 else ''}")
        if not aside.exists():
            break
    return aside


def _clear(place: Path) -> None:
    """Delete the oldest damaged files beyond the limits."""
    found = sorted(damaged_files(place.parent), key=lambda one: one.name.rpartition(MARK)[2])
    same = [one for one in found if one.name.startswith(place.name + MARK)]
    for old in {*same[: max(0, len(same) - SAME_MAX)], *found[: max(0, len(found) - ALL_MAX)]}:
        with contextlib.suppress(OSError):
            old.unlink()
