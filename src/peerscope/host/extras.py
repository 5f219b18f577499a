"""Imports of extras, and the command that installs a missing one.

No package index has `peerscope[top]`. pip recorded the wheel or tree that it installed us from (PEP 610,
`direct_url.json`). If that is gone, the command lists the packages of the extra.

Every agent loads this module, so it imports whatever finds the command only when that is needed.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from peerscope.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

PACKAGE = "peerscope"


class _Folder(Struct, frozen=True):
    editable: bool = False


class _Origin(Struct, frozen=True):
    """The fields of `direct_url.json` that matter here."""

    url: str
    dir_info: _Folder | None = None


@contextlib.contextmanager
def brought_by(extra: str, wanted_by: str) -> Iterator[None]:
    """Import packages of an extra inside this context. Raises `ConfigError` with the command to install it."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == PACKAGE:  # a bug of ours, not a missing extra
            raise
        raise ConfigError(
            f"{wanted_by} needs the extra `{extra}`, which is not installed here ({error}); "
            f"install it with: {command(extra, _ourselves())}"
        ) from None


def command(extra: str, ourselves: Distribution | None) -> str:
    """The shell command that adds an extra to the environment of this program."""
    return shlex.join([*_installer(), *_wanted(extra, ourselves)])


def _ourselves() -> Distribution | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return distribution(PACKAGE)
    except PackageNotFoundError:  # a tree on the path, never installed
        return None


def _installer() -> list[str]:
    """The installer for this environment, which may have no pip: those of uv and the container image have none."""
    import shutil
    from importlib.util import find_spec

    python = sys.executable or "python3"
    if find_spec("pip") is not None:
        return [python, "-m", "pip", "install"]
    if shutil.which("pip") is None and shutil.which("uv") is not None:
        return ["uv", "pip", "install", "--python", python]
    return ["pip", "--python", python, "install"]


def _wanted(extra: str, ourselves: Distribution | None) -> list[str]:
    if ourselves is None:
        return ["--editable", f"{Path(__file__).parents[3]}[{extra}]"]
    found = _origin(ourselves)
    if found is not None:
        place, is_editable = found
        return [*(["--editable"] if is_editable else []), f"{place}[{extra}]"]
    of_extra = re.compile(rf"""\s*;\s*extra == ['"]{re.escape(extra)}['"]\Z""")
    return [of_extra.sub("", each) for each in ourselves.requires or () if of_extra.search(each)]


def _origin(ourselves: Distribution) -> tuple[Path, bool] | None:
    """The tree or wheel that we were installed from, if it still exists, and whether the install is editable."""
    from urllib.request import url2pathname

    with contextlib.suppress(msgspec.MsgspecError, OSError, ValueError):
        origin = msgspec.json.decode(ourselves.read_text("direct_url.json") or "", type=_Origin)
        parts = urlsplit(origin.url)
        place = Path(url2pathname(parts.path))
        if parts.scheme == "file" and (place / "pyproject.toml" if origin.dir_info else place).is_file():
            return place, bool(origin.dir_info and origin.dir_info.editable)
    return None
