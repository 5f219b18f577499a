"""The tree holds nothing that tests left behind, and a session that leaves something is found out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WRITES = "from pathlib import Path\ndef test_it():\n    Path(__file__).with_name({!r}).write_text('x')\n"


def git(place: Path, *arguments: str) -> str:
    command = ["git", "-C", str(place), "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with the hooks of ours, in which a few caches are ignored."""
    hooks = "from leftovers import pytest_sessionfinish, pytest_sessionstart, pytest_terminal_summary\n"
    (tmp_path / "conftest.py").write_text(hooks)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'tests'}\n")
    (tmp_path / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n/.crashes\n")
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "x")
    return tmp_path


def session(tree: Path, *, require_all: str, options: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """The exit code of pytest in this tree, and what it says is left behind."""
    command = [sys.executable, "-m", "pytest", *options]
    environment = os.environ | {"REQUIRE_ALL": require_all, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120)
    said = [line for line in done.stdout.splitlines() if line.startswith("left behind in the tree: ")]
    return done.returncode, [line.rpartition(" ")[2] for line in said]


@pytest.mark.parametrize(
    ("left", "options"),
    [("new.json", ()), (".crashes", ("-p", "xdist", "--numprocesses=2"))],
    ids=["new", "ignored, by a worker"],
)
def test_a_session_that_leaves_a_file_behind_fails_where_all_is_required(
    left: str, options: tuple[str, ...], tree: Path
) -> None:
    (tree / "test_it.py").write_text(WRITES.format(left))
    assert session(tree, require_all="1", options=options) == (1, [left])


def test_elsewhere_it_says_so(tree: Path) -> None:
    (tree / "test_it.py").write_text(WRITES.format("new.json"))
    assert session(tree, require_all="") == (0, ["new.json"])


def test_caches_and_what_was_there_before_are_nothing_left_behind(tree: Path) -> None:
    (tree / "mine.txt").write_text("x")
    (tree / "test_it.py").write_text("def test_it(): pass  # changed\n")
    assert session(tree, require_all="1") == (0, [])


def test_without_a_repository_nothing_is_compared(tree: Path) -> None:
    (tree / ".git").rename(tree / "git")
    (tree / "test_it.py").write_text(WRITES.format("new.json"))
    assert session(tree, require_all="1") == (0, [])


def test_nothing_is_tracked_that_is_ignored_or_hidden() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository: this is an unpacked source archive")
    assert git(ROOT, "ls-files", "--cached", "--ignored", "--exclude-standard") == ""
    hidden = {name.partition("/")[0] for name in git(ROOT, "ls-files", "-z").split("\0") if name.startswith(".")}
    assert hidden == {".ci", ".dockerignore", ".gitignore"}
