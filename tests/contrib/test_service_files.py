"""The unit and the image: what of them can be checked without systemd as init or a registry."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "contrib" / "systemd" / "peerscope.service"
EXPOSURE_MAX = 2.0


@pytest.mark.tools
def test_systemd_finds_no_fault_with_the_unit(need: Callable[[str], str], tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    # It looks whether the manual page is installed, which it is with the package, not here.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^Documentation=.*\n", "", UNIT.read_text()))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.tools
def test_the_unit_is_hardened(need: Callable[[str], str]) -> None:
    command = [need("systemd-analyze"), "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found.group(1)) <= EXPOSURE_MAX


def test_every_source_of_the_image_is_there_and_not_ignored() -> None:
    copied = re.findall(r"(?m)^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text())
    sources = [name for line in copied for name in line.split()[:-1]]
    assert len(sources) >= 5
    assert [name for name in sources if not (ROOT / name).exists()] == []
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name.split("/")[0] for name in sources} <= kept


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    text = (ROOT / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"(?m)^USER (?!root|0)\S+$", last)
    assert "HEALTHCHECK" in last
    exposed = re.findall(r"\b(\d+)/udp", last)
    assert exposed == re.findall(r"(?:LISTEN=0\.0\.0\.0:|PING_PORT=)(\d+)", last) == ["4600", "4601"]
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")
