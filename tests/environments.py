"""Empty environments for tests: the wheel, and the locked packages that it asks for, alone or with one extra.

Nothing is fetched. Packages are lent by the environment that runs the tests, which is made from the same locks."""

import functools
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distribution
from os import environ
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120
FOR_DEVELOPERS = {"build", "dev"}
"""Extras without code of ours that could ask for them. All other tests run with both of them."""
CLEAN = {name: value for name, value in environ.items() if not name.startswith(("PYTHON", "PIP_", "PEERSCOPE_"))}
"""What a process may inherit, so that nothing from outside its environment can be imported."""


def locked(name: str) -> dict[str, str]:
    """Versions by name in one file of requirements/."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    return {canonicalize_name(n): v for n, v in re.findall(r"(?m)^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text)}


def built(place: Path) -> Path:
    """A new wheel of this tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
    (made,) = place.glob("*.whl")
    return made


def inside(wheel: Path) -> Distribution:
    """What the wheel says of itself."""
    (folder,) = (each for each in zipfile.Path(wheel).iterdir() if each.name.endswith(".dist-info"))
    return PathDistribution(folder)  # type: ignore[arg-type]  # a zipfile.Path does what it needs of a path


def extras(wheel: Path) -> list[str]:
    """Of the wheel, those that somebody who runs an agent can want."""
    return sorted(set(inside(wheel).metadata.get_all("Provides-Extra", [])) - FOR_DEVELOPERS)


def needed(found: Distribution, *extras: str) -> dict[str, str]:
    """Names of everything that a package needs here with these extras, directly or not, and the installed versions."""
    known: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(found, ("", *extras))]
    while waiting:
        one, wanted = waiting.pop()
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in wanted):
                continue
            name = canonicalize_name(requirement.name)
            further = ("", *sorted(requirement.extras))
            if (name, further) not in seen:
                seen.add((name, further))
                known[name] = distribution(name).version
                waiting.append((distribution(name), further))
    return known


@functools.cache
def lent(names: frozenset[str], place: Path) -> Path:
    """A folder from which these packages can be imported: links, file by file."""
    for name in sorted(names):
        found = distribution(name)
        for file in found.files or ():
            source = Path(str(found.locate_file(file)))
            if ".." in file.parts or "__pycache__" in file.parts or not source.exists():
                continue  # programs in bin/, and what Python makes by itself
            target = place / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.resolve())
    return place


def environment(place: Path, folders: Iterable[Path]) -> Path:
    """A new virtual environment that sees what lies in these folders; its `python`."""
    venv.create(place, with_pip=False, symlinks=True)
    (packages(place) / "lent.pth").write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")
    return place / "bin" / "python"


def packages(place: Path) -> Path:
    """Where the packages of an environment lie."""
    return place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def install(python: Path, wheel: Path) -> None:
    """As pip does it, for an environment without one."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", "--quiet"]
    subprocess.run([*command, str(wheel)], check=True, timeout=PATIENCE_S, env=CLEAN)


def repacked(names: Iterable[str], place: Path) -> None:
    """Wheels of installed packages, for a pip that reaches no index: what was unpacked, packed again."""
    for name in names:
        found = distribution(name)
        (info,) = {file.parts[0] for file in found.files or () if file.name == "WHEEL"}
        tag = re.findall(r"(?m)^Tag: (\S+)", found.read_text("WHEEL") or "")[0]
        kept = [file for file in found.files or () if ".." not in file.parts and "__pycache__" not in file.parts]
        with zipfile.ZipFile(place / f"{info.removesuffix('.dist-info')}-{tag}.whl", "w") as archive:
            for file in kept:
                if file.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                    archive.write(str(found.locate_file(file)), str(file))
            archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in archive.namelist()))
