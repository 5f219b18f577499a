"""The verb of threats, and signatures that are read again on SIGHUP."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from live import Agent, client, until

MANY = b'{"type":"connection","event":"opened","remote":"192.0.2.7:4001"}\n' * 150


@pytest.fixture(scope="module")
def attacked(agent: Agent) -> Agent:
    with client(agent) as asking:
        asking.post("/api/v1/telemetry", content=MANY)
    until(lambda: len(agent.loop.call(agent.monitor.threats)) >= 1, "what was sent is found")
    return agent


def test_threats_for_scripts_and_for_people(peerscope, attacked: Agent) -> None:
    code, said, complaint = peerscope("threats", "--json", "--api", attacked.http)
    assert (code, complaint) == (0, "")
    assert "connection-flood" in {one["detection"] for one in json.loads(said)}
    code, said, _ = peerscope("threats", "--api", attacked.http)
    assert code == 0
    assert f"Flood of new connections: {attacked.peer_id[:10]}" in said
    assert "150 new connections in 60 s; 100 is the limit" in said
    assert "anomaly rate" in said
    assert peerscope("threats", "--check", "--api", attacked.http)[0] == 1


def test_signatures_are_read_again_on_sighup_and_a_broken_file_keeps_the_old_ones(tmp_path: Path) -> None:
    own, config = tmp_path / "own.toml", tmp_path / "settings.toml"
    own.write_text("[dht-flood]\nabove = {low = 5}\n")
    config.write_text(f'[threats]\nsignatures_file = "{own}"\n[peer]\nlisten = "127.0.0.1:0"\n')
    command = [sys.executable, "-m", "peerscope", "run", "--config", str(config), "--state", str(tmp_path / "state")]
    command += ["--http", "off", "--json", "--until-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdout is not None
        assert agent.stderr is not None
        try:
            assert json.loads(agent.stdout.readline())["event"] == "ready"
            for text, said in (
                ("[dht-flood]\nabove = {low = 7}\n", "dht-flood changed"),
                ("[dht-flood]\nabove = 7\n", "above"),
                ('[mine]\nsignal = "messages"\nabove = {low = 7}\n', "dht-flood changed"),
            ):
                own.write_text(text)
                agent.send_signal(signal.SIGHUP)
                line = next(line for line in agent.stdout if json.loads(line)["event"] == "reload")
                assert said in line, line
                assert agent.poll() is None
            assert "mine added" in line
        finally:
            agent.kill()
