"""What is released works by itself: the wheel in an empty environment, with the locked packages and nothing else."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from demo_network import ENVIRONMENT, eventually, first_line, get
from environments import CLEAN, PATIENCE_S, ROOT, built, environment, install, lent, locked
from peerscope.cli import cli

pytestmark = pytest.mark.e2e
SHOWN = re.findall(r"(?m)^    \.venv/bin/peerscope (.*?)(?: +#.*)?$", (ROOT / "README.md").read_text(encoding="utf-8"))
"""What the README shows beside a running demo."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the packages of run.lock, as `make demo` makes one; its bin/."""
    place = tmp_path_factory.mktemp("installed")
    packages = lent(frozenset(locked("run")), place / "packages")
    python = environment(place / "env", [packages])
    install(python, wheel)
    return python.parent


@pytest.fixture(scope="module")
def peers(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Ready lines of a demo of three, once round trips are known."""
    command = [installed / "peerscope", "demo", "--peers", "3", "--http", "127.0.0.1:0", "--json"]
    place = tmp_path_factory.mktemp("demo")
    demo = subprocess.Popen(command, cwd=place, env=CLEAN | ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        ready = json.loads(first_line(demo))["peers"]
        pair = f"/api/v1/rtt?source={ready[1]['peer_id']}&target={ready[2]['peer_id']}"
        eventually(lambda: get(ready[0], pair)["rtt_s"] is not None, "a round trip is known", within_s=PATIENCE_S)
        yield ready
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0


def run(installed: Path, *command: str, cwd: Path) -> str:
    """What a command says that succeeds and has nothing to complain of."""
    whole = [str(installed / command[0]), *command[1:]]
    done = subprocess.run(whole, cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def test_the_wheel_alone_runs_a_network_of_three(installed: Path, peers: list[dict[str, Any]], tmp_path: Path) -> None:
    said = run(installed, "python", "-c", "import peerscope; print(peerscope.__file__)", cwd=tmp_path)
    assert said.startswith(str(installed.parent)), "the tree is used, not the wheel"
    assert len(peers) == 3
    said = run(installed, "peerscope", "status", "--json", "--api", peers[2]["http"], cwd=tmp_path)
    assert json.loads(said)["health"]["total_peers"] == 3
    fetch = "import sys, urllib.request as u; print(*(u.urlopen(sys.argv[1] + p).status for p in ('/', '/metrics')))"
    assert run(installed, "python", "-c", fetch, peers[0]["http"], cwd=tmp_path) == "200 200\n"


@pytest.mark.parametrize("line", SHOWN)
def test_the_demo_brings_what_the_readme_shows(
    line: str, installed: Path, peers: list[dict[str, Any]], tmp_path: Path
) -> None:
    verb, *rest = line.split()
    words = {"TICKET": peers[0]["ticket"], "5ce21b": peers[1]["peer_id"][:10], "9a01": peers[2]["peer_id"][:10]}
    arguments = [words.get(word, word).replace(":8090", ":0") for word in rest]
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    if any("--api" in one.opts for one in command.params):
        arguments += ["--api", peers[0]["http"]]
    program = str(installed / "peerscope")
    if verb == "top":
        look(program, verb, *arguments, cwd=tmp_path, until="3 peers", key=b"q")
    elif "--serve" in rest:
        look(program, verb, *arguments, cwd=tmp_path, until="Ctrl-C", key=None)
    else:
        run(installed, "peerscope", verb, *arguments, cwd=tmp_path)


def look(*command: str, cwd: Path, until: str, key: bytes | None) -> None:
    """Run a program at a terminal of its own until it shows something; end it with a key, or as Ctrl-C does."""
    ours, theirs = pty.openpty()
    environment = CLEAN | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    program = subprocess.Popen(command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # the program has closed its end
            while more := os.read(ours, 65536):
                shown.extend(more)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        eventually(lambda: until.encode() in shown or program.poll() is not None, until, within_s=PATIENCE_S)
        if key is None:
            program.send_signal(signal.SIGINT)
        else:
            os.write(ours, key)
        assert program.wait(PATIENCE_S) == 0, shown.decode(errors="replace")
    finally:
        program.kill()
        program.wait()
        reader.join(PATIENCE_S)
        os.close(ours)


def test_every_verb_can_be_loaded_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "from peerscope.cli import VERBS, cli; import click\n"
        "for verb in VERBS: assert cli.get_command(click.Context(cli), verb) is not None"
    )
    assert run(installed, "python", "-c", code, cwd=tmp_path) == ""


def test_two_builds_of_one_tree_are_alike(wheel: Path, tmp_path: Path) -> None:
    again = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(again, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()
