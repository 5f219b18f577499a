"""Secrets that nobody named go only to those who could read them anyway."""

import os
from pathlib import Path

import pytest

from peerscope.errors import SourceError
from peerscope.sources import own_secrets
from peerscope.sources.own_secrets import check_listener

ADVICE = "#token_file=PATH"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("s3cret")
    return tmp_path / "key"


def listening(monkeypatch: pytest.MonkeyPatch, *uids: int) -> None:
    monkeypatch.setattr(own_secrets, "owner_uids", lambda host, port: frozenset(uids))


def test_the_owner_of_the_file_and_root_may_have_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    for uids in ([me], [0], [0, me]):
        listening(monkeypatch, *uids)
        check_listener(file, "127.0.0.1", 8384, ADVICE)
        check_listener(file, "127.0.0.1", 8384, ADVICE, ports={8384})


def test_another_user_does_not_get_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.geteuid() + 7
    for uids in ([other], [0, other], [os.geteuid(), other]):
        listening(monkeypatch, *uids)
        with pytest.raises(SourceError, match=rf"without #token_file=PATH: user {other} listens at 127.0.0.1:8384"):
            check_listener(file, "127.0.0.1", 8384, ADVICE)


def test_a_port_that_the_settings_of_the_program_do_not_name_does_not_get_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening(monkeypatch, os.geteuid())
    with pytest.raises(SourceError, match=r"without #token_file=PATH: .* name port 8384, and this is 127.0.0.1:20777"):
        check_listener(file, "127.0.0.1", 20777, ADVICE, ports={8384})


def test_another_machine_does_not_get_it(file: Path) -> None:
    for host in ("192.0.2.1", "h.example", "127.0.0.1.example"):
        with pytest.raises(SourceError, match=r"#token_file=PATH.* is not on this machine"):
            check_listener(file, host, 8384, ADVICE)


def test_where_the_system_does_not_say_nobody_gets_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_secrets, "owner_uids", lambda host, port: None)
    with pytest.raises(SourceError, match=r"#token_file=PATH.* does not say who listens"):
        check_listener(file, "127.0.0.1", 8384, ADVICE)


def test_nobody_gets_it_where_nobody_listens(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch)
    with pytest.raises(SourceError, match="nobody listens"):
        check_listener(file, "127.0.0.1", 8384, ADVICE)
    listening(monkeypatch, os.geteuid())
    with pytest.raises(SourceError, match="cannot be read"):
        check_listener(file.with_name("gone"), "127.0.0.1", 8384, ADVICE)
