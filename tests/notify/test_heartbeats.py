"""Heartbeats to a real receiver: what it gets, what becomes of failures, and that the URL stays a secret."""

import asyncio
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live import client, running, until
from peerscope.alerts.heartbeat import Beat, HeartbeatState, OpenIncident, is_whole
from peerscope.alerts.notification_log import HEARTBEAT, NOTIFIER
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.secret_files import Secret
from peerscope.notify.base import Sender
from peerscope.notify.heartbeats import FAILURES_MAX, QUEUE_MAX, Heartbeats, url_of
from peerscope.notify.settings import HeartbeatSettings
from receiver import Receiver, receiving

SECRET = "8f1c-hunter2"
INCIDENT = OpenIncident("host-m1-1", "host", "critical", "7 peers on one machine")
STATE = HeartbeatState(30, 28, 2, True, 3, {"high": 7}, (INCIDENT,), 1)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerscope.notify.heartbeats.PAUSE_S", 0.01)
    monkeypatch.setattr("peerscope.alerts.heartbeat.SETTLE_S", 0.2)


def heartbeats(url: str, **values: Any) -> Heartbeats:
    return Heartbeats(HeartbeatSettings(url=Secret(url), **values), Sender("testnet", "ab" * 32))


def sent(beats: Heartbeats, *signals: str, until: Callable[[], bool]) -> None:
    """Send, and go on until something holds."""

    async def going() -> None:
        task = asyncio.create_task(beats.run())
        for signal in signals:
            beats.offer(Beat(signal, STATE))  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while not until():
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(going())


def test_a_post_carries_the_state_and_each_signal_has_its_url(receiver: Receiver) -> None:
    beats = heartbeats(f"{receiver.url}/ping/{SECRET}?tag=a%20b")
    sent(beats, "start", "ok", "fail", until=lambda: beats.view().counts["delivered"] == 3)
    assert [request.path for request in receiver.requests] == [
        f"/ping/{SECRET}/start?tag=a%20b",
        f"/ping/{SECRET}?tag=a%20b",
        f"/ping/{SECRET}/fail?tag=a%20b",
    ]
    assert receiver.requests[1].json == {
        "version": 1,
        "network": "testnet",
        "sent_by": "ab" * 32,
        "signal": "ok",
        "peers": 30,
        "up": 28,
        "down": 2,
        "is_whole": True,
        "senders": 3,
        "alerts": {"high": 7},
        "incidents": [{"id": "host-m1-1", "kind": "host", "severity": "critical", "title": "7 peers on one machine"}],
        "incidents_total": 1,
    }
    assert beats.view().last_error is None


def test_a_get_has_no_body(receiver: Receiver) -> None:
    beats = heartbeats(f"{receiver.url}/ping/", method="GET")
    sent(beats, "ok", "start", until=lambda: len(receiver.requests) == 2)
    assert [(one.method, one.path, one.body) for one in receiver.requests] == [
        ("GET", "/ping/", b""),
        ("GET", "/ping/start", b""),
    ]


def test_a_failure_is_tried_again_counted_and_tells_no_secret(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 503
    beats = heartbeats(f"{receiver.url}/ping/{SECRET}")
    with caplog.at_level(logging.DEBUG):
        sent(beats, "ok", until=lambda: beats.view().counts["failed"] == 1)
    view = beats.view()
    assert len(receiver.requests) == 2
    assert view.last_error == "127.0.0.1 answers 503 Service Unavailable"
    assert (view.delivered_age_s, view.has_role) == (None, True)
    assert SECRET not in caplog.text + str(view) + repr(vars(beats)["_config"])
    receiver.status = 200
    sent(beats, "ok", until=lambda: beats.view().counts["delivered"] == 1)
    assert beats.view().last_error is None


def test_a_redirect_is_refused(receiver: Receiver) -> None:
    with receiving() as other:
        receiver.status, receiver.answer_headers = 302, {"Location": f"{other.url}/elsewhere"}
        beats = heartbeats(receiver.url)
        sent(beats, "ok", until=lambda: beats.view().counts["failed"] == 1)
        assert (len(receiver.requests), other.requests) == (1, [])


def test_a_url_that_fails_again_and_again_costs_the_role_until_later(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = 404
    beats = heartbeats(receiver.url)
    sent(beats, *["ok"] * FAILURES_MAX, until=lambda: beats.view().counts["failed"] == FAILURES_MAX)
    assert not beats.has_role
    monkeypatch.setattr("peerscope.notify.heartbeats.monotonic", lambda: 1e12)
    assert beats.has_role


def test_a_url_that_hangs_holds_up_one_thread_and_heartbeats_are_dropped(receiver: Receiver) -> None:
    receiver.free.clear()
    beats = heartbeats(receiver.url, timeout_s=0.2, interval_s=15.0)

    def is_full() -> bool:
        beats.offer(Beat("ok", STATE))
        return beats.view().counts["dropped"] > QUEUE_MAX

    sent(beats, "ok", until=is_full)
    assert len(receiver.requests) <= 3
    receiver.free.set()


@pytest.mark.parametrize("peers", range(12))
def test_at_least_half_of_the_peers_speak_for_the_network(peers: int) -> None:
    assert [is_whole(up, peers) for up in range(peers + 1)] == [up >= peers / 2 for up in range(peers + 1)]


def test_the_signal_goes_before_the_query() -> None:
    assert url_of("https://hc.example/a/b?x=1", "fail") == "https://hc.example/a/b/fail?x=1"
    assert url_of("https://hc.example/a/b/", "start") == "https://hc.example/a/b/start"
    assert url_of("https://hc.example/a/b/", "ok") == "https://hc.example/a/b/"


CHANNEL = '[notify.channels.ops]\nkind = "webhook"\nurl = "https://example.org/hook"\n'


def test_settings_come_from_file_and_environment_and_the_url_only_from_a_secret_place(tmp_path: Path) -> None:
    file, key = tmp_path / "settings.toml", tmp_path / "url"
    key.write_text(f"https://hc.example/{SECRET}\n")
    key.chmod(0o600)
    file.write_text(f'{CHANNEL}[notify.heartbeat]\nurl_file = "{key}"\ninterval_s = 30\nstart = true\n')
    found = Config.load(file, environment={"PEERSCOPE_NOTIFY__HEARTBEAT__TIMEOUT_S": "5"}).notify.heartbeat
    assert (found.interval_s, found.timeout_s, found.start, found.fail, found.is_wanted) == (30, 5, True, False, True)
    assert found.address() == f"https://hc.example/{SECRET}"
    given = Config.load(environment={"PEERSCOPE_NOTIFY__HEARTBEAT__URL": f"https://hc.example/{SECRET}"})
    assert given.notify.heartbeat.address() == f"https://hc.example/{SECRET}"
    assert SECRET not in repr(given)
    assert not Config.load(environment={}).notify.heartbeat.is_wanted


@pytest.mark.parametrize(
    ("table", "environment", "wish"),
    [
        ('url = "https://hc.example/hunter2"', {}, "notify.heartbeat.url is a secret"),
        ("interval_s = 1", {}, "must lie between 5 and 86400"),
        ("timeout_s = 30", {}, "a third of interval_s"),
        ("intervall_s = 30", {}, "did you mean `interval_s`"),
        ('method = "PUT"', {}, "notify.heartbeat.method"),
        ("", {"URL": "hunter2"}, "notify.heartbeat.url is no URL"),
        ("", {"URL": "https://a:hunter2@hc.example/"}, "holds a user name or password"),
        ('url_file = "/nowhere/hunter2"', {"URL": "https://hc.example/"}, "both set"),
    ],
)
def test_mistakes_are_told_by_name_and_without_the_url(
    tmp_path: Path, table: str, environment: dict[str, str], wish: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[notify.heartbeat]\n{table}\n")
    given = {f"PEERSCOPE_NOTIFY__HEARTBEAT__{key}": value for key, value in environment.items()}
    with pytest.raises(ConfigError) as told:
        Config.load(file, environment=given).notify.heartbeat.address()
    assert wish in str(told.value)
    if "url_file" not in table:
        assert "hunter2" not in "".join(traceback.format_exception(told.value))


def test_an_agent_with_channels_sends_and_shows_its_heartbeats(receiver: Receiver, tmp_path: Path) -> None:
    sections = {
        "notify": {
            "channels": {"hook": {"kind": "webhook", "url": f"{receiver.url}/hook"}},
            "heartbeat": {"url": f"{receiver.url}/ping/{SECRET}", "start": True},
        }
    }
    with running(tmp_path, **sections) as agent:
        until(lambda: len(_pings(receiver)) == 2, "it begins")
        assert _pings(receiver) == [f"/ping/{SECRET}/start", f"/ping/{SECRET}"]
        until(lambda: agent.loop.call(agent.monitor.self_view).heartbeat.counts["delivered"] == 2, "it is counted")
        with client(agent) as web:
            assert 'peerscope_heartbeats_total{outcome="delivered"} 2.0' in web.get("/metrics").text
            assert web.get("/api/v1/self").json()["heartbeat"]["last_error"] is None
        profile = agent.loop.call(lambda: agent.monitor.peer.ledger.profile(agent.monitor.peer.me))
        assert profile is not None
        assert profile.roles == (NOTIFIER, HEARTBEAT)
        body = next(request.json for request in receiver.requests if request.path == f"/ping/{SECRET}")
        assert (body["peers"], body["up"], body["is_whole"], body["sent_by"]) == (1, 1, True, agent.peer_id)


def test_an_agent_without_channels_sends_none_and_has_no_role(receiver: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, notify={"heartbeat": {"url": receiver.url}}) as agent:
        profile = agent.loop.call(lambda: agent.monitor.peer.ledger.profile(agent.monitor.peer.me))
        assert profile is not None
        assert profile.roles == ()
        assert agent.loop.call(agent.monitor.self_view).heartbeat is None
    assert receiver.requests == []


def test_a_url_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"notify\.heartbeat\.url is no URL"):
        with running(tmp_path, notify={"heartbeat": {"url": "nonsense"}}):
            pass


def _pings(receiver: Receiver) -> list[str]:
    return [request.path for request in receiver.requests if request.path.startswith("/ping")]
