"""Real programs on their default ports: all are found, and an agent without settings attaches one by itself."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from demo_network import first_line
from manuscript import lines
from peerscope.sources.base import known_sources
from yggdrasil_network import generated

Need = Callable[[str], str]
PORTS = {"etcd": 2379, "transmission": 9091, "syncthing": 8384, "yggdrasil": 9001}
PATIENCE_S = 60.0
"""Only ends a test that would never pass."""
WANTED_S = 10.0
PAGE = Path(__file__).parents[2] / "docs/howto/detect.md"


def is_taken(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def eventually(truth: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def machine(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A machine on which four programs run as their packages start them, but for the admin socket of Yggdrasil."""
    taken = [name for name, port in PORTS.items() if is_taken(port)]
    if taken:
        pytest.skip(f"the default port of {', '.join(taken)} is taken on this machine")
    place = tmp_path_factory.mktemp("machine")
    settings = generated(need("yggdrasil"))
    settings |= {"IfName": "none", "MulticastInterfaces": [], "Listen": [], "AdminListen": "tcp://127.0.0.1:9001"}
    (place / "yggdrasil.json").write_text(json.dumps(settings))
    commands = [
        [need("yggdrasil"), "-useconffile", str(place / "yggdrasil.json"), "-logto", "stdout"],
        [need("etcd"), "--data-dir", str(place / "etcd")],
        [need("transmission-daemon"), "--foreground", "--config-dir", str(place / "transmission")],
        [need("syncthing"), f"-home={place / 'syncthing'}", "-no-browser"],
    ]
    processes = []
    try:
        for number, command in enumerate(commands):
            with (place / f"{number}.log").open("wb") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        eventually(lambda: all(is_taken(port) for port in PORTS.values()), f"all listen; logs in {place}")
        yield place
    finally:
        for process in processes:
            children = psutil.Process(process.pid).children(recursive=True)  # Syncthing's does the work
            process.kill()
            process.wait()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


def environment(place: Path) -> dict[str, str]:
    """That of an operator who has set nothing."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PEERSCOPE_")}
    return known | {"XDG_STATE_HOME": str(place / "home")}


def typed(beginning: str) -> list[str]:
    """The arguments of a command line on the page."""
    (line,) = {line.text.strip() for line in lines(PAGE.read_text()) if line.is_code and beginning in line.text}
    return line.split()[1:]


@pytest.mark.e2e
@pytest.mark.tools
def test_all_of_them_are_found_where_they_are(machine: Path) -> None:
    command = [sys.executable, "-m", "peerscope", *typed("peerscope node detect")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, env=environment(machine))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    here = {one["program"]: one for one in seen["found"] if one["place"]}
    assert {name: here[name]["place"] for name in PORTS} == {name: f"127.0.0.1:{port}" for name, port in PORTS.items()}
    for name in PORTS:
        expected = {"readable", "refused"} if name in known_sources() else {"unsupported"}
        assert here[name]["state"] in expected, here[name]
    assert here["etcd"]["spec"] == "etcd"
    assert (here["yggdrasil"]["state"], here["etcd"]["state"]) == ("readable", "readable")
    assert seen["choice"] == next(one["spec"] for one in seen["found"] if one["state"] == "readable")
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(machine))
    assert 'sources = ["etcd"]' in shown.stdout
    assert "(attached at the start of an agent)" in shown.stdout


@pytest.mark.e2e
@pytest.mark.tools
def test_an_agent_without_settings_shows_a_node_within_seconds(machine: Path) -> None:
    began = time.monotonic()
    command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "127.0.0.1:0"]
    with (machine / "agent.log").open("w") as log:
        agent = subprocess.Popen(
            [*command, "--state", str(machine / "state")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(machine),
        )
    try:
        ready = json.loads(first_line(agent))
        with httpx.Client(base_url=ready["http"], trust_env=False, timeout=PATIENCE_S) as asking:

            def panel() -> dict[str, Any]:
                found: dict[str, Any] = asking.get("/api/v1/node").json()
                return found

            eventually(lambda: panel()["node_id"] is not None, "the panel is filled")
            filled_s = time.monotonic() - began
            eventually(lambda: asking.get("/api/v1/self").json()["node"] == panel()["node"], "all may see its name")
            found = panel()
        print(f"filled {filled_s:.1f} s after the start; wanted: {WANTED_S:g}")
        assert [source["status"] for source in found["sources"]] == ["healthy"]
        assert found["metrics"]["p2p_peers"] is not None
    finally:
        agent.communicate("", timeout=PATIENCE_S)
    said = (machine / "agent.log").read_text()
    assert said.count("and attached it as") == 1, said
    assert "etcd" in said, "the other one is named"
