"""Tests leave nothing behind in the tree but caches. A session that does says so, and fails where REQUIRE_ALL=1 (CI).

On a developer's machine it only says so: the new file may be one that somebody writes while the tests run."""

import os
import subprocess
from pathlib import Path

import pytest

CACHES = frozenset({"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
"""Folders that Python and the tools keep by design."""
BEFORE = pytest.StashKey[frozenset[str] | None]()
LEFT = pytest.StashKey[list[str]]()


def untracked(root: Path) -> frozenset[str] | None:
    """Files and folders that git does not track, ignored ones too, but no caches. None where git cannot say."""
    command = ["git", "-C", str(root), "status", "--porcelain", "-z", "--ignored", "--untracked-files=normal"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # no git, or an unpacked source archive
        return None
    entries = [entry[3:] for entry in done.stdout.split("\0") if entry[:2] in ("??", "!!")]
    return frozenset(entry for entry in entries if CACHES.isdisjoint(Path(entry).parts))


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # xdist's workers share the tree with the session that leads them
        session.config.stash[BEFORE] = untracked(session.config.rootpath)


def pytest_sessionfinish(session: pytest.Session) -> None:
    before = session.config.stash.get(BEFORE, None)
    after = untracked(session.config.rootpath) if before is not None else None
    if before is None or after is None:
        return
    session.config.stash[LEFT] = sorted(after - before)
    if after - before and session.exitstatus == 0 and os.environ.get("REQUIRE_ALL") == "1":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for entry in config.stash.get(LEFT, []):
        terminalreporter.write_line(f"left behind in the tree: {entry}", red=True)
