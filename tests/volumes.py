"""Real file systems that tests fill up, or take the right to write from."""

import contextlib
import subprocess
from pathlib import Path


def mount(*arguments: str) -> bool:
    """Only root can, and only on Linux."""
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def fill(place: Path) -> None:
    with (place / "others").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))


def remount(place: Path, how: str) -> None:
    assert mount("-o", f"remount,{how}", str(place))
