"""A comparison of two builds runs the code of both."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from checkouts import HERE, checkout


def build(place: Path) -> Path:
    (place / "src" / "peerscope").mkdir(parents=True)
    (place / "src" / "peerscope" / "__init__.py").touch()
    return place


def test_a_checkout_comes_before_the_installed_package(tmp_path: Path) -> None:
    with checkout(str(build(tmp_path))) as found:
        assert found == tmp_path
    with checkout(str(HERE)) as found:
        assert found == HERE


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkout of peerscope"), checkout(str(tmp_path)):
        pass


def test_a_package_in_the_working_folder_would_run_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = build(tmp_path / "older")
    build(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here" / "src")
    with pytest.raises(ValueError, match="would run, but"), checkout(str(older)):
        pass


def test_what_is_neither_folder_nor_revision_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a folder nor a revision"), checkout("no-such-revision"):
        pass
