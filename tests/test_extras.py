"""Which command brings an extra, by what pip wrote down about us. tests/e2e/test_extras.py runs such commands."""

import json
import os
import shlex
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from peerscope.errors import ConfigError
from peerscope.host.extras import brought_by, command

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "install"]
NAMED = [*PIP, "cramjam<3,>=2.14.0", "urllib3<3,>=2.8.0"]
"""The packages themselves: true wherever we came from."""


def recorded(place: Path, origin: str | None) -> Distribution:
    """Ourselves, as an installation with this `direct_url.json` has us."""
    (place / "METADATA").write_text(
        "Name: peerscope\nVersion: 1\nRequires-Dist: msgspec>=0.22\n"
        'Requires-Dist: cramjam<3,>=2.14.0; extra == "remote-write"\n'
        "Requires-Dist: urllib3<3,>=2.8.0 ; extra == 'remote-write'\n"
        "Requires-Dist: textual>=8; extra == 'top'\n"
    )
    if origin is not None:
        (place / "direct_url.json").write_text(origin)
    return Distribution.at(place)


@pytest.mark.parametrize("is_editable", [True, False])
def test_a_tree_is_named_with_its_extra(is_editable: bool, tmp_path: Path) -> None:
    tree = tmp_path / "it's a tree"
    tree.mkdir()
    (tree / "pyproject.toml").touch()
    origin = {"url": tree.as_uri(), "dir_info": {"editable": True} if is_editable else {}}
    asked = command("remote-write", recorded(tmp_path, json.dumps(origin)))
    assert shlex.split(asked) == [*PIP, *(["--editable"] if is_editable else []), f"{tree}[remote-write]"]


def test_a_wheel_is_named_with_its_extra(tmp_path: Path) -> None:
    wheel = tmp_path / "peerscope-1-py3-none-any.whl"
    wheel.touch()
    origin = {"url": wheel.as_uri(), "archive_info": {"hashes": {"sha256": "0"}}}
    assert shlex.split(command("top", recorded(tmp_path, json.dumps(origin)))) == [*PIP, f"{wheel}[top]"]


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "{",
        "[]",
        '{"url": 7}',
        '{"url": "https://example.org/peerscope-1-py3-none-any.whl", "archive_info": {}}',
        '{"url": "git+https://example.org/peerscope", "vcs_info": {"vcs": "git"}}',
        '{"url": "file:///nowhere/peerscope-1-py3-none-any.whl", "archive_info": {}}',
        '{"url": "file:///nowhere", "dir_info": {"editable": true}}',
        '{"url": "file:///%00", "dir_info": {}}',
        '{"url": "http://[", "dir_info": {}}',
    ],
)
def test_without_the_place_that_we_came_from_the_packages_are_named(origin: str | None, tmp_path: Path) -> None:
    assert shlex.split(command("remote-write", recorded(tmp_path, origin))) == NAMED


def test_a_tree_that_was_never_installed_is_named() -> None:
    assert shlex.split(command("top", None)) == [*PIP, "--editable", f"{ROOT}[top]"]


@pytest.mark.parametrize(("programs", "installer"), [(["uv"], "uv pip install --python"), (["uv", "pip"], "pip")])
def test_an_environment_without_pip_is_filled_from_outside(
    programs: list[str], installer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in programs:
        (tmp_path / name).touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not (Path(place) / "pip").is_dir()])
    for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
        monkeypatch.delitem(sys.modules, name)
    assert command("top", None).startswith(f"{installer} ")
    assert f"--python {sys.executable} " in command("top", None)


def test_a_missing_package_is_one_sentence_with_the_command() -> None:
    with pytest.raises(ConfigError) as refused, brought_by("top", "`peerscope top`"):
        import no_such_package  # noqa: F401
    start = "`peerscope top` needs the extra `top`, which is not installed here (No module named 'no_such_package'); "
    assert str(refused.value).startswith(f"{start}install it with: ")
    assert os.linesep not in str(refused.value)


def test_a_mistake_of_ours_is_not_taken_for_a_missing_extra() -> None:
    with pytest.raises(ImportError), brought_by("top", "`peerscope top`"):
        import peerscope.no_such_module  # noqa: F401
    with pytest.raises(ImportError), brought_by("top", "`peerscope top`"):
        from peerscope.errors import NoSuchError  # noqa: F401


def test_no_text_of_ours_names_an_extra_as_if_a_registry_had_it() -> None:
    places = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    places += [place for name in ("examples", "contrib") for place in (ROOT / name).rglob("*") if place.is_file()]
    places = [place for place in places if "node_modules" not in place.parts]
    said = [place.name for place in places if "install 'peerscope[" in place.read_text(encoding="utf-8")]
    assert len(places) > 300
    assert said == []
