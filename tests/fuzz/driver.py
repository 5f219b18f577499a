"""Runs fuzz targets round robin until the time is over, and keeps what breaks one as a file.

Hypothesis draws inputs that a target should understand; from these and the kept ones many more are made by small
accidents, which costs little, so that nearly all of the time is spent in what is tested.
"""

import hashlib
import time
import traceback
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz.inputs import CORPUS, corpus, mutate
from fuzz.targets import Target

DRAWN = 30
"""Inputs from Hypothesis for one target in one round."""
TURN_S = 2.0
"""How long one target has its turn."""
SHRINKS_MAX = 2000


class Tally:
    """What one target has done."""

    def __init__(self) -> None:
        self.executions = 0
        self.seconds = 0.0
        self.failure: Path | None = None

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        return f"{self.executions:>9} executions, {rate:>7.0f}/s{f', FAILED: {self.failure}' if self.failure else ''}"


def fuzz(
    targets: Iterable[Target], seconds: float, first_seed: int, place: Path, say: Callable[[str], None]
) -> dict[str, Tally]:
    """Run until the time is over or every target has failed; each stops at its first failure."""
    end = time.monotonic() + seconds
    left = list(targets)
    turn_s = min(TURN_S, seconds / len(left))
    tallies = {target.name: Tally() for target in left}
    for number in count(first_seed):
        for target in tuple(left):
            now = time.monotonic()
            if now >= end:
                return tallies
            tally = tallies[target.name]
            data = turn(target, number, min(end, now + turn_s), tally)
            tally.seconds += time.monotonic() - now
            if data is None:
                continue
            left.remove(target)
            tally.failure = keep(place, target.name, data)
            say(f"{target.name}, seed {number}: {len(data)} bytes break it\n{trace(target, data)}")
            say(f"again with: scripts/fuzz --replay {tally.failure}\n")
        if not left:
            break
    return tallies


def turn(target: Target, number: int, end: float, tally: Tally) -> bytes | None:
    """Feed one target with what follows from one seed; a small input that breaks it."""
    rng = Random(number)
    kept = corpus(target.name) if (CORPUS / target.name).exists() else ()
    pool = [*kept, *drawn(target.valid, number)]
    fresh = iter(pool)
    while True:
        data = next(fresh, None)
        if data is None and time.monotonic() >= end:
            return None  # never before all that was drawn: on a busy machine that alone may take the whole turn
        if data is None:
            data = mutate(rng, rng.choice(pool), pool)
        tally.executions += 1
        if breaks(target, data):
            return shrunk(target, data, rng)


def drawn(valid: st.SearchStrategy[bytes], number: int) -> list[bytes]:
    """Some inputs of a strategy."""
    found: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=DRAWN,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(valid)
    def note(data: bytes) -> None:
        found.append(data)

    note()
    return found


def breaks(target: Target, data: bytes) -> bool:
    """Whether the target raises, whatever it is."""
    try:
        target.run(data)
    except Exception:
        return True
    return False


def shrunk(target: Target, data: bytes, rng: Random) -> bytes:
    """A smaller input that breaks it too: parts are left out as long as that works."""
    size = len(data)
    for _ in range(SHRINKS_MAX):
        size = max(1, min(size, len(data)))
        at = rng.randint(0, max(0, len(data) - size))
        shorter = data[:at] + data[at + size :]
        if len(shorter) < len(data) and breaks(target, shorter):
            data = shorter
        else:
            size = size * 9 // 10
            if size < 1:
                size = max(1, len(data) // 8)
    return data


def trace(target: Target, data: bytes) -> str:
    """How the input breaks it."""
    try:
        target.run(data)
    except Exception:
        return traceback.format_exc(limit=-6)
    return "not when it is run again: the target depends on something else than its input"


def keep(place: Path, name: str, data: bytes) -> Path:
    """Write an input where the corpus would have it: once the bug is gone, move the file there."""
    file = place / name / hashlib.blake2b(data, digest_size=6).hexdigest()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file
