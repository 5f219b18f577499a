"""A real agent as a service: signals in, words to systemd and to the log out."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_network import ENVIRONMENT, first_line
from peerscope.agent.service import LEAVE_S

pytestmark = pytest.mark.e2e
PATIENCE_S = 60
SECRET = "a-secret-of-some-length"


class Running:
    """One agent under a supervisor that listens."""

    def __init__(self, place: Path, *, settings: str = "") -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(str(place / "notify"))
        self.channel.settimeout(PATIENCE_S)
        self.settings = place / "peerscope.toml"
        self.settings.write_text(settings)
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--log-format", "json", "--http", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--state", str(place / "state"), "--config", str(self.settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT | {"NOTIFY_SOCKET": str(place / "notify"), "WATCHDOG_USEC": "2000000"},
        )
        self.ready = json.loads(first_line(self.process))

    def told(self, word: str) -> str:
        """What systemd hears, up to this word."""
        while word not in (said := self.channel.recv(4096).decode()):
            pass
        return said

    def event(self, name: str) -> dict[str, object]:
        """The next event of this name."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found: dict[str, object] = json.loads(line)
            if found["event"] == name:
                return found
        raise AssertionError(f"ended without {name}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[dict[str, str]]]:
        """Exit code and log."""
        _, log = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, settings=f'[network]\nsecret = "{SECRET}"\n')
    yield running
    running.channel.close()
    if running.process.poll() is None:
        running.process.kill()
        running.process.communicate()


def test_systemd_hears_ready_then_alive_then_leaving(agent: Running) -> None:
    assert "peers known" in agent.told("READY=1")
    agent.told("WATCHDOG=1")
    agent.signal(signal.SIGTERM)
    agent.told("STOPPING=1")
    code, log = agent.end()
    assert code == 0
    assert [line for line in log if line["level"] in ("warning", "error")] == []
    assert LEAVE_S < 3


def test_sighup_reads_the_settings_again_and_says_what_came_of_it(agent: Running) -> None:
    agent.told("READY=1")
    agent.settings.write_text(f'[network]\nsecret = "{SECRET}"\n[log]\nlevel = "error"\n[peer]\nregion = "moved"\n')
    agent.signal(signal.SIGHUP)
    agent.told("RELOADING=1")
    agent.told("READY=1")
    event = agent.event("reload")
    assert (event["applied"], event["needs_restart"]) == (["log.level"], ["peer.region"])
    agent.settings.write_text("[network\n")
    agent.signal(signal.SIGHUP)
    assert "not TOML" in str(agent.event("reload")["error"])
    agent.settings.write_text(f'[network]\nsecret = "{SECRET}"\nnonsense = "{SECRET}"\n')
    agent.signal(signal.SIGHUP)
    assert "nonsense" in str(agent.event("reload")["error"])
    agent.signal(signal.SIGTERM)
    code, log = agent.end()
    assert code == 0
    assert sum("the settings are not taken" in line["message"] for line in log) == 2
    assert SECRET not in json.dumps(log)


def test_an_operator_lets_the_agent_leave_for_planned_work(agent: Running) -> None:
    agent.told("READY=1")
    command = [sys.executable, "-m", "peerscope", "leave", "--reason", "disk swap", "--for", "2h", "--json"]
    said = subprocess.run([*command, "--api", str(agent.ready["http"])], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["peer_id"] == agent.ready["peer_id"]
    agent.told("STOPPING=1")
    code, log = agent.end()
    assert code == 0
    assert [line for line in log if line["level"] in ("warning", "error")] == []


def test_with_a_client_that_never_goes_the_agent_leaves_all_the_same(agent: Running) -> None:
    host, port = str(agent.ready["http"]).removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stuck:
        stuck.sendall(b"GET /api/v1/self HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        agent.signal(signal.SIGTERM)
        code, log = agent.end()
    assert code == 0, log


def test_what_hangs_while_leaving_is_left_behind() -> None:
    program = "import time, peerscope.agent.service as s; s.LEAVE_S = 0.2\nwith s._Deadline(): time.sleep(600)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "ends all the same" in done.stderr
