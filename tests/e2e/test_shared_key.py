"""A copied state directory started beside its original, with real processes on real sockets."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import eventually, get
from processes import Peers

pytestmark = pytest.mark.e2e


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    found = Peers(tmp_path)
    try:
        yield found
    finally:
        found.close()


def peerscope(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "peerscope", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def shared(peer: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in get(peer, "/api/v1/alerts") if one["rule"] == "shared-key"]


def address(peer: dict[str, Any]) -> str:
    (told,) = get(peer, "/api/v1/self")["addresses"]
    return str(told)


def test_a_copied_state_directory_is_told_on_both_sides_and_to_everybody_until_it_is_another_peer(
    peers: Peers, tmp_path: Path
) -> None:
    first = peers.run("first")
    second = peers.run("second", first["ticket"])
    original = peers.run("original", first["ticket"])
    eventually(lambda: len(get(second, "/api/v1/peers")) == 3, "all have met", within_s=60)
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    copy = peers.run("copy", first["ticket"])
    assert copy["peer_id"] == original["peer_id"]
    for one, other in ((original, copy), (copy, original)):
        eventually(lambda one=one: get(one, "/api/v1/self")["shared_key"], "it knows of the other", within_s=90)
        (found,) = get(one, "/api/v1/self")["shared_key"]
        assert found["addresses"] == [address(other)]
        assert address(other) in peerscope("status", "--api", one["http"]).stdout
        doctor = peerscope("doctor", "--api", one["http"])
        assert doctor.returncode == 1
        assert f"another agent runs with this peer's key, at {address(other)}" in doctor.stdout
    told = "runs with this peer's key"
    for name, other in (("original", copy), ("copy", original)):
        eventually(lambda name=name: told in peers.said(name), "its log says so", within_s=10)
        (line,) = [line for line in peers.said(name).splitlines() if told in line]
        assert address(other) in line
    for peer in (first, second):
        eventually(lambda peer=peer: shared(peer), "the alert is on its board", within_s=60)
        (alert,) = shared(peer)
        assert alert["peer_id"] == original["peer_id"]
        assert alert["severity"] == "high"
        assert address(original) in alert["description"]
        assert address(copy) in alert["description"]
        assert alert["runbook"].endswith("`peerscope init --new-identity --state DIR`")

    refused = peerscope("init", "--new-identity", "--state", str(tmp_path / "copy"))
    assert refused.returncode == 2
    assert "in use by another agent" in refused.stderr
    peers.kill("copy")
    done = peerscope("init", "--new-identity", "--state", str(tmp_path / "copy"))
    assert done.returncode == 0
    renewed = peers.run("copy", first["ticket"])
    assert renewed["peer_id"] != original["peer_id"]
    eventually(
        lambda: (
            {one["verdict"] for one in get(second, "/api/v1/peers")} == {"alive"}
            and len(get(second, "/api/v1/peers")) == 4
        ),
        "the copy is a fourth peer, and nobody is down",
        within_s=60,
    )
    assert get(renewed, "/api/v1/self")["shared_key"] == []
