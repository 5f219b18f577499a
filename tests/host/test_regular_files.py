"""Files whose path others may have chosen."""

import os
from pathlib import Path

import pytest

from peerscope.host.regular_files import read_regular


def test_a_regular_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_regular(tmp_path / "a", 100) == b"abcdef"
    assert read_regular(tmp_path / "b", 3) == b"abc"


def test_nothing_else_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/null"), Path("/dev/tty")):
        with pytest.raises(OSError, match="no regular file") as refused:
            read_regular(path, 1)
        assert refused.value.strerror == "it is no regular file"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nowhere", 1)


def test_a_file_that_becomes_a_fifo_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    os.mkfifo(tmp_path / "fifo")
    earlier = os.stat(tmp_path / "a")
    monkeypatch.setattr(os, "stat", lambda *_, **__: earlier)
    with pytest.raises(OSError, match="no regular file"):
        read_regular(tmp_path / "fifo", 1)
