"""The examples are good settings, and programs that run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peerscope.config import Config

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("place", sorted(EXAMPLES.glob("*.toml")), ids=lambda place: place.name)
def test_settings_are_good_and_name_how_to_start(place: Path) -> None:
    assert Config.load(place, environment={}) != Config()
    assert "peerscope" in place.read_text().splitlines()[0] or "fleet" in place.read_text().splitlines()[0]


def test_the_fleet_writes_and_the_node_is_read() -> None:
    fleet = Config.load(EXAMPLES / "victoria-metrics.toml", environment={})
    assert fleet.export.remote_write.url.endswith("/api/v1/write")
    assert fleet.export.remote_write.mode == "elected"
    assert Config.load(EXAMPLES / "yggdrasil.toml", environment={}).node.sources[0].startswith("yggdrasil:")


@pytest.mark.e2e
def test_a_program_that_is_its_own_peer_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "embed.py"), "--seconds", "3"],
        env=os.environ | {"PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "others join with endpoint" in done.stdout
    assert "1 peers" in done.stdout
