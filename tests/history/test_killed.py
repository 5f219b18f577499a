"""A writer that is killed at any moment: nothing that it said was written is lost, and nothing is broken."""

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from histories import BEGIN
from peerscope.history.reader import Question, read
from peerscope.history.retention import HistoryConfig, tiers
from peerscope.history.schema import open_to_read, open_to_write
from peerscope.history.series import SERIES
from peerscope.records.identity import PeerId

WRITER = Path(__file__).parent / "writer.py"
KILLS = 20
PEER = PeerId((7).to_bytes(32, "big"))


@pytest.mark.e2e
def test_twenty_kills_lose_no_flush_and_break_nothing(tmp_path: Path) -> None:
    place, rng, at = tmp_path / "history.db", Random(7), BEGIN
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, WRITER, place, str(at)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.1))  # into the middle of some write
            writer.kill()
            said = [int(line) for line in (first, *writer.stdout) if line.endswith("\n")]
        with closing(open_to_write(place)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (newest,) = db.execute("SELECT max(id) >> 8 FROM raw").fetchone()
        # What it did not come to say may be there, but only whole.
        assert said[-1] <= newest <= said[-1] + 10
        assert newest % 10 == 5
        at = newest + 5
    found = read(place, tiers(HistoryConfig()), Question(SERIES["links"], PEER, max(BEGIN, at - 3600), at - 5))
    assert [value for _, value in found.samples if value is None] == []


def test_others_read_whole_samples_while_one_writes(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    with subprocess.Popen([sys.executable, WRITER, place, str(BEGIN)], stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            for _ in range(40):
                said = int(writer.stdout.readline())
                with closing(open_to_read(place)) as db:
                    (newest,) = db.execute("SELECT max(id) >> 8 FROM raw").fetchone()
                assert newest >= said
                assert newest % 10 == 5
                question = Question(SERIES["links"], PEER, max(BEGIN, said - 600), said)
                found = read(place, tiers(HistoryConfig()), question)
                assert found.samples[-1] == (said, float((said - 5) % 1000 + 7))
                assert [value for _, value in found.samples if value is None] == []
        finally:
            writer.kill()
