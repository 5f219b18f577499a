"""Memory that nobody needs any more leaves the process."""

import asyncio
import ctypes
import sys

import psutil
import pytest

from peerscope.host import memory

BLOCK_BYTES, BLOCKS = 16_384, 4_000


def shrink() -> None:
    """Run the loop for half a second."""

    async def shrunk() -> None:
        (work,) = memory.shrinking()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(work, 0.5)

    asyncio.run(shrunk())


def test_what_was_freed_below_something_that_stays_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FIRST_S", 0.01)
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("there is no glibc: nothing is given back")
    blocks = [bytes(BLOCK_BYTES) for _ in range(BLOCKS)]
    stays = bytes(BLOCK_BYTES)
    del blocks
    before = psutil.Process().memory_info().rss
    shrink()
    assert before - psutil.Process().memory_info().rss > BLOCK_BYTES * BLOCKS / 2
    assert len(stays) == BLOCK_BYTES


def test_objects_that_python_keeps_for_the_next_ones_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FIRST_S", 0.01)
    many = [tuple(range(length)) for length in range(1, 20) for _ in range(2_000)]
    del many
    before = sys.getallocatedblocks()
    shrink()
    assert before - sys.getallocatedblocks() > 10_000
