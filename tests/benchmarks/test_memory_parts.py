"""The parts of a process's memory: each grows by what it is named after, and an agent says them on a signal."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from memory_parts import ask

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "memory_parts.py"
MIB = 2**20
GROW = f"""
import json, sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
from memory_parts import parts
found = [parts()]
small = [bytes(100) for _ in range(100_000)]
found.append(parts())
large = [bytes(4_000) for _ in range(2_000)]
found.append(parts())
many = [tuple(range(length)) for length in range(1, 20) for _ in range(2_000)]
del many
found.append(parts())
print(json.dumps(found))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_each_part_grows_by_what_it_is_named_after() -> None:
    asked = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=True)
    before, small, large, kept = json.loads(asked.stdout)
    assert small["python"] - before["python"] > 8 * MIB
    assert large["malloc"] - small["malloc"] > 7 * MIB
    assert large["python"] - small["python"] < MIB
    assert kept["python_kept"] - large["python_kept"] > 3 * MIB


def test_an_agent_says_its_parts_on_a_signal(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    answers.mkdir()
    options = ["--state", str(tmp_path / "state"), "--http", "off", "--until-eof", "--json"]
    command = [sys.executable, str(PROGRAM), str(answers), "run", "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdin is not None
        assert json.loads(agent.stdout.readline())["event"] == "ready"
        end = time.monotonic() + 60
        while not (said := ask(agent.pid, answers) or {}).get("sqlite"):  # it opens the history after a second
            assert time.monotonic() < end
        agent.stdin.close()
        assert agent.wait(30) == 0
    assert said["python"] > MIB
