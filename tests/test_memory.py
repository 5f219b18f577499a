"""Memory that nobody needs any more leaves the process."""

import asyncio

import psutil
import pytest

from peerscope.host import memory

BLOCK_BYTES, BLOCKS = 16_384, 4_000


def test_what_was_freed_below_something_that_stays_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FIRST_S", 0.01)
    works = memory.shrinking()
    if not works:
        pytest.skip("there is no glibc: nothing is done")

    async def shrunk() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(works[0], 0.5)

    blocks = [bytes(BLOCK_BYTES) for _ in range(BLOCKS)]
    stays = bytes(BLOCK_BYTES)
    del blocks
    before = psutil.Process().memory_info().rss
    asyncio.run(shrunk())
    assert before - psutil.Process().memory_info().rss > BLOCK_BYTES * BLOCKS / 2
    assert len(stays) == BLOCK_BYTES
