"""The third-party code of the page: what is committed is what its sources make, byte for byte."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "src/peerscope/web/static/vendor"


@pytest.mark.tools
def test_the_vendored_bundles_are_what_the_locked_packages_make(tmp_path: Path, need: Callable[[str], str]) -> None:
    npm, node = need("npm"), need("node")
    work, made = tmp_path / "frontend", tmp_path / "vendor"
    shutil.copytree(ROOT / "frontend", work, ignore=shutil.ignore_patterns("node_modules"))
    made.mkdir()
    options = ["--no-audit", "--no-fund", "--fetch-retries=0"]
    installed = subprocess.run([npm, "ci", *options], cwd=work, capture_output=True, text=True)
    if installed.returncode and any(word in installed.stderr for word in ("EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED")):
        pytest.skip("the package registry cannot be reached from here")
    assert installed.returncode == 0, installed.stderr
    subprocess.run([node, "build.js", str(made)], cwd=work, check=True)
    assert {place.name: place.read_bytes() for place in made.iterdir()} == {
        place.name: place.read_bytes() for place in VENDOR.iterdir()
    }
