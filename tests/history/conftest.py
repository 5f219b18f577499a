"""A file system to spoil."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from volumes import mount


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own, mounted."""
    place = tmp_path / "volume"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)):
        pytest.skip("file systems can only be mounted by root, on Linux")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
