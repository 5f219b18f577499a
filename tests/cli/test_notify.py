"""`notify-test`: one message through every channel, and the truth about each."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from receiver import Receiver, receiving

Outcome = tuple[int, str, str]
SECRET = "hunter2-hunter2"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> str:
    """A webhook and a Slack, both at the receiver."""
    monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__CHAT__URL", f"{receiver.url}/chat/{SECRET}")
    file = tmp_path / "settings.toml"
    file.write_text(
        f'[notify.channels.ops]\nkind = "webhook"\nurl = "{receiver.url}/ops"\n[notify.channels.chat]\nkind = "slack"\n'
    )
    return str(file)


Command = Callable[..., Outcome]


def test_every_channel_gets_one_message(peerscope: Command, settings: str, receiver: Receiver) -> None:
    code, said, complaint = peerscope("notify-test", "--config", settings)
    assert (code, complaint) == (0, "")
    assert [line.split()[0] for line in said.splitlines()] == ["chat", "ops"]
    assert said.count("delivered") == 2
    assert sorted(request.path for request in receiver.requests) == [f"/chat/{SECRET}", "/ops"]
    (hook,) = [request.json for request in receiver.requests if request.path == "/ops"]
    assert hook["alerts"][0]["title"] == "Test message"
    assert SECRET not in said


def test_one_channel_alone(peerscope: Command, settings: str, receiver: Receiver) -> None:
    code, _, _ = peerscope("notify-test", "--channel", "ops", "--config", settings)
    assert code == 0
    assert [request.path for request in receiver.requests] == ["/ops"]


def test_a_failure_is_told_with_its_reason_and_exit_code_one(
    peerscope: Command, settings: str, receiver: Receiver
) -> None:
    receiver.status = 403
    code, said, _ = peerscope("notify-test", "--json", "--config", settings)
    trials = json.loads(said)
    assert code == 1
    assert [(t["channel"], t["kind"], t["delivered"]) for t in trials] == [
        ("chat", "slack", False),
        ("ops", "webhook", False),
    ]
    assert all("answers 403" in t["error"] and t["seconds"] >= 0 for t in trials)
    assert SECRET not in said
    assert len(receiver.requests) == 2, "a test is no place for repetition"


def test_a_channel_that_cannot_be_used_does_not_keep_the_others_from_theirs(
    peerscope: Command, settings: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PEERSCOPE_NOTIFY__CHANNELS__CHAT__URL")
    code, said, _ = peerscope("notify-test", "--config", settings)
    assert code == 1
    assert "notify.channels.chat.url is missing" in said
    assert [request.path for request in receiver.requests] == ["/ops"]


def test_what_there_is_not_ends_with_two_and_one_line(peerscope: Command, settings: str, tmp_path: Path) -> None:
    code, _, complaint = peerscope("notify-test", "--channel", "pager", "--config", settings)
    assert (code, complaint) == (2, "peerscope: no channel is called 'pager'; there are chat, ops\n")
    (tmp_path / "empty.toml").write_text("")
    code, _, complaint = peerscope("notify-test", "--config", str(tmp_path / "empty.toml"), "--state", str(tmp_path))
    assert code == 2
    assert "notify.channels" in complaint


def test_check_config_looks_at_channels_too(peerscope: Command, settings: str, tmp_path: Path) -> None:
    assert peerscope("check-config", settings)[0] == 0
    key = tmp_path / "key"
    key.write_text(SECRET)
    key.chmod(0o644)
    file = tmp_path / "other.toml"
    file.write_text(f'[notify.channels.chat]\nkind = "slack"\nurl_file = "{key}"\n')
    code, _, complaint = peerscope("check-config", str(file))
    assert code == 2
    assert SECRET not in complaint
