"""Differences of counters, which only grow until whoever counts starts again.

A counter that went down restarted: what it counted in between is unknown, and nothing is made up for it. One case looks
alike and is not: a counter of 32 or 64 bits that ran over. A restart sets back all counters of a process at once;
running over happens to one of them, from just below its limit to just above zero.
"""

from __future__ import annotations

from collections.abc import Sequence

WIDTHS = (2**32, 2**64)
MARGIN = 16
"""Running over begins in the last sixteenth of the range and ends in the first."""


def increases(
    before: Sequence[int | None], now: Sequence[int | None], *, run_over: bool = False
) -> tuple[int | None, ...]:
    """What each counter of one process grew by; None where it is unknown, and everywhere if the process restarted.

    `run_over`: counters may be narrow. Where only one counter of a process is known, and it stood in the last sixteenth
    of such a range, a restart is taken for running over.
    """
    steps = [None if old is None or new is None else new - old for old, new in zip(before, now, strict=True)]
    fell = [index for index, step in enumerate(steps) if step is not None and step < 0]
    if len(fell) == 1 and run_over:
        steps[fell[0]] = _unfolded(before[fell[0]] or 0, now[fell[0]] or 0)
        fell = [] if steps[fell[0]] is not None else fell
    return (None,) * len(steps) if fell else tuple(steps)


def _unfolded(before: int, now: int) -> int | None:
    """By how much a counter grew that ran over its limit; None where it did not."""
    for width in WIDTHS:
        margin = width // MARGIN
        if width - margin <= before < width and now < margin:
            return width - before + now
    return None
