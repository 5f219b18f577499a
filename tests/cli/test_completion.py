"""Shells complete our verbs and options; the manual page has all of them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peerscope.cli import VERBS
from peerscope.cli.run import SHELLS, VARIABLE

ROOT = Path(__file__).parents[2]


def completed(words: str, number: int) -> list[str]:
    """What our program offers a bash that asks for this word."""
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    done = subprocess.run(
        [sys.executable, "-m", "peerscope"], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(peerscope, shell: str) -> None:
    code, said, _ = peerscope("completion", shell)
    assert code == 0
    assert f"{VARIABLE}={shell}_complete" in said
    assert json.loads(peerscope("completion", shell, "--json")[1])["script"] + "\n" == said


def test_another_shell_is_refused(peerscope) -> None:
    code, _, complaint = peerscope("completion", "cmd")
    assert code == 2
    assert "bash" in complaint


@pytest.mark.tools
@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_takes_its_script(peerscope, need: Callable[[str], str], shell: str) -> None:
    script = peerscope("completion", shell)[1]
    done = subprocess.run([need(shell), "-n"], input=script, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_verbs_and_options_are_offered() -> None:
    assert {"regions", "rtt", "routes", "run"} <= set(completed("peerscope r", 1))
    assert set(completed("peerscope run --lo", 2)) == {"--log-level", "--log-format"}


@pytest.mark.tools
def test_the_manual_page_is_clean_and_names_every_verb(need: Callable[[str], str], tmp_path: Path) -> None:
    place = tmp_path / "peerscope.1"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "man"), str(place)], check=True, timeout=60)
    command = [need("groff"), "-man", "-Tutf8", "-ww", "-P-c", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    text = re.sub(".\b", "", done.stdout)
    assert [verb for verb in VERBS if not re.search(rf"peerscope {verb}\b", text)] == []
    assert "--log-format" in text
