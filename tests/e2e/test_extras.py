"""The command that a missing extra names brings it, however peerscope was installed. Run as it is printed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import CLEAN, PATIENCE_S, ROOT, built, environment, inside, install, lent, needed, repacked

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which pip finds a few wheels, and nothing else."""
    place = tmp_path_factory.mktemp("wheels")
    wheel = built(tmp_path_factory.mktemp("dist"))
    always = needed(inside(wheel))
    repacked((needed(inside(wheel), "top", "geo", "remote-write", "build").keys() - always.keys()), place)
    path = f"{Path(sys.executable).parent}:{CLEAN['PATH']}"
    return CLEAN | {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(place),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PATH": path,
    }


def refusal(python: Path, *arguments: str, cwd: Path, **settings: str) -> str:
    """The one line that a command complains of."""
    command = [python, "-m", "peerscope", *arguments]
    done = subprocess.run(command, cwd=cwd, env=CLEAN | settings, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def follow(line: str, offline: dict[str, str], cwd: Path) -> None:
    """Do what the line says, in a shell."""
    command = line.partition("install it with: ")[2]
    assert command, line
    done = subprocess.run(
        ["sh", "-c", command], cwd=cwd, env=offline, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_after_an_installation_from_a_wheel(offline: dict[str, str], tmp_path: Path) -> None:
    wheel = built(tmp_path)
    always = lent(frozenset(needed(inside(wheel))), tmp_path / "always")
    python = environment(tmp_path / "an environment", [always])
    install(python, wheel)
    line = refusal(python, "top", cwd=tmp_path)
    assert line.endswith(f"'{wheel}[top]'")
    follow(line, offline, tmp_path)
    assert "no agent answers" in refusal(python, "top", "--api", "http://127.0.0.1:9", cwd=tmp_path)
    wheel.unlink()
    looking = {"PEERSCOPE_PEER__GEO_DATABASE": "none.mmdb"}
    line = refusal(python, "run", "--http", "off", "--state", "state", cwd=tmp_path, **looking)
    assert str(wheel) not in line
    follow(line, offline, tmp_path)
    line = refusal(python, "run", "--http", "off", "--state", "state", cwd=tmp_path, **looking)
    assert "cannot be read" in line


def test_in_a_tree_that_is_run_from_where_it_lies(offline: dict[str, str], tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    wheel = built(tmp_path)
    names = frozenset(needed(inside(wheel), "build")) | {"pip"}
    python = environment(tmp_path / "env", [lent(names, tmp_path / "always")])
    editable = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", tree]
    subprocess.run(editable, env=offline, check=True, timeout=PATIENCE_S)
    writing = {"PEERSCOPE_EXPORT__REMOTE_WRITE__URL": "http://127.0.0.1:9/write"}
    line = refusal(python, "run", "--http", "off", "--state", "state", cwd=tmp_path, **writing)
    assert line.endswith(f"install it with: {python} -m pip install --editable '{tree}[remote-write]'")
    follow(line, offline, tmp_path)
    program = "import peerscope.export.remote_write; print(peerscope.__file__)"
    done = subprocess.run([python, "-c", program], cwd=tmp_path, env=CLEAN, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tree))
