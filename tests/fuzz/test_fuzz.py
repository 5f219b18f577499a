"""Bytes from outside, in the fast suite: every kept input, and a few hundred new ones for each target."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.driver import fuzz
from fuzz.inputs import CORPUS, corpus, inputs
from fuzz.targets import TARGETS, Target

EXAMPLES = 200
CORPUS_BYTES_MAX = 4096
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_it(name: str) -> None:
    target = TARGETS[name]
    for data in corpus(name):
        target.run(data)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs(name, target.valid))
    def feed(data: bytes) -> None:
        target.run(data)

    feed()


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    assert {place.name for place in CORPUS.iterdir()} == set(TARGETS)
    for file in CORPUS.rglob("*"):
        assert file.is_dir() or file.stat().st_size <= CORPUS_BYTES_MAX, file


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_understands_something_of_its_corpus(name: str) -> None:
    """A corpus of which everything is refused at once finds nothing."""
    assert corpus(name)


def brittle(data: bytes) -> None:
    assert len(data) < 3, "too long for it"


def test_what_breaks_a_target_is_shrunk_kept_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    broken = Target("brittle", brittle, st.binary())
    sturdy = Target("sturdy", lambda _: None, st.binary())
    found = fuzz([broken, sturdy], 5.0, 1, tmp_path, told.append)
    file = found["brittle"].failure
    assert file is not None
    assert len(file.read_bytes()) == 3
    assert file.parent == tmp_path / "brittle"
    assert "too long for it" in told[0]
    assert told[1] == f"again with: scripts/fuzz --replay {file}\n"
    assert found["sturdy"].failure is None
    assert found["sturdy"].executions >= 30


def test_the_program_runs_replays_and_refuses(tmp_path: Path) -> None:
    def said(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / "fuzz"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    ran = said("--seconds", "0.5", "--seed", "7", "--out", str(tmp_path), "message", "query")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed, 0 failed" in ran.stdout
    assert "executions" in ran.stdout
    assert said("--replay", str(sorted((CORPUS / "message").iterdir())[0])).returncode == 0
    wrong = said("nonsense")
    assert (wrong.returncode, "no target 'nonsense'; there are message" in wrong.stderr) == (2, True)
