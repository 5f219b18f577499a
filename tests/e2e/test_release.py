"""What is released works by itself: the wheel in an empty environment, with the locked packages and nothing else."""

import json
import os
import re
import signal
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from demo_network import first_line, start

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"


def locked() -> dict[str, str]:
    """Names and versions of everything that an agent needs to run."""
    text = (ROOT / "requirements" / "run.lock").read_text()
    return dict(re.findall(r"(?m)^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text))


def lend(found: Distribution, place: Path) -> None:
    """Make an installed package importable elsewhere, file by file: no network is needed."""
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        if ".." in file.parts or "__pycache__" in file.parts or not source.exists():
            continue  # programs in bin/, and what Python makes by itself
        target = place / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
    (made,) = place.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the locked packages; its bin/."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False, symlinks=True)
    packages = place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name, version in locked().items():
        found = distribution(name)
        assert found.version == version, f"{name} {found.version} is installed, {version} is locked"
        lend(found, packages)
    command = [sys.executable, "-m", "pip", "--python", str(place), "install", "--no-index", "--no-deps", "--quiet"]
    subprocess.run([*command, str(wheel)], check=True, timeout=PATIENCE_S, env=_clean())
    return place / "bin"


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_wheel_alone_runs_a_network_of_three(installed: Path, tmp_path: Path) -> None:
    program = str(installed / "peerscope")
    where = [str(installed / "python"), "-c", "import peerscope; print(peerscope.__file__)"]
    told = subprocess.run(where, cwd=tmp_path, env=_clean(), capture_output=True, text=True, check=True)
    assert told.stdout.startswith(str(installed.parent)), "the tree is used, not the wheel"
    command = [program, "demo", "--peers", "3", "--http", "127.0.0.1:0", "--json"]
    environment = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
    demo = start(["env", *(f"{name}={value}" for name, value in environment.items()), *command], cwd=tmp_path)
    try:
        ready = json.loads(first_line(demo))
        assert len(ready["peers"]) == 3
        asked = [program, "status", "--json", "--api", ready["peers"][2]["http"]]
        done = subprocess.run(asked, cwd=tmp_path, env=_clean(), capture_output=True, text=True, timeout=PATIENCE_S)
        assert json.loads(done.stdout)["health"]["total_peers"] == 3, done.stderr
        page = [
            str(installed / "python"),
            "-c",
            "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).status)",
        ]
        served = subprocess.run([*page, ready["peers"][0]["http"]], env=_clean(), capture_output=True, text=True)
        assert served.stdout.strip() == "200", served.stderr
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0


def test_every_verb_can_be_loaded_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "from peerscope.cli import VERBS, cli; import click\n"
        "for verb in VERBS: assert cli.get_command(click.Context(cli), verb) is not None"
    )
    command = [str(installed / "python"), "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=_clean(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_two_builds_of_one_tree_are_alike(wheel: Path, tmp_path: Path) -> None:
    again = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(again, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()
