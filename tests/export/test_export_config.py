"""Settings of exports: mistakes are told by key, secrets never."""

from typing import Any

import pytest

from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.export.config import host_and_port

URL = "http://127.0.0.1:8428/api/v1/write"


def load(**export: Any) -> Config:
    return Config.load(environment={}, options={"export": export})


def refusal(**export: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**export)
    return str(caught.value)


def test_nothing_is_exported_by_itself() -> None:
    export = Config().export
    assert (export.remote_write.url, export.otlp.endpoint, export.per_peer, export.address) == ("", "", False, "")


def test_the_environment_reaches_the_inner_tables() -> None:
    config = Config.load(environment={"PEERSCOPE_EXPORT__REMOTE_WRITE__URL": URL, "PEERSCOPE_EXPORT__PER_PEER": "true"})
    assert (config.export.remote_write.url, config.export.per_peer) == (URL, True)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"url": "ftp://x/"}, "is no URL of http or https"),
    ({"url": "http://"}, "is no URL of http or https"),
    ({"url": "http://host:port/"}, "is no URL of http or https"),
    ({"url": "127.0.0.1:8428"}, "is no URL of http or https"),
    ({"url": "https://me:hunter2@host/"}, "have settings of their own"),
    ({"mode": "some"}, "Invalid enum value"),
    ({"interval_s": 0.5}, "must lie between 1 and 3600"),
    ({"interval_s": float("nan")}, "must lie between 1 and 3600"),
    ({"timeout_s": 0}, "must lie between 1 and 600"),
    ({"queue_bytes_max": 1000}, "1 MiB"),
    ({"batch_samples_max": 0}, "must lie between"),
    ({"username": "me"}, "go together"),
    ({"password_file": "/x"}, "go together"),
    ({"bearer_token_file": "/x", "username": "me", "password_file": "/y"}, "carries only one"),
    ({"headers": {"Authorization": "hunter2"}}, "use bearer_token_file"),
    ({"headers": {"content-ENCODING": "gzip"}}, "set by peerscope itself"),
    ({"headers": {"X-Prometheus-Remote-Write-Version": "9"}}, "set by peerscope itself"),
    ({"headers": {"X-Key": "hunter2\r\nEvil: 1"}}, "is not valid in a request"),
    ({"headers": {"X Key": "hunter2"}}, "is not valid in a request"),
    ({"headers": {"X-Key": ""}}, "is not valid in a request"),
    ({"headers": {"X-Key": "hünter2"}}, "is not valid in a request"),
]


@pytest.mark.parametrize(("section", "reason"), MISTAKES, ids=[str(section) for section, _ in MISTAKES])
def test_a_mistake_about_remote_write_is_told_without_its_secret(section: dict[str, Any], reason: str) -> None:
    told = refusal(remote_write=section)
    assert reason in told
    assert "remote_write" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("otlp", [{"endpoint": "collector"}, {"sample_ratio": 1.5}, {"sample_ratio": -1}])
def test_a_mistake_about_traces_is_told(otlp: dict[str, Any]) -> None:
    assert "export.otlp" in refusal(otlp=otlp)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("10.0.0.1", "10.0.0.1:9"),
        ("peer.example.org", "peer.example.org:9"),
        ("peer.example.org:80", "peer.example.org:80"),
        ("[2001:db8::1]", "[2001:db8::1]:9"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
    ],
)
def test_an_address_may_leave_out_its_port(address: str, shown: str) -> None:
    assert host_and_port(address, 9) == shown
    assert load(address=address).export.address == address


@pytest.mark.parametrize("address", ["http://x", "a b", "x:port", "x:99999", "x/metrics", 'x"y:1', "x\ny:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert "export.address" in refusal(address=address)
