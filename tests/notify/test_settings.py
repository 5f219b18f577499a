"""`[notify]`: mistakes are told by name, and secrets nowhere."""

import json
import os
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest

from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.secret_files import Secret, read_secret
from peerscope.notify.base import make_channels
from peerscope.notify.settings import KINDS, SmtpConfig, WebhookConfig

SECRET = "hunter2-hunter2"
MAIL = 'kind = "smtp"\nhost = "mail.example.org"\nsender = "a@example.org"\nto = ["b@example.org"]\n'


def written(place: Path, text: str) -> Path:
    file = place / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(place: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as told:
        make_channels(Config.load(written(place, text), environment=environment).notify)
    assert SECRET not in "".join(traceback.format_exception(told.value))
    return str(told.value)


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # apprise's own, on Python 3.11 and 3.12
def test_channels_of_all_kinds_are_made_from_file_and_environment(tmp_path: Path) -> None:
    text = (
        '[notify]\nmin_severity = "high"\ngroup_wait_s = 1\n'
        '[notify.channels.hook]\nkind = "webhook"\nurl = "https://example.org/hook"\nescalation = true\n'
        '[notify.channels.chat]\nkind = "slack"\n'
        f"[notify.channels.mail]\n{MAIL}"
        '[notify.channels.am]\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n'
        '[notify.channels.any]\nkind = "apprise"\n'
    )
    environment = {
        "PEERSCOPE_NOTIFY__CHANNELS__HOOK__SECRET": SECRET,
        "PEERSCOPE_NOTIFY__CHANNELS__CHAT__URL": f"https://hooks.slack.com/services/{SECRET}",
        "PEERSCOPE_NOTIFY__CHANNELS__ANY__URL": f"json://user:{SECRET}@127.0.0.1",
        "PEERSCOPE_NOTIFY__CHANNELS__MAIL__TO": "x@example.org,y@example.org",
        "PEERSCOPE_NOTIFY__CHANNELS__MAIL__TIMEOUT_S": "5",
    }
    config = Config.load(written(tmp_path, text), environment=environment)
    assert sorted(make_channels(config.notify)) == ["am", "any", "chat", "hook", "mail"]
    assert config.notify.channels["hook"].escalation is True
    mail = config.notify.channels["mail"]
    assert isinstance(mail, SmtpConfig)
    assert (mail.to, mail.timeout_s) == (("x@example.org", "y@example.org"), 5.0)
    assert config.plain()["notify"]["channels"]["hook"]["secret"] == SECRET
    assert config.plain()["peer"] == msgspec.to_builtins(config.peer)
    assert SECRET not in repr(config)
    assert SECRET not in f"{config}"


@pytest.mark.parametrize(
    ("kind", "key"),
    [*((kind, "secret") for kind in sorted(KINDS)), ("slack", "url"), ("apprise", "url")],
)
def test_a_secret_in_the_file_is_refused_with_where_it_belongs(tmp_path: Path, kind: str, key: str) -> None:
    told = refusal(tmp_path, f'[notify.channels.ops]\nkind = "{kind}"\n{key} = "{SECRET}"\n')
    assert told.startswith(f"{tmp_path / 'settings.toml'}: notify.channels.ops.{key} is a secret")
    assert f"PEERSCOPE_NOTIFY__CHANNELS__OPS__{key.upper()}" in told
    assert f"{key}_file" in told


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ('kind = "webhok"', ["notify.channels.ops.kind", "'webhok'", "did you mean `webhook`"]),
        ('url = "http://example.org"', ["notify.channels.ops.kind", "known are webhook, slack"]),
        ('kind = "webhook"\nurll = "x"', ["notify.channels.ops", "`urll`", "did you mean `url`"]),
        ('kind = "webhook"', ["notify.channels.ops.url is missing", "PEERSCOPE_NOTIFY__CHANNELS__OPS__URL"]),
        ('kind = "slack"', ["notify.channels.ops.url is missing", "url_file"]),
        ('kind = "apprise"', ["notify.channels.ops.url is missing", "url_file"]),
        ('kind = "webhook"\nurl = "example.org"', ["notify.channels.ops.url", "no URL"]),
        ('kind = "webhook"\nurl = 5', ["notify.channels.ops.url"]),
        ('kind = "webhook"\ntimeout_s = 0', ["notify.channels.ops", "timeout_s is 0", "60"]),
        ('kind = "webhook"\nrate_per_minute = 0', ["rate_per_minute", "6000"]),
        ('kind = "webhook"\nescalation = "maybe"', ["notify.channels.ops.escalation", "bool"]),
        ('kind = "smtp"', ["notify.channels.ops", "host"]),
        (MAIL.replace("b@example.org", "b@example.org\\nBcc: c@example.org"), ["notify.channels.ops", "mail address"]),
        (MAIL.replace("a@example.org", "nobody"), ["'nobody'", "mail address"]),
        (MAIL.replace('["b@example.org"]', "[]"), ["to must list"]),
        (MAIL + 'security = "none"\nusername = "u"', ["starttls"]),
        (MAIL + 'security = "tsl"', ["notify.channels.ops.security"]),
        ('kind = "webhook"\nurl = "http://e.org"\nurl_file = "x"', ["notify.channels.ops.url and", "both set"]),
        ('kind = "webhook"\nurl_file = "/nonexistent"', ["notify.channels.ops.url_file", "cannot be read"]),
    ],
)
def test_a_mistake_names_the_channel_and_the_wish(tmp_path: Path, text: str, wishes: list[str]) -> None:
    told = refusal(tmp_path, f"[notify.channels.ops]\n{text}\n")
    assert [wish for wish in wishes if wish not in told] == []
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ('[notify]\nmin_severity = "worst"', ["notify.min_severity", "worst"]),
        ("[notify]\ngroup_wait_s = -1", ["notify.group_wait_s"]),
        ("[notify]\nescalate_after = 5", ["escalate_after", "did you mean `escalate_after_s`"]),
        ('[notify]\nurl = "nowhere"', ["notify.url"]),
        ('[notify]\ntrusted = ["ab"]', ["notify.trusted", "64"]),
        ('[notify.channels.Ops-1]\nkind = "webhook"', ["notify.channels.Ops-1", "small letters"]),
        ("[notify]\nchannels = 5", ["notify.channels"]),
        ("[notify.channels]\nops = 5", ["notify.channels.ops", "table"]),
    ],
)
def test_a_mistake_in_the_section_is_named(tmp_path: Path, text: str, wishes: list[str]) -> None:
    told = refusal(tmp_path, text)
    assert [wish for wish in wishes if wish not in told] == []


def test_a_channel_that_only_the_environment_knows_lacks_its_kind() -> None:
    with pytest.raises(ConfigError, match=r"environment: notify\.channels\.ops\.kind"):
        Config.load(environment={"PEERSCOPE_NOTIFY__CHANNELS__OPS__SECRET": SECRET})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o620])
def test_a_file_that_others_can_read_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET)
    key.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {key}"):
        read_secret(str(key), "notify.channels.ops.secret_file")
    key.chmod(0o600)
    assert read_secret(str(key), "x").reveal() == SECRET


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"one\ntwo", b"x" * 5000])
def test_a_file_without_a_secret_is_told(tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="holds no secret"):
        read_secret(str(key), "x")


def test_neither_a_directory_nor_a_pipe_holds_up_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError):
            read_secret(str(place), "x")


def test_a_secret_shows_nowhere() -> None:
    secret = Secret(SECRET)
    config = WebhookConfig(kind="webhook", secret=secret)
    assert SECRET not in f"{secret} {secret!r} {secret:>20} {config}" + "%s" % secret  # noqa: UP031
    for encode in (msgspec.json.encode, msgspec.to_builtins, json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as told:
            encode(secret)  # type: ignore[operator]
        assert SECRET not in str(told.value)
    assert secret.reveal() == SECRET
