"""The state directory: a key made once and kept secret, one agent at a time, and peers remembered."""

import os
from pathlib import Path

import pytest

from peerscope.errors import ConfigError
from peerscope.host.damaged_files import ALL_MAX, SAME_MAX, damaged_files, put_damaged_aside
from peerscope.host.state import (
    CONFIG_FILE,
    KEY_FILE,
    LOCK_FILE,
    PEERS_FILE,
    STATE_VERSION,
    VERSION_FILE,
    ZONE_FILE,
    StateDirectory,
    default_state,
)
from peerscope.records.identity import PeerId

ONE, TWO = PeerId(b"1" * 32), PeerId(b"2" * 32)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    key = tmp_path / "state" / KEY_FILE
    secret = state.secret()
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert state.secret() == secret
    assert key.read_bytes() == before


def test_the_next_start_is_the_same_peer_and_another_directory_another(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path / "a").identity().peer_id
    assert StateDirectory(tmp_path / "a").identity().peer_id == first
    assert StateDirectory(tmp_path / "b").identity().peer_id != first


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_a_key_that_others_can_read_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    StateDirectory(tmp_path).secret()
    key = tmp_path / KEY_FILE
    key.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {key}"):
        StateDirectory(tmp_path).secret()
    key.chmod(0o600)
    assert StateDirectory(tmp_path).secret()


@pytest.mark.parametrize("damage", [b"", b"ab" * 31, b"ab" * 33, b"no hexadecimal", b"\xff\xfe", b"ab" * 32 + b"\nab"])
def test_a_damaged_key_is_refused_and_left_as_it_is(tmp_path: Path, damage: bytes) -> None:
    key = tmp_path / KEY_FILE
    key.write_bytes(damage)
    key.chmod(0o600)
    with pytest.raises(ConfigError, match=r"damaged.*backup"):
        StateDirectory(tmp_path).secret()
    assert key.read_bytes() == damage


def test_a_second_agent_is_kept_out_until_the_first_lets_go(tmp_path: Path) -> None:
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    first.lock()
    with pytest.raises(ConfigError, match=f"{tmp_path} is in use by another agent.*--state"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_letting_go_twice_or_of_nothing_is_harmless(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.unlock()
    state.lock()
    state.unlock()
    state.unlock()


def test_peers_are_remembered_for_the_next_start(tmp_path: Path) -> None:
    peers = {ONE: ("10.0.0.1:1", "[::1]:2"), TWO: ()}
    StateDirectory(tmp_path).remember(peers)
    assert StateDirectory(tmp_path).remembered() == peers
    StateDirectory(tmp_path).remember({TWO: ("10.0.0.2:1",)})
    assert StateDirectory(tmp_path).remembered() == {TWO: ("10.0.0.2:1",)}
    assert [place.name for place in tmp_path.iterdir()] == [PEERS_FILE]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[",
        b"null",
        b"5",
        b'{"peer_id": "00"}',
        b"[5]",
        b'[{"peer_id": 5, "addresses": []}]',
        b'[{"peer_id": "zz", "addresses": []}]',
        b'[{"peer_id": "00", "addresses": []}]',
        b'[{"addresses": []}]',
        b"\xff\xfe",
    ],
)
def test_a_damaged_memory_is_an_empty_one_and_is_kept_beside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / PEERS_FILE).write_bytes(damage)
    for _ in range(2):
        assert StateDirectory(tmp_path).remembered() == {}
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith(f"{PEERS_FILE}.damaged-2")
    assert aside.read_bytes() == damage
    assert len(caplog.records) == 1
    assert f"{tmp_path / PEERS_FILE} was damaged" in caplog.text


def test_what_is_no_file_at_all_is_put_aside_too(tmp_path: Path) -> None:
    (tmp_path / PEERS_FILE).mkdir()
    state = StateDirectory(tmp_path)
    assert state.remembered() == {}
    state.remember({ONE: ()})
    assert state.remembered() == {ONE: ()}
    assert [place.is_dir() for place in damaged_files(tmp_path)] == [True]


@pytest.mark.parametrize("damage", [b"", b"\n", b"one", b"-1", b"1.0", b"\xff\xfe", "\u0663".encode(), b"9" * 5000])
def test_a_damaged_version_is_mended_and_kept_beside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / VERSION_FILE).write_bytes(damage)
    for _ in range(2):
        state = StateDirectory(tmp_path)
        state.lock()
        state.unlock()
    assert (tmp_path / VERSION_FILE).read_text() == f"{STATE_VERSION}\n"
    assert [place.read_bytes() for place in damaged_files(tmp_path)] == [damage]
    assert len(caplog.records) == 1


def test_a_good_version_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / VERSION_FILE).write_bytes(b"1")
    StateDirectory(tmp_path).lock()
    assert (tmp_path / VERSION_FILE).read_bytes() == b"1"
    assert (damaged_files(tmp_path), caplog.records) == ([], [])


def test_damaged_files_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(2 * SAME_MAX):
        (tmp_path / PEERS_FILE).write_text(f"damage {number}")
        StateDirectory(tmp_path).remembered()
    kept = {place.read_text() for place in damaged_files(tmp_path)}
    assert kept == {f"damage {number}" for number in range(SAME_MAX, 2 * SAME_MAX)}
    for number in range(2 * ALL_MAX):
        (tmp_path / f"file-{number:02}").write_text("")
        put_damaged_aside(tmp_path / f"file-{number:02}", "empty", "nothing is lost")
    assert len(damaged_files(tmp_path)) == ALL_MAX


def test_a_damaged_file_that_cannot_be_moved_is_told_and_taken_for_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert put_damaged_aside(tmp_path / "gone", "empty", "nothing is lost") is None
    assert "cannot be put aside" in caplog.text


def test_without_a_memory_nobody_is_remembered(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path).remembered() == {}


def test_the_zone_is_remembered_for_the_next_start(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path).remembered_zone() == ""
    StateDirectory(tmp_path).remember_zone("eu-west/01")
    assert StateDirectory(tmp_path).remembered_zone() == "eu-west/01"


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"x" * 65, b"eu\x00/"])
def test_a_damaged_zone_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / ZONE_FILE).write_bytes(damage)
    assert StateDirectory(tmp_path).remembered_zone() == ""
    kept = [place.read_bytes() for place in damaged_files(tmp_path)]
    assert kept == ([damage] if damage else [])  # an empty one means the whole network


def test_a_directory_that_cannot_be_made_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{tmp_path / 'file' / 'state'}.*--state"):
        StateDirectory(tmp_path / "file" / "state")
    with pytest.raises(ConfigError, match=f"{tmp_path / 'file'}.*--state"):
        StateDirectory(tmp_path / "file")


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()  # as good as a directory without the right to write, even for root
    with pytest.raises(ConfigError, match=str(tmp_path)):
        StateDirectory(tmp_path).lock()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_the_right_to_write_is_told(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    (tmp_path / "state").chmod(0o500)
    for action in (state.lock, state.secret):
        with pytest.raises(ConfigError, match=str(tmp_path / "state")):
            action()


def test_the_settings_lie_beside_the_key(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path).config_file == tmp_path / CONFIG_FILE


def test_state_has_a_home_where_the_desktop_standard_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state() == tmp_path / "peerscope"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_state() == tmp_path / ".local" / "state" / "peerscope"
