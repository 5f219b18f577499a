"""An older build to compare with: its code, on the packages of this environment."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[1]


@contextlib.contextmanager
def checkout(against: str) -> Iterator[Path]:
    """The folder of a build: a checkout, or a temporary copy of a git revision that is gone afterwards.

    Raises `ValueError` where `against` is neither.
    """
    with contextlib.ExitStack() as stack:
        build = Path(against).resolve()
        if not build.is_dir():
            build = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="older-build-")))
            # `git archive` leaves nothing to clean up in the repository if this process is killed; a worktree would.
            done = subprocess.run(["git", "-C", str(HERE), "archive", against, "src"], capture_output=True, check=False)
            if done.returncode:
                raise ValueError(f"{against} is neither a folder nor a revision: {done.stderr.decode().strip()}")
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(build, filter="data")
        check(build)
        yield build


def check(build: Path) -> None:
    """Raises `ValueError` unless `python -m peerscope`, started as we start agents, runs the code of this build."""
    expected = build / "src" / "peerscope" / "__init__.py"
    if not expected.is_file():
        raise ValueError(f"{build} is no checkout of peerscope: it has no src/peerscope")
    ask = "import peerscope, sys; sys.stdout.write(peerscope.__file__)"
    done = subprocess.run([sys.executable, "-c", ask], env=environment(build), capture_output=True, text=True)
    if done.returncode or Path(done.stdout).resolve() != expected.resolve():
        raise ValueError(f"not {expected} would run, but {done.stdout or done.stderr.strip()}")


def environment(build: Path) -> dict[str, str]:
    """That of this process, with a build before everything that is installed."""
    return {**os.environ, **before_all(build)}


def before_all(build: Path) -> dict[str, str]:
    """What puts the code of a build before everything that is installed."""
    return {"PYTHONPATH": str(build / "src")}


def without_detection(build: Path) -> dict[str, str]:
    """What keeps its agents from attaching nodes that happen to run here; older builds refuse the setting."""
    knows = (build / "src/peerscope/agent/node_detection.py").is_file()
    return {"PEERSCOPE_NODE__DETECT": "false"} if knows else {}


def revision(against: str) -> str:
    """Its short commit id where git knows it, else the text itself."""
    folder = Path(against)
    where, what = (folder, "HEAD") if folder.is_dir() else (HERE, against)
    describe = ["git", "-C", str(where), "rev-parse", "--short", f"{what}^{{commit}}"]
    done = subprocess.run(describe, capture_output=True, text=True, check=False)
    return done.stdout.strip() or against
