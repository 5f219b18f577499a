"""Webhooks: everything as JSON, signed, and the same key for the same news."""

import hashlib
import hmac
from pathlib import Path

import pytest
from msgspec.structs import replace

from letters import letter
from notices import WALL, alert
from peerscope.errors import ConfigError, DeliveryError
from peerscope.host.secret_files import Secret
from peerscope.notify.base import Letter
from peerscope.notify.http import ALERTS_MAX, Webhook
from peerscope.notify.settings import WebhookConfig
from receiver import Receiver

SECRET = "correct horse battery staple"


def webhook(url: str, **values: object) -> Webhook:
    return Webhook("ops", WebhookConfig(kind="webhook", url=Secret(url), **values))  # type: ignore[arg-type]


def test_everything_about_the_alert_arrives(receiver: Receiver) -> None:
    webhook(f"{receiver.url}/hook?a=b").deliver(letter())
    (request,) = receiver.requests
    said = request.json
    assert request.path == "/hook?a=b"
    assert request.headers["content-type"] == "application/json"
    assert (said["state"], said["reason"], said["key"]) == ("firing", "new", "cpu-high-aa")
    assert (said["severity"], said["network"], said["sent_by"]) == ("high", "testnet", "ab" * 32)
    assert said["incident"] is None
    (told,) = said["alerts"]
    wanted = alert()
    assert {field: told[field] for field in ("id", "type", "rule", "severity", "peer_id", "region", "started_at")} == {
        field: getattr(wanted, field) for field in ("id", "type", "rule", "severity", "peer_id", "region", "started_at")
    }


def test_an_incident_is_named_with_its_root_and_not_longer_than_a_message_may_be(receiver: Receiver) -> None:
    many = tuple(alert(f"peer-down-{n}") for n in range(5000))
    webhook(receiver.url).deliver(letter(alerts=many, incident="region-outage", root="eu-west"))
    said = receiver.requests[0].json
    assert (said["incident"]["kind"], said["incident"]["root"]) == ("region-outage", "eu-west")
    assert (len(said["alerts"]), said["alerts_total"]) == (ALERTS_MAX, 5000)


def test_the_signature_covers_time_and_body(receiver: Receiver) -> None:
    webhook(receiver.url, secret=Secret(SECRET)).deliver(letter())
    (request,) = receiver.requests
    covered = request.headers["x-peerscope-timestamp"].encode() + b"." + request.body
    proof = hmac.new(SECRET.encode(), covered, hashlib.sha256).hexdigest()
    assert request.headers["x-peerscope-signature"] == f"sha256={proof}"
    assert SECRET.encode() not in request.body


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    webhook(receiver.url).deliver(letter())
    assert "x-peerscope-signature" not in receiver.requests[0].headers


def test_the_idempotency_key_is_the_same_for_the_same_news_whoever_tells_it() -> None:
    first = letter()
    assert letter(at=first.at + 30).idempotency_key == first.idempotency_key
    others = [
        letter("resolved"),
        letter(severity="critical"),
        letter("escalated", "critical", repeat=1),
        letter("escalated", "critical", repeat=2),
        letter(started_at=first.message.group.started_at + 86_400),
    ]
    assert len({one.idempotency_key for one in [first, *others]}) == 1 + len(others)
    assert len({one.thread_keys for one in [first, *others]}) == 1


def test_the_key_of_a_named_episode_does_not_depend_on_any_clock() -> None:
    def named(episode: int, **of: object) -> Letter:
        found = letter(**of)  # type: ignore[arg-type]
        return replace(found, message=replace(found.message, episode=episode))

    assert named(256).idempotency_key == named(256, started_at=WALL + 599.0).idempotency_key
    assert named(256).idempotency_key != named(257).idempotency_key, "though both began at one time"
    assert named(256, what="resolved", severity="high").idempotency_key == named(256, what="resolved").idempotency_key


@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (503, True), (429, True), (408, True), (400, False), (401, False), (404, False)]
)
def test_what_the_other_end_refuses_is_told_with_whether_it_may_pass(
    receiver: Receiver, status: int, again: bool
) -> None:
    receiver.status = status
    with pytest.raises(DeliveryError, match=f"127.0.0.1 answers {status}") as told:
        webhook(receiver.url).deliver(letter())
    assert told.value.again is again


def test_a_wish_to_wait_is_heard(receiver: Receiver) -> None:
    receiver.status, receiver.answer_headers = 429, {"Retry-After": "7"}
    with pytest.raises(DeliveryError) as told:
        webhook(receiver.url).deliver(letter())
    assert told.value.after_s == 7.0


def test_nobody_is_followed_elsewhere(receiver: Receiver) -> None:
    receiver.status, receiver.answer_headers = 307, {"Location": f"{receiver.url}/elsewhere"}
    with pytest.raises(DeliveryError, match="307"):
        webhook(receiver.url).deliver(letter())
    assert [request.path for request in receiver.requests] == ["/"]


@pytest.mark.parametrize("place", ["http://127.0.0.1:1/top-secret", "http://no.such.host.invalid/top-secret"])
def test_an_error_does_not_tell_the_url(place: str) -> None:
    with pytest.raises(DeliveryError) as told:
        webhook(place).deliver(letter())
    assert told.value.again
    assert "top-secret" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "example.org", "http://", "http://u:top-secret@example.org/", "http://e.org/top-secret x"],
)
def test_what_is_no_good_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"notify\.channels\.ops\.url") as told:
        webhook(url)
    assert "top-secret" not in str(told.value)


def test_url_and_secret_may_stand_in_files(tmp_path: Path, receiver: Receiver) -> None:
    for name, text in (("url", receiver.url + "/from-file\n"), ("key", SECRET + "\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    files = {"url_file": str(tmp_path / "url"), "secret_file": str(tmp_path / "key")}
    Webhook("ops", WebhookConfig(kind="webhook", **files)).deliver(letter())  # type: ignore[arg-type]
    (request,) = receiver.requests
    assert request.path == "/from-file"
    assert "x-peerscope-signature" in request.headers
