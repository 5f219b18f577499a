"""What runs in an agent: only what is configured, and mistakes are told before anything starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from live import client, running, settings, until
from peerscope.agent.monitor import Monitor
from peerscope.errors import ConfigError
from peerscope.export.election import ROLE
from receivers import TAKEN, receiving

HEAVY = ["prometheus_client", "cramjam", "google.protobuf", "urllib3", "opentelemetry"]
ASK = f"""
import sys
from pathlib import Path
import peerscope.cli.run, peerscope.web.app
from peerscope.agent.monitor import Monitor
from peerscope.config import Config
Monitor(Config(), Path(sys.argv[1]))
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_an_agent_that_exports_nothing_imports_nothing_for_it(tmp_path: Path) -> None:
    asked = subprocess.run([sys.executable, "-c", ASK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert asked.stdout == "[]\n"


WITHOUT = """
import sys
from pathlib import Path
sys.modules[sys.argv[1]] = None  # as if it were not installed
from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.errors import ConfigError
try:
    Monitor(Config.load(environment={sys.argv[2]: "http://127.0.0.1:1"}), Path(sys.argv[3]))
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "extra", "setting"),
    [
        ("cramjam", "remote-write", "PEERSCOPE_EXPORT__REMOTE_WRITE__URL"),
        ("google.protobuf", "remote-write", "PEERSCOPE_EXPORT__REMOTE_WRITE__URL"),
        ("urllib3", "remote-write", "PEERSCOPE_EXPORT__REMOTE_WRITE__URL"),
        ("opentelemetry.sdk.trace", "otel", "PEERSCOPE_EXPORT__OTLP__ENDPOINT"),
    ],
)
def test_half_of_an_extra_is_a_missing_extra(tmp_path: Path, module: str, extra: str, setting: str) -> None:
    asked = [sys.executable, "-c", WITHOUT, module, setting, str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    (line,) = done.stdout.splitlines()
    assert f"needs the extra `{extra}`" in line
    assert module in line


def test_a_secret_that_cannot_be_read_is_told_before_anything_starts(tmp_path: Path) -> None:
    remote_write = {"url": "http://127.0.0.1:1", "bearer_token_file": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigError, match=r"bearer_token_file: .*nowhere cannot be read"):
        Monitor(settings(export={"remote_write": remote_write}), tmp_path / "state")


def test_a_lone_agent_with_a_receiver_declares_the_role_is_elected_and_writes_what_it_tells(tmp_path: Path) -> None:
    with receiving(lambda _: TAKEN) as store:
        remote_write = {"url": store.url, "interval_s": 1.0, "headers": {"X-Scope-OrgID": "a"}}
        with running(tmp_path, export={"remote_write": remote_write, "per_peer": True}) as agent, client(agent) as web:
            profile = agent.monitor.peer.ledger.profile(agent.monitor.peer.me)
            assert profile is not None
            assert (profile.roles, profile.exporter) == ((ROLE,), None)
            until(lambda: len(store.taken) >= 2, "it writes")
            told = web.get("/metrics").text
            standing = web.get("/api/v1/self").json()["remote_write"]
    assert (standing["elected"], standing["failing"], standing["aside"], standing["held_samples"]) == (
        True,
        None,
        [],
        0,
    )
    assert standing["sent_samples"] > 0
    written = [one for one in store.written() if not one.is_stale]
    me = agent.peer_id[:16]
    assert {(one.labels["network"], one.labels["peer"]) for one in written} == {("peerscope", me)}
    names = {one.name for one in written}
    assert {"peerscope_uptime_seconds", "peerscope_network_peers", "peerscope_peer_up"} <= names
    assert all(name in told for name in names)
    assert "peerscope_remote_write_elected 1.0" in told
    assert 'peerscope_remote_write_samples_total{outcome="sent"}' in told
    ended = {(one.name, *one.labels.values()) for one in store.written() if one.is_stale}
    assert ("peerscope_uptime_seconds", "peerscope", me) in ended, "a goodbye ends its series"


def test_without_a_receiver_no_role_is_declared(tmp_path: Path) -> None:
    with running(tmp_path, export={"address": "peer.example.org"}) as agent:
        profile = agent.monitor.peer.ledger.profile(agent.monitor.peer.me)
        assert profile is not None
        assert profile.roles == ()
        port = agent.http.rpartition(":")[2]
        assert profile.exporter == f"peer.example.org:{port}"
        with client(agent) as web:
            assert web.get("/metrics", headers={"host": "peer.example.org"}).status_code == 200
            assert web.get("/metrics", headers={"host": "evil.example.org"}).status_code == 421
            (target,) = web.get("/api/v1/sd/prometheus").json()
    assert target["targets"] == [f"peer.example.org:{port}"]
    assert target["labels"]["__meta_peerscope_peer_id"] == agent.peer_id
