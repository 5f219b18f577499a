"""What the documents tell their readers to run, runs; where they point, something is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from session import Block, blocks, play, script

from manuscript import lines
from peerscope.cli import VERBS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PLAYED = [
    ("tutorial/first-network.md",),
    ("howto/install.md", "howto/operations.md", "howto/backup.md"),
]
"""What is played in one shell, page after page."""


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="ends what it started by looking at /proc")
@pytest.mark.parametrize("names", PLAYED, ids=lambda names: names[0])
def test_a_reader_who_follows_it_gets_there(names: tuple[str, ...], tmp_path: Path) -> None:
    text = "\n".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in names)
    assert len(blocks(text)) >= 5
    assert play(text, tmp_path).endswith("ALL BLOCKS RAN\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_every_verb_and_every_file_it_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    code = "\n".join(line.text for line in lines(text) if line.is_code)
    verbs = set(re.findall(r"(?m)^ *(?:\S*/)?peerscope ([a-z][a-z-]+)", code))
    assert verbs <= set(VERBS)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("code", [0, 3])
def test_a_block_that_ends_otherwise_than_told_is_a_surprise(code: int, tmp_path: Path) -> None:
    for told in (0, 3):
        text = script([Block("true\n(exit " + str(code) + ")\n", None, None, told)])
        done = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode == 0) == (code == told)


def test_a_failure_before_the_last_command_and_a_missing_word_are_surprises(tmp_path: Path) -> None:
    for block in (Block("false\ntrue", None, None, 0), Block("echo here", None, "there", 0)):
        done = subprocess.run(["bash", "-c", script([block])], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert "SURPRISE in block 1" in done.stderr


def test_blocks_share_one_shell_and_the_background_is_waited_for(tmp_path: Path) -> None:
    found = [
        Block("sleep 0.3; echo up; sleep 100", "up", None, 0),
        Block("A=1", None, None, 0),
        Block("echo a$A", None, "a1", 0),
    ]
    text = script(found) + "kill $STARTED\n"
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "ALL BLOCKS RAN\n", done.stderr
