"""A real Alertmanager receives our alerts, takes those of two senders for one, and ends them."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from demo_network import eventually, free_address
from letters import SENDER, letter
from notices import alert, group
from peerscope.errors import DeliveryError
from peerscope.host.secret_files import Secret
from peerscope.notify.base import Follower, Letter, Sender
from peerscope.notify.http import LIVE_S, Alertmanager
from peerscope.notify.settings import AlertmanagerConfig
from receiver import Receiver, receiving

CONFIG = """\
route: {receiver: hook, group_by: [alertname, network], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "%s", send_resolved: true}]}]
"""


class Running:
    """An Alertmanager and what it tells."""

    def __init__(self, url: str, receiver: Receiver) -> None:
        self.url = url
        self.receiver = receiver

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=10) as answer:
            return json.load(answer)

    def told(self) -> list[tuple[str, str]]:
        """(status, id) of every alert in every notification, in order."""
        return [(one["status"], one["labels"]["id"]) for r in self.receiver.requests for one in r.json["alerts"]]


@pytest.fixture(scope="module")
def running(need: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    program, place = need("prometheus-alertmanager"), tmp_path_factory.mktemp("alertmanager")
    address = free_address()
    with receiving() as receiver:
        (place / "config.yml").write_text(CONFIG % receiver.url)
        command = [program, f"--config.file={place / 'config.yml'}", f"--storage.path={place}"]
        command += [f"--web.listen-address={address}", "--cluster.listen-address="]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            found = Running(f"http://{address}", receiver)
            eventually(lambda: found.alerts() == [], "it answers", within_s=60)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=30)


def channel(url: str, **values: Any) -> Alertmanager:
    return Alertmanager("am", AlertmanagerConfig(kind="alertmanager", url=Secret(url), **values))


def recent(what: str = "firing", **of: Any) -> Letter:
    """A letter about alerts that fire since a minute."""
    at = time.time()
    began = at - 60
    over = {"state": "resolved", "resolved_at": at} if what == "resolved" else {}
    alerts = tuple(replace(one, started_at=began, **over) for one in of.pop("alerts"))
    return letter(what, at=at, alerts=alerts, started_at=began, **of)


@pytest.mark.tools
def test_it_receives_takes_two_senders_for_one_and_resolves(running: Running) -> None:
    one, other = channel(running.url), channel(running.url)
    alerts = (alert("cpu-high-01"),)
    one.deliver(recent(alerts=alerts))
    other.deliver(recent(alerts=alerts))
    other.follow([recent(alerts=alerts).message.group], SENDER, time.time())
    (held,) = running.alerts()
    assert held["labels"] == {
        "alertname": "cpu-high",
        "id": "cpu-high-01",
        "peer": "aa" * 32,
        "region": "eu-west",
        "severity": "high",
        "network": "testnet",
    }
    assert held["annotations"]["summary"] == "cpu-high-01 is high"
    eventually(lambda: ("firing", "cpu-high-01") in running.told(), "it notifies", within_s=60)
    one.deliver(recent("resolved", alerts=alerts))
    eventually(lambda: ("resolved", "cpu-high-01") in running.told(), "it ends", within_s=60)
    assert [told for told in running.told() if told[1] == "cpu-high-01"] == [
        ("firing", "cpu-high-01"),
        ("resolved", "cpu-high-01"),
    ]


@pytest.mark.tools
def test_an_alert_that_ended_inside_an_incident_ends_there_and_one_that_got_worse_is_not_held_twice(
    running: Running,
) -> None:
    sender = channel(running.url)
    first, second = alert("memory-high-01"), alert("memory-high-02")
    sender.deliver(recent(alerts=(first, second), incident="pattern"))

    def held() -> set[tuple[str, str]]:
        return {(a["labels"]["id"], a["labels"]["severity"]) for a in running.alerts() if "memory" in a["labels"]["id"]}

    eventually(lambda: len(held()) == 2, "both fire", within_s=60)
    left = recent(alerts=(second,), incident="pattern").message.group
    sender.follow([left], SENDER, time.time())
    eventually(lambda: held() == {("memory-high-02", "high")}, "the first has ended", within_s=60)
    sender.deliver(recent(alerts=(replace(second, severity="critical"),), severity="critical"))
    eventually(lambda: held() == {("memory-high-02", "critical")}, "one alert, and worse", within_s=60)


def test_what_fires_is_told_far_enough_into_the_future(receiver: Receiver) -> None:
    followed = channel(receiver.url + "/", secret=Secret("token"))
    assert isinstance(followed, Follower)
    at = time.time()
    fires, over = group("a-1", started_at=at, alerts=(alert("a-1", started_at=at),)), alert("b-1", state="resolved")
    followed.follow([fires, group("b-1", alerts=(over,))], Sender("testnet", "ab" * 32), at)
    (request,) = receiver.requests
    assert (request.path, request.headers["authorization"]) == ("/api/v2/alerts", "Bearer token")
    (said,) = request.json
    began, ends = (time.mktime(time.strptime(said[f][:19], "%Y-%m-%dT%H:%M:%S")) for f in ("startsAt", "endsAt"))
    assert ends - began == pytest.approx(LIVE_S, abs=1)
    followed.follow([], SENDER, at + 60)
    (ended,) = receiver.requests[1].json
    assert ended["labels"] == said["labels"]
    followed.follow([], SENDER, at + 120)
    assert len(receiver.requests) == 2, "nothing to tell of"


def test_what_was_not_taken_is_told_again(receiver: Receiver) -> None:
    sender = channel(receiver.url)
    sender.deliver(recent(alerts=(alert("a-1"),)))
    receiver.status = 503
    with pytest.raises(DeliveryError):
        sender.deliver(recent("resolved", alerts=(alert("a-1"),)))
    receiver.status = 200
    sender.follow([], SENDER, time.time())
    assert [request.json[0]["labels"]["id"] for request in receiver.requests] == ["a-1"] * 3
