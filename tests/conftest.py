"""What every test may use: third-party programs through `need`, and fast tests before slow ones."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from leftovers import pytest_sessionfinish, pytest_sessionstart, pytest_terminal_summary  # noqa: F401  (hooks)

# A pause of a busy machine is no bug of ours, so examples have no deadline.
settings.register_profile("peerscope", deadline=None)
settings.load_profile("peerscope")

# Agents that tests start as processes must not attach nodes that happen to run on this machine.
os.environ["PEERSCOPE_NODE__DETECT"] = "false"

BROWSER = "tests/browser/"
CURRENT_RELEASES = Path(__file__).parents[1] / ".interop" / "bin"
"""`make interop-tools` builds programs there that Debian has in old versions only; tests never need them."""
SLOWER_AND_SLOWER = ("sim", "tools", "e2e", "browser")

# Programs that go by several names. Where tests get them from is in scripts/test-tools.
OTHER_NAMES = {
    "chromium": (
        "chromium-browser",
        "google-chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests by their slowest marker, unmarked ones first: a plain mistake shows within seconds."""
    items.sort(
        key=lambda item: max(
            (SLOWER_AND_SLOWER.index(m.name) + 1 for m in item.iter_markers() if m.name in SLOWER_AND_SLOWER),
            default=0,
        )
    )


class ByNetwork(LoadFileScheduling):
    """Tests that share a network run in one process: those of one file, and all in browsers."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return BROWSER if file.startswith(BROWSER) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByNetwork | None:
    """None: what xdist has for the way that was asked for."""
    return ByNetwork(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def need() -> Callable[[str], str]:
    """`need("chromium")` returns the program's path; where it is missing, the test is skipped by name.

    With REQUIRE_ALL=1 in the environment, as in CI, the test fails instead.
    """
    return find_or_skip


@pytest.fixture(scope="session")
def need_current() -> Callable[[str], str]:
    """`need_current("yggdrasil-0.5")` returns the path of a current release; where it is missing, the test is skipped.

    REQUIRE_ALL does not forbid that: the builds take a toolchain and many minutes.
    """

    def find(program: str) -> str:
        if found := find_current(program):
            return found
        pytest.skip(f"{program} is not there: `make interop-tools` builds it, where Go or Rust is installed")

    return find


def find_current(program: str) -> str | None:
    """Path of a current release, from PATH or from `make interop-tools`."""
    path = f"{CURRENT_RELEASES}:{os.environ.get('PATH', os.defpath)}"
    return shutil.which(program, path=path)


def find_or_skip(program: str) -> str:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"  # system tools are not on every user's path
    for name in (program, *OTHER_NAMES.get(program, ())):
        if found := shutil.which(name, path=path):
            return found
    reason = f"{program} is not installed: `make test-tools` as root with apt-get, or install it yourself"
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (REQUIRE_ALL=1 forbids to skip)", pytrace=False)
    pytest.skip(reason)
