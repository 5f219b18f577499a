"""Real agents to which the system denies something, descriptors first: they answer and report all the same."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest

from demo_network import ENVIRONMENT, eventually, first_line, free_address, get, start

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are set by prlimit(2)"),
]
CROWD = 300
NONE_LEFT = 4
"""Below the descriptors that any agent holds: it can open nothing more."""
HUNGRY = {"agent": {"rss_bytes": None}}


def until(truth: Callable[[], bool], what: str) -> None:
    eventually(truth, what, within_s=90)


class Limited:
    """An agent that may have so many file descriptors."""

    def __init__(self, place: Path, descriptors: int) -> None:
        self._log = place / "log"
        agent = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "127.0.0.1:0"]
        command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *agent, "--state", str(place / "state")]
        settings = place / "settings.toml"
        settings.write_text(
            "report.interval_s = 1.0\nhistory.interval_s = 1\nnode.sources = ['prometheus:http://127.0.0.1:1/']\n"
        )
        with self._log.open("w") as log:
            self.process = start([*command, "--config", str(settings)], stdin=subprocess.PIPE, stderr=log)
        self.ready: dict[str, Any] = json.loads(first_line(self.process))

    @property
    def said(self) -> str:
        return self._log.read_text()

    def hold_to(self, descriptors: int) -> None:
        """From here on. What is open stays open."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (descriptors, hard))

    def me(self) -> dict[str, Any]:
        """What the agent last said of itself."""
        found: dict[str, Any] = get(self.ready, f"/api/v1/peers/{self.ready['peer_id']}")
        return found

    def has_reported_since(self, began: float) -> bool:
        passed_s = time.monotonic() - began  # before we ask: the answer takes time too
        age_s = self.me()["age_s"]
        return age_s is not None and age_s < passed_s

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def limited(place: Path, descriptors: int) -> Iterator[Limited]:
    agent = Limited(place, descriptors)
    try:
        yield agent
    finally:
        agent.close()


@pytest.mark.parametrize("descriptors", [128, 256])
def test_idle_connections_beyond_the_limit_neither_end_an_agent_nor_keep_others_out(
    tmp_path: Path, descriptors: int
) -> None:
    with limited(tmp_path, descriptors) as agent, contextlib.ExitStack() as crowd:
        place = urlsplit(agent.ready["http"])
        for _ in range(CROWD):
            crowd.enter_context(socket.create_connection((place.hostname, place.port), 60))
        began = time.monotonic()
        until(lambda: agent.has_reported_since(began), "a report since all of them are there")
        me = agent.me()
        assert me["metrics"]["agent"]["rss_bytes"] > 0
        assert me["checks"]["cpu"]["status"] != "unknown"
        assert psutil.Process(agent.process.pid).num_fds() < descriptors
        assert agent.process.poll() is None
        assert "Too many open files" not in agent.said
        assert "Traceback" not in agent.said


def test_an_agent_that_can_open_nothing_goes_on_and_takes_connections_in_again(tmp_path: Path) -> None:
    with limited(tmp_path, 256) as agent:
        agent.hold_to(NONE_LEFT)  # at once: what is loaded and opened when it is first needed fails too
        place = urlsplit(agent.ready["http"])
        with socket.create_connection((place.hostname, place.port), 60) as outside:  # waits in the kernel's queue
            until(lambda: "own memory: " in agent.said, "a look has failed")
            until(lambda: "a connection to the dashboard: " in agent.said, "it could not be taken in")
            os.kill(agent.process.pid, signal.SIGHUP)
            until(lambda: "the settings are not taken: " in agent.said, "they could not be read")
            agent.hold_to(256)
            outside.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert outside.recv(4096).startswith(b"HTTP/1.1 200 ")
        until(lambda: (agent.me()["metrics"] or HUNGRY)["agent"]["rss_bytes"] is not None, "its memory is known again")
        until(lambda: agent.me()["checks"]["cpu"]["status"] != "unknown", "and so is the rest")
        with urlopen(agent.ready["http"] + "/metrics", timeout=60) as answer:
            page = answer.read().decode().splitlines()
        failures = dict(line.rsplit(" ", 1) for line in page if line.startswith("peerscope_look_failures_total"))
        assert float(failures['peerscope_look_failures_total{look="own memory"}']) >= 1
        tried = float(failures['peerscope_look_failures_total{look="a connection to the dashboard"}'])
        assert 1 <= tried < 1000  # no busy loop
        assert "Traceback" not in agent.said
        assert agent.said.count("own memory: ") == 1  # however often it failed


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_an_agent_whose_output_cannot_be_written_goes_on(tmp_path: Path, form: tuple[str, ...]) -> None:
    where = free_address()
    command = [
        sys.executable,
        "-m",
        "peerscope",
        "run",
        "--until-eof",
        "--http",
        where,
        "--state",
        str(tmp_path),
        *form,
    ]
    with (
        Path("/dev/full").open("w") as full,
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=full, stderr=log, env=os.environ | ENVIRONMENT
        ) as agent,
    ):
        try:
            until(lambda: get({"http": f"http://{where}"}, "/readyz")["ready"], "it is ready")
            assert agent.poll() is None
        finally:
            agent.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()
