"""A state directory in one file: complete, consistent while written to, and never put where it would harm."""

import io
import os
import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from peerscope.errors import ConfigError
from peerscope.history.schema import FILE, open_to_write
from peerscope.host.backup import CONTENTS, FILES_MAX, Contents, backup, restore
from peerscope.host.state import CONFIG_FILE, KEY_FILE, PEERS_FILE, STATE_VERSION, VERSION_FILE, StateDirectory
from peerscope.records.identity import PeerId, short


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.secret()
    state.config_file.write_text('[peer]\nregion = "here"\n')
    state.remember({PeerId(b"1" * 32): ("127.0.0.1:1",)})
    with closing(open_to_write(state.path / FILE)) as db:
        db.execute("INSERT INTO raw VALUES (1, x'01')")
    state.lock()
    state.unlock()
    return state


def rewritten(place: Path, change: dict[str, bytes] | None = None, **contents: object) -> Path:
    """The archive with members or its contents changed."""
    other = place.with_name("other.tar")
    with tarfile.open(place) as old, tarfile.open(other, "w") as new:
        for member in old.getmembers():
            source = old.extractfile(member)
            assert source is not None
            data = source.read()
            if member.name == CONTENTS:
                data = msgspec.json.encode(msgspec.json.decode(data) | contents)
            data = (change or {}).get(member.name, data)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return other


def test_everything_comes_back_in_another_place(state: StateDirectory, tmp_path: Path) -> None:
    contents = backup(state.path, tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert {one.name for one in contents.files} == {CONFIG_FILE, KEY_FILE, PEERS_FILE, FILE, VERSION_FILE}
    assert restore(tmp_path / "b", tmp_path / "new") == contents
    back = StateDirectory(tmp_path / "new")
    assert (back.secret(), back.remembered()) == (state.secret(), state.remembered())
    assert (back.path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert back.config_file.read_text() == state.config_file.read_text()
    with closing(sqlite3.connect(back.path / FILE)) as db:
        assert db.execute("SELECT id, data FROM raw").fetchall() == [(1, b"\x01")]


def test_what_is_written_meanwhile_does_not_tear_the_history(state: StateDirectory, tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        with closing(open_to_write(state.path / FILE)) as db:
            number = 2
            while not done.is_set():
                db.execute("BEGIN IMMEDIATE")
                db.execute("INSERT INTO raw VALUES (?, ?)", (number, bytes(4096)))
                db.execute("INSERT INTO minute VALUES (?, ?)", (number, bytes(4096)))
                db.execute("COMMIT")
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(state.path, tmp_path / f"b{number}")
    finally:
        done.set()
        writer.join()
    restore(tmp_path / "b4", tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / "new" / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ((raw, minute),) = db.execute("SELECT (SELECT count(*) FROM raw WHERE id > 1), (SELECT count(*) FROM minute)")
        assert raw == minute


def test_a_journal_of_another_history_is_not_mixed_with_the_one_that_comes_back(
    state: StateDirectory, tmp_path: Path
) -> None:
    backup(state.path, tmp_path / "b")
    (state.path / f"{FILE}-wal").write_bytes(b"of another life")
    restore(tmp_path / "b", state.path)
    assert not (state.path / f"{FILE}-wal").exists()


def test_a_file_that_is_there_is_never_overwritten(state: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        backup(state.path, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"


def test_without_a_key_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"identity\.key"):
        backup(tmp_path, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_another_peers_place_is_refused_unless_forced_and_its_key_is_kept(
    state: StateDirectory, tmp_path: Path
) -> None:
    backup(state.path, tmp_path / "b")
    other = StateDirectory(tmp_path / "other")
    theirs, name = other.secret(), short(other.identity().peer_id)
    with pytest.raises(ConfigError, match=rf"another peer, {name}.*--force"):
        restore(tmp_path / "b", other.path)
    assert other.secret() == theirs
    assert not other.config_file.exists()
    restore(tmp_path / "b", other.path, force=True)
    assert other.secret() == state.secret()
    assert (other.path / f"{KEY_FILE}.of-{name}").read_text().strip() == theirs.hex()


def test_under_a_running_agent_nothing_is_put(state: StateDirectory, tmp_path: Path) -> None:
    backup(state.path, tmp_path / "b")
    state.lock()
    with pytest.raises(ConfigError, match="in use by another agent"):
        restore(tmp_path / "b", state.path)
    state.unlock()
    restore(tmp_path / "b", state.path)


def test_an_archive_of_a_later_peerscope_is_refused(state: StateDirectory, tmp_path: Path) -> None:
    backup(state.path, tmp_path / "b")
    later = rewritten(tmp_path / "b", state_version=STATE_VERSION + 1, peerscope="9.9")
    with pytest.raises(ConfigError, match=r"later peerscope, 9\.9.*upgrade"):
        restore(later, tmp_path / "new")
    assert [place.name for place in (tmp_path / "new").iterdir() if place.name == KEY_FILE] == []


@pytest.mark.parametrize("name", [KEY_FILE, FILE, PEERS_FILE])
def test_an_archive_that_was_changed_is_refused_whole(state: StateDirectory, tmp_path: Path, name: str) -> None:
    backup(state.path, tmp_path / "b")
    before = (state.path / name).read_bytes()
    damaged = rewritten(tmp_path / "b", {name: bytes(len(before)) if name != KEY_FILE else b"0" * len(before)})
    with pytest.raises(ConfigError, match="damaged"):
        restore(damaged, state.path)
    assert (state.path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", ".hidden", ""])
def test_names_that_lead_elsewhere_are_refused(state: StateDirectory, tmp_path: Path, name: str) -> None:
    contents = backup(state.path, tmp_path / "b")
    files = [msgspec.to_builtins(one) | {"name": name} for one in contents.files]
    with pytest.raises(ConfigError, match="damaged"):
        restore(rewritten(tmp_path / "b", files=files), tmp_path / "new")


@pytest.mark.parametrize("length", [0, 100, 512, 2000, 5000])
def test_half_an_archive_is_no_archive(state: StateDirectory, tmp_path: Path, length: int) -> None:
    backup(state.path, tmp_path / "b")
    (tmp_path / "half").write_bytes((tmp_path / "b").read_bytes()[:length])
    with pytest.raises(ConfigError, match=r"no backup|damaged"):
        restore(tmp_path / "half", tmp_path / "new")


def test_the_lock_and_what_is_half_written_are_left_out(state: StateDirectory, tmp_path: Path) -> None:
    (state.path / "peers.new").write_text("half")
    (state.path / "folder").mkdir()
    (state.path / "link").symlink_to("folder")
    os.mkfifo(state.path / "pipe")
    (state.path / f"{PEERS_FILE}.damaged-20261129-120000").write_text("[")
    names = {one.name for one in backup(state.path, tmp_path / "b").files}
    assert names == {CONFIG_FILE, KEY_FILE, PEERS_FILE, FILE, VERSION_FILE}


@pytest.mark.parametrize("name", [KEY_FILE, CONFIG_FILE, PEERS_FILE, FILE])
def test_a_file_behind_links_is_in_the_backup(state: StateDirectory, tmp_path: Path, name: str) -> None:
    """As Kubernetes mounts secrets: a link to a file below a folder that is a link itself."""
    before = backup(state.path, tmp_path / "before")
    (state.path / "..2026").mkdir()
    os.replace(state.path / name, state.path / "..2026" / name)
    (state.path / "..data").symlink_to("..2026")
    (state.path / name).symlink_to(Path("..data") / name)
    assert backup(state.path, tmp_path / "b").files == before.files
    restore(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new" / name).is_symlink()
    assert StateDirectory(tmp_path / "new").secret() == state.secret()


def test_a_link_that_leads_nowhere_is_refused_with_its_name(state: StateDirectory, tmp_path: Path) -> None:
    state.config_file.unlink()
    state.config_file.symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match=f"{state.config_file} is a broken symbolic link"):
        backup(state.path, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_file_that_no_restore_would_take_is_refused_with_its_name(state: StateDirectory, tmp_path: Path) -> None:
    (state.path / "my notes.txt").write_text("of an operator")
    with pytest.raises(ConfigError, match=r"my notes\.txt is not a file of an agent"):
        backup(state.path, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("count", [1, FILES_MAX])
def test_a_backup_that_cannot_be_read_back_is_no_success(state: StateDirectory, tmp_path: Path, count: int) -> None:
    for number in range(count):
        (state.path / f"more-{number}").write_text("")
    if count < FILES_MAX - 5:
        assert len(backup(state.path, tmp_path / "b").files) == 5 + count
        return
    with pytest.raises(ConfigError, match=r"the backup failed.*nothing was kept"):
        backup(state.path, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_backup_that_fails_leaves_no_file(state: StateDirectory, tmp_path: Path) -> None:
    (state.path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigError, match="nothing was kept"):
        backup(state.path, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_contents_name_the_peer_and_the_time(state: StateDirectory, tmp_path: Path) -> None:
    contents = backup(state.path, tmp_path / "b")
    assert isinstance(contents, Contents)
    assert contents.peer_id == state.identity().peer_id.hex()


def test_a_state_directory_of_a_later_peerscope_is_refused_and_let_go(state: StateDirectory) -> None:
    (state.path / VERSION_FILE).write_text(f"{STATE_VERSION + 1}\n")
    for _ in range(2):  # the refusal lets go of the lock
        with pytest.raises(ConfigError, match=r"written by a later peerscope.*upgrade"):
            state.lock()
    (state.path / VERSION_FILE).write_text(f"{STATE_VERSION}\n")
    state.lock()
    state.unlock()


def test_a_backup_from_before_an_upgrade_leads_back(state: StateDirectory, tmp_path: Path) -> None:
    backup(state.path, tmp_path / "b")
    (state.path / VERSION_FILE).write_text(f"{STATE_VERSION + 1}\n")
    restore(tmp_path / "b", state.path)
    state.lock()
    state.unlock()


def test_the_first_agent_marks_its_directory(tmp_path: Path) -> None:
    fresh = StateDirectory(tmp_path)
    fresh.lock()
    fresh.unlock()
    assert (tmp_path / VERSION_FILE).read_text() == f"{STATE_VERSION}\n"
